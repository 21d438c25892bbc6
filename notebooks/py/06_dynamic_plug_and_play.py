# ---
# jupyter:
#   jupytext:
#     formats: notebooks//ipynb,notebooks/py//py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # When does iterating a network help?
#
# **The promise.** You will call a denoiser again and again and watch it get worse, find out when iterating gains decibels, derive the
# gradient that a paper prints wrongly, and see why its curves are flat.
#
# *Teaching it?* Sections 2, 4.2 and 4.5 fill 45 minutes; sections 4.6 to 6 make a lab, section 8 the homework.

# %%
from itertools import islice

import torch
import torch.nn.functional as F
from IPython.display import display

import restorekit as rk
from restorekit.methods import operator_updates as ops
from restorekit.methods.priors import self_ensemble, stack
from restorekit.nets import load_denoiser
from restorekit.solvers import iterate, run, schedules
from restorekit.teach import *
from restorekit.teach import tasks_06 as tasks
from restorekit.teach import views_06 as views
from restorekit.teach.views_06 import dB, seeded

display(views.opening())
size_switch()

# %% [markdown]
# ## 1. Predict
#
# Choose before you run anything; the recap takes it up again.

# %%
guess = predict(
    "A scheme calls a good denoiser three times and between the calls updates an unknown "
    "operator A by gradient steps of size 0.001. Compared with a single call, its result is",
    ["0.1 to 0.5 dB better", "the same", "clearly worse"],
)
guess

# %% [markdown]
# ## 2. The failure
#
# A network took most of the noise away. Surely a second pass takes the rest?

# %% tags=["nbval-ignore-output"]
f, sigma = load_denoiser(1), 25 / 255
scene = rk.bundled("camera", gray=True, size=pick(smoke=48, quick=128, full=256))
y = rk.gaussian_noise(scene, sigma, generator=seeded(0))
passes = [y]
for _ in range(4):
    passes.append(f(passes[-1], sigma))
steps = torch.tensor([dB(x, scene) for x in passes]).diff()
check_range("the first pass gains, dB", steps[0], low=5)
check_range("the best of the later passes, dB", steps[1:].max(), high=-0.2)
views.passes(passes, scene)

# %% [markdown]
# "Unfair: after the first pass less noise is left, and the net should be told so." Then tell it any level you like.

# %% tags=["nbval-ignore-output"]
levels, second = [0, 1, 2, 3, 4, 6, 8, 12, 16, 20, 25], {}
for name in ("camera", "cat", "coffee"):
    truth = rk.bundled(name, gray=True, size=pick(smoke=48, quick=96, full=256))
    once = f(rk.gaussian_noise(truth, sigma, generator=seeded(1)), sigma)
    twice = [f(once, level / 255) for level in levels]
    second[name] = [dB(x, truth) - dB(once, truth) for x in twice]
check_range(
    "best second pass at any level, dB", max(map(max, second.values())), high=0.3
)
views.second_pass(levels, second)

# %% [markdown]
# At the best level a tenth of a decibel, at the level of the first pass a loss. The net was trained to return the *mean of all pictures that fit* $y$. That mean has no noise left in it; what is wrong
# with it is lost detail, and a denoiser brings no detail back.
#
# ## 3. The model
#
# $$\min_{x,v,A}\ \tfrac12\lVert Ax + n - y\rVert^2 + \tfrac{\mu}{2}\lVert v-x\rVert^2 + \lambda f(v)\qquad\text{[Dynamic PnP Eq. 1, 3, 9]}$$
#
# $$\begin{aligned}
# x &\leftarrow x - \delta\,[A^\top(Ax-y) + \mu(x-v)] &&\text{[Eq. 6]}\\
# v &\leftarrow f(x;\theta) &&\text{[Eq. 7]}\\
# A &\leftarrow A - \alpha\,x^\top A\,x - \alpha\,(g_\theta(y)-y) &&\text{[Eq. 10, as printed]}
# \end{aligned}$$

# %% [markdown]
# | symbol | in code | shape | unit |
# |---|---|---|---|
# | $y$, $x$, $v$ given, fitting the data, after the prior | `y`, `x`, `v` | (B, 1, H, W) | 0 to 1 |
# | $A$ operator, $A^{(0)} = I$ | `A`, `a` | depends on its reading | |
# | $f(\cdot;\theta)$ prior: a network | `f` | $x\mapsto v$ | |
# | $n = y - g(y)$ noise, by another network | `n` | as $y$ | |
# | $\mu$ coupling, $\delta$, $\alpha$ steps | `mu`, `delta`, `alpha` | numbers | |
# | $r = Ax + n - y$ residual | `r` | as $y$ | |
#
# The letter $f$ is a penalty in Eq. 1 and a network in Eq. 7. Section 4.1 asks when that is allowed.
#
# ## 4. From scratch
#
# ### 4.1 A denoiser as a proximal map [Eq. 5, 7]
#
# $$\mathrm{prox}_{\tau f}(x) = \arg\min_v \tfrac12\lVert v-x\rVert^2 + \tau f(v),\qquad \tau = \lambda/\mu$$


# %%
def soft(x, tau):
    """prox of tau |v|: towards zero by tau."""
    return x.sign() * (x.abs() - tau).clamp(min=0)


x = torch.linspace(-2, 2, 41, dtype=torch.float64)
grid = torch.linspace(-3, 3, 6001, dtype=torch.float64)
price = 0.5 * (grid - x[:, None]) ** 2 + 0.7 * grid.abs()
check("soft against all v on a grid", soft(x, 0.7), grid[price.argmin(1)], 1e-3, "grid")
wiener = x / (1 + 0.7)  # f(v) = v^2 / 2: a Gaussian prior
price = 0.5 * (grid - x[:, None]) ** 2 + 0.35 * grid**2
check("Wiener against all v", wiener, grid[price.argmin(1)], 1e-3, "grid")

# %% [markdown]
# Which maps are proximal maps of a convex $f$? Exactly those whose Jacobian $J$ is symmetric with eigenvalues from 0 to 1 (Moreau). And Eq. 12 of
# the paper takes the network for an orthogonal *projection*, so a second call would change nothing. Three numbers, for two true
# proximal maps and for our network:


# %%
def facts(D, x, powers):
    """|Ju - J'u| / |Ju|, the largest |Ju| / |u| found, |D(D(x)) - D(x)| / |D(x) - x|."""
    J, JT = lambda u: torch.func.jvp(D, (x,), (u,))[1], torch.func.vjp(D, x)[1]
    u = torch.randn(x.shape, generator=seeded(1), dtype=x.dtype)
    asymmetry = (J(u) - JT(u)[0]).norm() / J(u).norm()
    for _ in range(powers):
        u = JT(J(u))[0]
        u = u / u.norm()
    moved = (D(D(x)) - D(x)).norm() / (D(x) - x).norm()
    return [v.item() for v in (asymmetry, J(u).norm(), moved)]


# %% tags=["nbval-ignore-output"]
exact, patch = views.in_double(f), y[..., :64, :64].double()
maps = {"soft": lambda v: soft(v, 0.1), "Wiener": lambda v: v / 1.7}
maps["network"] = lambda v: exact(v, sigma)
powers = pick(smoke=2, quick=8, full=30)
found = {name: facts(D, patch, powers) for name, D in maps.items()}
check(
    "proximal maps: asymmetry", [found[n][0] for n in ("soft", "Wiener")], [0, 0], 1e-12
)
check_range("soft: largest enlargement", found["soft"][1], high=1 + 1e-9)
check_range("network: asymmetry", found["network"][0], low=0.05)
views.facts_table(found)

# %% [markdown]
# The network is no proximal map of anything and enlarges some differences. Plug-and-play works all the same, often; but what is proved for
# proximal maps is not proved for it.
#
# ### 4.2 Half-quadratic splitting: where iterating gains [Eq. 4, 5]
#
# For a *known* periodic blur, $A x = k * x$, Eq. 4 has a closed form, one division per frequency:
#
# $$\hat x = \frac{\overline{\hat k}\,\hat y + \mu\,\hat v}{|\hat k|^2 + \mu}$$


# %%
def my_data_step(v, y, k, mu):
    """argmin_x |k * x - y|^2 + mu |x - v|^2, periodic."""
    n = k.shape[-1]
    canvas = F.pad(k, (0, y.shape[-1] - n, 0, y.shape[-2] - n))
    K = torch.fft.fft2(canvas.roll((-(n // 2), -(n // 2)), (-2, -1)))
    top = K.conj() * torch.fft.fft2(y) + mu * torch.fft.fft2(v)
    return torch.fft.ifft2(top / (K.abs() ** 2 + mu)).real


def my_hqs(y, k, sigmas, lam):
    """The pictures after each round; the coupling mu = lam / s^2 grows as s falls."""
    seen = [y]
    for s in sigmas:
        seen.append(exact(my_data_step(seen[-1], y, k, lam / s**2), s))
    return seen[1:]


# %%
k, low = rk.gaussian_kernel(9, 1.6, shift=(0.5, -0.3)).double(), 2.55 / 255
sharp = scene[..., :96, :96].double()
blurred = rk.gaussian_noise(rk.Blur(k)(sharp), low, generator=seeded(2))
sigmas, lam = schedules.geometric(49 / 255, low, 8), 0.23 * low**2
mine = my_hqs(blurred, k, sigmas, lam)
theirs = run(rk.HQS(rk.Blur(k), blurred, exact, sigmas, lam), 8).state.x
parity(mine[-1], theirs, 1e-8)

# %% tags=["nbval-ignore-output"]
noise, falling = y[..., :96, :96].double(), schedules.geometric(sigma, sigma / 2, 8)
alone = my_hqs(noise, rk.kernels.delta_kernel(1).double(), falling, sigma**2)
known, plain = ([dB(v, sharp) for v in film] for film in (mine, alone))
check_range("known blur: round 8 over round 1, dB", known[-1] - known[0], low=1)
check_range("A = I: round 8 over round 1, dB", plain[-1] - plain[0], high=0)
views.rounds({"known blur": known, "denoising, A = I": plain})

# %% [markdown]
# That is the answer to the title: iterating helps where the data term knows something that the network does not, here the blur. With $A = I$ it
# knows only $y$, which the network has seen already. So a dynamic $A$ must *learn something new*.
#
# ### 4.3 One round of the dynamic scheme [Eq. 6, 7, 9]
#
# With $A$ a weight for each pixel and the true gradient of Eq. 9:


# %%
def my_round(x, v, a, y, n, mu=1.0, delta=1e-3, alpha=1e-3):
    x = x - delta * (a * (a * x - y) + mu * (x - v))
    v = exact(x, sigma)
    a = a - alpha * (a * x + n - y) * x
    return x, v, a


# %%
small = y[..., :32, :32].double()
n = small - exact(small, 1.2 * sigma)  # what g, told another level, calls noise
state, knobs = (small, small, torch.ones_like(small)), {"mu": 0.5, "delta": 0.3}
for _ in range(3):
    state = my_round(*state, small, n, **knobs, alpha=0.2)
update = ops.OperatorUpdate(ops.Diagonal(), "gradient", 0.2)
solver = rk.DynamicPnP(small, exact, update, n, sigma=sigma, **knobs)
theirs = run(solver, 3).state
parity(list(state), [theirs.x, theirs.v, theirs.A])
x, v, _ = state
line_1 = x - 0.3 * ((x - small) + 0.5 * (x - v))  # A = I
line_2 = (1 - 0.15) * x - 0.3 * x + 0.3 * small + 0.3 * v  # as printed
check("Eq. 6, second line: v lost a factor mu", line_2 - line_1, 0.15 * v, 1e-12)

# %% [markdown]
# ### 4.4 The gradient of Eq. 9, for five readings of $A$
#
# The paper calls $A$ a matrix and never says what it acts on. $A\mapsto\tfrac12\lVert r\rVert^2$ with $r = Ax+n-y$ is quadratic, so its gradient is "$r$ times what
# multiplies $A$":
#
# | reading | $Ax$ | gradient |
# |---|---|---|
# | dense | matrix on columns | $r\,x^\top$ |
# | diagonal | $a\odot x$ | $r\odot x$ |
# | affine | $ax + c$ | $\sum r\odot x,\ \sum r$ |
# | kernel | $k * x$ | $\sum_p r(p)\,x(p-u)$: a correlation |
# | varying kernels | $\sum_g w_g\odot(k_g * x)$ | the same with $w_g\odot r$ |


# %%
def my_correlation(x, r, size):
    """sum_p r(p) x(p - u) for each offset u of a kernel, edges repeated."""
    (H, W), n = r.shape[-2:], size // 2
    windows = F.pad(x, (n, n, n, n), mode="replicate").unfold(2, H, 1).unfold(3, W, 1)
    return torch.einsum("bcuvhw,bchw->buv", windows, r)[:, None].flip(-2, -1)


def my_varying(x, r):
    return torch.cat([my_correlation(x, r * w, 5) for w in views.windows(r, (2, 2))])


# %%
my_gradient = {
    "Dense": lambda x, r: r @ x.mT,
    "Diagonal": lambda x, r: r * x,
    "Affine": lambda x, r: torch.stack([(r * x).sum(), r.sum()]).view(1, 2, 1, 1),
    "Kernel": lambda x, r: my_correlation(x, r, 5),
    "VaryingKernels": my_varying,
}
readings = {name: getattr(ops, name)() for name in ("Dense", "Diagonal", "Affine")}
readings |= {"Kernel": ops.Kernel(5), "VaryingKernels": ops.VaryingKernels(5, (2, 2))}

# %%
x, t = scene[..., :24, :30].double(), y[..., :24, :30].double()
for name, reading in readings.items():
    start = reading.identity(x)
    A = start + 0.1 * torch.randn(start.shape, generator=seeded(3), dtype=x.dtype)
    loss = lambda A, reading=reading: 0.5 * (reading.apply(A, x) - t).square().sum()
    r = reading.apply(A, x) - t
    auto = torch.func.grad(loss)(A)
    parity(my_gradient[name](x, r), auto, 1e-9, name=f"{name}: mine and autograd's")
    parity(reading.gradient(A, x, r), auto, 1e-9, name=f"{name}: the library's")

# %% [markdown]
# ### 4.5 What the paper prints is not a gradient [Eq. 10]
#
# For the dense reading, print $P$ against gradient $D$, at the same $A$, with $t = y - g(y)$:
#
# $$P = x^\top A\,x - t,\qquad D = (Ax - t)\,x^\top.$$
#
# $x^\top A x$ is $W\times W$, $A$ is $H\times H$, $t$ is $H\times W$: sizes fit for square pictures only, for kernels never. Plant an $A$, hand over the noise exactly,
# and ask both at $I$ and at the truth.

# %%
x = scene[..., :48, :48].double()
eye = torch.eye(48, dtype=x.dtype)
planted = eye + 0.05 * torch.randn(48, 48, generator=seeded(4), dtype=x.dtype)
t = planted @ x
P = lambda A: x.mT @ A @ x - t
D = lambda A: (A @ x - t) @ x.mT
check("the gradient at the truth", D(planted), 0 * x, 1e-9)
share = P(planted).norm() / P(eye).norm()
check_range("the print at the truth, of its size at I", share, low=0.5)
cosine = F.cosine_similarity(P(eye).flatten(), D(eye).flatten(), 0)
check_range("|cosine| of print and gradient at I", cosine.abs(), high=0.3)
objective = lambda A: (A @ x - t).square().sum().item()
views.along(objective, eye, {"gradient": D(eye), "print": P(eye)}, x)

# %% [markdown]
# A step along the print hardly lowers the objective at any length; soon it raises it. Stored: four pictures, the readings for which its sizes fit.

# %%
views.stored_gradients()

# %% [markdown]
# `cosine start`: at $I$, where the scheme begins; `... at truth`: size there over size at $I$, zero for a gradient; `best step`: what the best step along the print
# leaves of the objective (1: no step helps), beside one along the gradient. On weights the print lacks one factor $x$.
#
# ### 4.6 Operators that explain everything
#
# Let the gradient be right. A dense or diagonal $A$ has as many unknowns as there are pixels. Can it tell the true picture from another one?

# %%
right = scene[..., :48, :48].double()
wrong = rk.bundled("cat", gray=True, size=48).double()
blur = rk.Blur(rk.gaussian_kernel(5, 1.0).double(), "replicate")
seen = rk.gaussian_noise(blur(right), 5 / 255, generator=seeded(5))


def left(reading, x):
    """What the best A leaves of y, rms in gray levels."""
    r = reading.apply(reading.exact(x, seen), x) - seen
    return 255 * r.square().mean().sqrt().item()


# %% tags=["nbval-ignore-output"]
best = {n: [left(r, x) for x in (right, wrong)] for n, r in readings.items()}
for name in ("Dense", "Diagonal"):
    check(f"{name}: left of camera and cat", best[name], [0, 0], 1, "black pixels")
check_range("Kernel: camera, gray levels", best["Kernel"][0], 3, 7, "the noise has 5")
check_range("Kernel: cat over camera", best["Kernel"][1] / best["Kernel"][0], low=3)
views.explained(best, {n: r.identity(right).numel() for n, r in readings.items()})

# %% [markdown]
# What the best $A$ leaves, in gray levels. The first two explain a camera by a cat: their $A$ carries no information. A
# kernel cannot, and leaves just the noise with the right picture: [06b](06b_dynamic_deblurring.ipynb) uses it.
#
# Or let $g$ be the prior: $v = f(y)$ gives $r = v + n - y = 0$ at $A = I$: nothing to learn.
#
# ## 5. See it move
#
# The scheme with true gradients: above with the paper's largest steps, 0.001, below with steps of 0.3; $g$ is another network. *Before you step:* which of $x$ and $v$
# moves above? What becomes of $A$ below?

# %%
g, g_name = views.second_denoiser()
n = y - g(y, sigma)


def dynamic(step, rounds, rule="gradient"):
    """States after 0, 1, 2, ... rounds; alpha = delta = step, mu = 1."""
    update = ops.OperatorUpdate(ops.Diagonal(), rule, step)
    solver = rk.DynamicPnP(y, f, update, n, sigma=sigma, delta=step)
    return [solver.init(), *islice(iterate(solver), rounds)]


# %% tags=["nbval-ignore-output"]
count = pick(smoke=2, quick=6, full=12)
runs = {f"steps {s}": dynamic(s, count) for s in (1e-3, 0.3)}
slow, fast = ([dB(s.v, scene) for s in states[1:]] for states in runs.values())
check("steps of 0.001: v stays at one pass, dB", slow, slow[:1] * count, 0.05)
check_range("steps of 0.3: change over the rounds, dB", fast[-1] - fast[0], high=0)
film = views.Film(runs, y, n, scene)
display(film.strip(), film.player())

# %% [markdown]
# Above nothing happens: $x$ stays at $y$, so $v = f(x)$ is one pass each time. Below $x$ leaves $y$, the network meets pictures with less noise than it is told,
# and $A$ takes up noise: it explains the data, it says nothing about them.
#
# ## 6. Break it: the step size
#
# Start at $x = v = y$, $A = I$. As long as little moves, Eq. 6 adds up to $x^{(T)} - y \approx (T-1)\,\delta\mu\,(v-y)$: the first round has $v = x$. A flat curve over
# the iterations may mean "converged", or that.

# %% tags=["nbval-ignore-output"]
sizes, rules = [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0], ("gradient", "printed")
swept = {(rule, s): dynamic(s, 3, rule)[-1] for rule in rules for s in sizes}
one = f(y, sigma)
way = lambda s: ((swept["gradient", s].x - y).norm() / (one - y).norm()).item()
check("way gone, in steps", [way(s) / s for s in sizes[:3]], [2, 2, 2], 0.1)
gain = lambda rule, s: dB(swept[rule, s].v, scene) - dB(one, scene)
gains = {rule: [gain(rule, s) for s in sizes] for rule in rules}
check("steps up to 0.001: gain, dB", gains["gradient"][:3], [0, 0, 0], 0.05)
check_range("gain of the best step, dB", max(map(max, gains.values())), high=0.1)
check_range("the print with steps of 1, dB", gains["printed"][-1], high=-3)
views.cliff(sizes, gains, [way(s) for s in sizes])

# %%
explore(
    lambda step, rule: views.swept(swept[rule, step], y, n, scene),
    step=Control(options={f"{s:g}": s for s in sizes}, default=0.3),
    rule=Control(options=list(rules)),
    question="From which step on is v no longer one pass, and for which rule first?",
)

# %% [markdown]
# "Optimum within four iterations" [Fig. 4] and "steps of 1e-3 to 1e-5" [Sec. 4] fit together in one way only: hardly anything has moved.
#
# ## 7. A fair experiment
#
# Three pictures, two draws of noise, now: one pass against everything above; the readings get their best chance, one exact round with $v = f(y)$.


# %%
def round_of(name, v, t):
    """One round with v = f(y): the best A of a reading, then the exact x."""
    free = name in ("Dense", "Diagonal")  # could fit anything: one step only
    update = ops.OperatorUpdate(readings[name], "line_search" if free else "exact")
    A = update(update.init(v), v, t)
    return update.operator(A).prox(v, t - update.offset(A), 1.0)


def schemes(y):
    v, t = f(y, sigma), g(y, sigma)
    paper = rk.DynamicPnP(y, f, ops.OperatorUpdate(ops.Diagonal()), y - t, sigma=sigma)
    made = {"one pass": v, "static 2": stack(f, 2)(y, sigma), "g alone": t}
    made |= {"mean of f, g": (v + t) / 2, "paper": run(paper, 3).state.v}
    made["ensemble"] = self_ensemble(f)(y, sigma)
    return made | {name: round_of(name, v, t) for name in readings}


# %% tags=["nbval-ignore-output"]
trials = []
for name in ("camera", "cat", "coffee"):
    truth = rk.bundled(name, gray=True, size=pick(smoke=32, quick=96, full=200))
    for seed in range(pick(smoke=1, quick=2, full=5)):
        made = schemes(rk.gaussian_noise(truth, sigma, generator=seeded(10 + seed)))
        trials.append({m: dB(v, truth) for m, v in made.items()})
over = lambda name: [row[name] - row["one pass"] for row in trials]
check("paper's steps against one pass, dB", over("paper"), [0] * len(trials), 0.05)
check_range("self-ensemble over one pass, least, dB", min(over("ensemble")), low=0)
views.gain_table(trials, g_name)

# %% [markdown]
# The readings come out near the plain mean of $f$ and $g$, or below it: what they gain or lose is averaging with $g$, not $A$. The mean over eight turned and mirrored
# copies needs neither.
#
# Stored: Set12 and BSD68, three noise levels, DnCNN and our VDN as prior [Table 1], and the verdicts.

# %%
shown, records = views.denoising()
display(*shown)

# %% [markdown]
# Below `one pass`, gains over it. With DnCNN nothing gains a tenth. With VDN the readings do, but the plain mean with $g$, a DnCNN,
# gains as much or more: that is $g$, not $A$ (*P1readings*). VDN finds the noise level itself and leaves its own result nearly alone:
# the fall of section 2 is that of a prior made for *one* level. *P3*: a step that does nothing beats exact steps that lose, and gains nothing.

# %%
display(*(claim(records[name]) for name in sorted(records)))

# %% [markdown]
# ## 8. Exercises
#
# Replace the dots and run the cell; the checker names likely errors, hints unfold one by one.
#
# **8.1 Predict.** A picture has 64 rows and 48 columns, one channel. For a *dense* $A$ on columns: how many unknowns come on one equation of $Ax = t$?

# %% tags=["exercise"]
my_ratio = ...

task_1 = tasks.unknowns()
my_ratio = task_1(my_ratio)
task_1

# %% tags=["solution"]
solved = tasks.unknowns()(64 * 64 / (64 * 48))

# %% [markdown]
# **8.2 Code.** The exact x-step, $\arg\min_x\lVert a\odot x-y\rVert^2 + \mu\lVert x-v\rVert^2$, for pixel weights `a`.


# %% tags=["exercise"]
def my_exact_step(v, y, a, mu): ...


task_2 = tasks.exact_step()
my_exact_step = task_2(my_exact_step)
task_2


# %% tags=["solution"]
def solution_2(v, y, a, mu):
    return (a * y + mu * v) / (a**2 + mu)


solved = tasks.exact_step()(solution_2)

# %% [markdown]
# **8.3 Code.** Along the gradient `D = r @ x.mT` of the dense reading, return the step $\alpha$ that lowers $\lVert (A-\alpha D)x - t\rVert^2$ most; `r = A @ x - t`.


# %% tags=["exercise"]
def my_alpha(x, r): ...


task_3 = tasks.line_search()
my_alpha = task_3(my_alpha)
task_3


# %% tags=["solution"]
def solution_3(x, r):
    D = r @ x.mT
    return D.square().sum() / (D @ x).square().sum()


solved = tasks.line_search()(solution_3)

# %% [markdown]
# **8.4 Code, harder.** A reading the paper might have meant: $A = a\,b^\top$ times nothing but rows, $A x = \mathrm{diag}(a)\,x\,\mathrm{diag}(b)$, gains `a` (H,) for rows and `b` (W,) for columns. Return
# the gradients of $\tfrac12\lVert Ax - t\rVert^2$ by `a` and by `b`, `x` and `t` being (H, W).


# %% tags=["exercise"]
def my_gains(a, b, x, t): ...


task_4 = tasks.row_column()
my_gains = task_4(my_gains)
task_4


# %% tags=["solution"]
def solution_4(a, b, x, t):
    r = a[:, None] * x * b - t
    return (r * x * b).sum(1), (r * x * a[:, None]).sum(0)


solved = tasks.row_column()(solution_4)

# %% [markdown]
# **8.5 Extend.** Give `toy` a penalty $\tfrac{\kappa}{2}\lVert a-1\rVert^2$. From which $\kappa$ on does the lower objective no longer cost accuracy? What have you then assumed about $A$?
#
# ## 9. Deviations and limits
#
# | print | here | why |
# |---|---|---|
# | Eq. 6, second line: $\delta v$ | $\delta\mu v$ | section 4.3 |
# | Eq. 10 | the gradient of Eq. 9; the print as a rule of its own | section 4.5 |
# | $A$ "a matrix" | five readings | section 4.4 |
# | $f$ a proximal map, "approximately orthogonal projection" | a network, measured | section 4.1 |
# | priors trained on BSD500, tests on its part BSD68 | nets of ours saw no test picture | |
# | VDN, 28.27 dB on Set12 at 50 | a small VDN, the published DnCNN | later, far larger nets do not reach that |
#
# Gaussian noise of known level, gray pictures. For unknown levels see page 05; for blur, 06b.
#
# ## 10. Recap
#
# You can now **test** whether a map is proximal, **say** when iterating gains, **derive** the gradient for any reading of $A$, **expose** an operator that explains everything, and
# **tell** a converged curve from one that never moved.

# %%
because = "Three steps of 0.001 move x by about two thousandths of the way to v: each pass sees the same picture."
display(guess.reveal(1, because))
quiz(tasks.QUIZ)

# %% [markdown]
# Next: [06b](06b_dynamic_deblurring.ipynb), where $A$ is a blur, the scheme gains, and a stopping rule needs no truth. Before: [05](05_bilevel_training.ipynb).
#
# | read on | because |
# |---|---|
# | Wang et al., *Stacking Networks Dynamically for Image Restoration Based on the Plug-and-Play Framework*, 2021 | the method |
# | Venkatakrishnan, Bouman and Wohlberg, *Plug-and-Play Priors for Model Based Reconstruction*, 2013 | the idea |
# | Moreau 1965; Gribonval and Nikolova 2020 | which maps are proximal |
# | Zhang et al., *Plug-and-Play Image Restoration with Deep Denoiser Prior*, 2021 | half-quadratic splitting done well |
# | Zhang et al. 2017; Yue et al. 2019 | DnCNN; VDN |
