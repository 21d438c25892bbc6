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
# # Why be less greedy?
#
# **The promise.** You will watch a method that always takes the best next step get stuck with a perfect fit, write the update that
# looks at several steps at once, differentiate it exactly, assemble MLMC from these parts, and say which parts earn their place.
#
# *Teaching it?* Sections 1 to 3, 5 and 7 fill 45 minutes; section 4 makes a lab, section 10 the homework.

# %%
from dataclasses import replace

import torch
from IPython.display import Markdown, display
from torch.nn.functional import cosine_similarity

import restorekit as rk
from restorekit.experiments import load_claims, load_results, markdown, tables
from restorekit.methods import mlmc_presets, mlmc_unrolled, regularizers
from restorekit.methods.blind import blind_solver, finish
from restorekit.solvers import run
from restorekit.teach import *
from restorekit.teach import tasks_03 as tasks
from restorekit.teach import views_03 as views
from restorekit.teach.views_03 import seeded

display(views.opening())
size_switch()

# %% [markdown]
# ## 1. Predict
#
# Let picture and kernel be one number each, with $y = kx = 1$. Choose before you run anything; the recap takes it up again.

# %%
guess = predict(
    "The truth is k = 1; you start at k = 0.4. In turn you take the best picture for the kernel, "
    "then the best kernel for the picture. Where are you after 100 rounds?",
    [
        "at the truth",
        "near the start, with a perfect fit",
        "jumping between two kernels",
    ],
)
guess

# %% [markdown]
# ## 2. The failure
#
# $$f(x, k) = \tfrac12 (y - kx)^2 + \tfrac\lambda2 (x - \bar x)^2$$
#
# Every pair with $kx = 1$ fits. A weak prior knows what pictures look like, $\bar x = 1$, so that $x = k = 1$ is the only minimum
# with $k > 0$. Alternate: solve for $x$, solve for $k$, exactly.

# %%
y, prior_x, lam = 1.0, 1.0, 0.001


def f(x, k):
    return (y - k * x) ** 2 / 2 + lam / 2 * (x - prior_x) ** 2


def best_x(k):
    return (k * y + lam * prior_x) / (k**2 + lam)


def alternate(k, rounds, x=prior_x):
    path = [(x, k)]
    for _ in range(rounds):
        path += [(best_x(k), k), (best_x(k), y / best_x(k))]
        x, k = path[-1]
    return torch.tensor(path, dtype=torch.float64)


# %%
greedy = alternate(0.4, 100)
x_end, k_end = greedy[-1].tolist()
print(
    f"after 100 rounds: k = {k_end:.2f}, misfit |y - k x| = {abs(y - k_end * x_end):.0e}"
)
shrinks = (1 - alternate(1 - 1e-6, 1)[-1, 1]) / 1e-6
check("error left by one round near the truth", shrinks, 1 / (1 + lam), 1e-6)
views.portrait(f, {"exact alternation": greedy}, (1.0, 1.0))

# %% [markdown]
# The first half-step already fits: the picture has swallowed the error, and the misfit has nothing left to say about the kernel. From
# there only the weak prior pulls; a round leaves $1/(1+\lambda)$ of the error. Greedy, perfect at each step, and stuck.
#
# ## 3. The model
#
# MLAO makes the picture *less* perfect: $P$ small steps on the picture, then one on the kernel, for the mean of the losses met on
# the way.
#
# $$\mathcal L_{ML}(\phi_k) = \frac1P\sum_{p=1}^P \omega^p\, \mathcal L\big(x^p, G_k(z_k;\phi_k)\big),\qquad
# \phi_x^{p+1} = \phi_x^p - \gamma_x\,\mathrm{Adam}\big(\partial_{\phi_x}\mathcal L\big) \qquad\text{[MLMC Eq. 28, 30]}$$
#
# | symbol | in code | shape | unit |
# |---|---|---|---|
# | $x = G_x(z_x;\phi_x)$ picture | `image_net(z_x)` | (1, C, H, W) | 0 to 1 |
# | $k = G_k(z_k;\phi_k)$ kernel | `kernel_net(z_k)` | (1, 1, kh, kw) | weights, sum 1 |
# | $P$ picture steps to one kernel step | `P`, `image_steps` | number | |
# | $Q$ kernel steps, $I$ outer steps | `meta_steps`, `outer` | numbers | |
# | $T$ random kernels | `samples` | number | |
# | $\gamma_x, \gamma_{ML}$ step sizes | `eta`, `rate` | numbers | |
# | $\omega^p$ weights, here 1 | | number | |
# | $\sigma^2$ noise variance | `variance` | number | squared brightness |
#
# ## 4. From scratch
#
# ### 4.1 The meta-loss


# %%
def walk(x, k, P, eta):
    """x^1 to x^P: gradient steps on f with the kernel held."""
    for _ in range(P):
        yield x
        x = x - eta * ((k**2 + lam) * x - k * y - lam * prior_x)


def meta_loss(k, x, P, eta):
    return sum(f(xp, k) for xp in walk(x, k, P, eta)) / P  # Eq. 28


k_axis = torch.linspace(0.05, 2, 400, dtype=torch.float64)
q = 1 - 0.3 * (k_axis**2 + lam)  # what one step leaves of the distance to best_x
closed = [best_x(k_axis) + (1.6 - best_x(k_axis)) * q**p for p in range(8)]
exact = sum(f(xp, k_axis) for xp in closed) / 8
check("meta-loss against its closed form", meta_loss(k_axis, 1.6, 8, 0.3), exact, 1e-12)


# %%
def draw_landscape(P, x_start, eta):
    curves = {"P = 1": meta_loss(k_axis, x_start, 1, eta)}
    curves[f"P = {P}"] = meta_loss(k_axis, x_start, P, eta)
    curves["P without end"] = f(best_x(k_axis), k_axis)
    return views.landscape(k_axis, curves)


explore(
    draw_landscape,
    P=Control(2, 40, 1, 5),
    x_start=Control(0.5, 2.5, 0.1, 1.6, label="first picture"),
    eta=Control(0.05, 0.9, 0.05, 0.3, label="picture step size"),
    question="What does the loss still know about the kernel when the picture has had its way?",
)

# %% [markdown]
# $P = 1$ trusts the present picture and has a sharp minimum at $y/x$, wrong where the picture is. Without end, the picture fits
# any kernel and the loss is almost flat. What tells kernels apart is met *on the way*; the mean over $P$ steps keeps it. Beyond
# $k^2 = 2/\eta$ the picture's steps diverge: a cliff.
#
# ### 4.2 First order, or through the picture's steps?
#
# $$\frac{d\mathcal L_{ML}}{dk} = \frac1P\sum_p \Big[\frac{\partial f}{\partial k} + \frac{\partial f}{\partial x}\frac{dx^p}{dk}\Big]$$
#
# MLMC keeps the first term. The second knows that another kernel would have led the picture elsewhere.


# %%
def meta_gradient(k, x, P, eta, unrolled):
    total, dx = 0.0, 0.0  # dx = dx^p / dk, cut in the first-order form
    for _ in range(P):
        r = y - k * x
        slope = -k * r + lam * (x - prior_x)  # df/dx
        total = total + (-x * r + slope * dx) / P
        if unrolled:
            dx = dx - eta * ((k**2 + lam) * dx + k * x - r)
        x = x - eta * slope
    return total


first, full = (meta_gradient(k_axis, 1.6, 8, 0.3, way) for way in (False, True))
near = [meta_loss(k_axis + h, 1.6, 8, 0.3) for h in (1e-6, -1e-6)]
check("unrolled = finite differences", full, (near[0] - near[1]) / 2e-6, 1e-8)
views.gradients(k_axis, first, full)

# %%
solved = best_x(k_axis)
both = [meta_gradient(k_axis, solved, 8, 0.3, way) for way in (False, True)]
check("equal where the picture has converged", *both, 1e-12, "df/dx = 0")
one = [meta_gradient(k_axis, 1.6, 1, 0.3, way) for way in (False, True)]
check("equal for P = 1", *one, 1e-12, "no step yet")
k0, x0 = (torch.tensor(v, dtype=torch.float64) for v in (0.7, 1.6))
toy = (f, lambda x, g: x - 0.3 * g, x0, k0, 8)
parity(meta_gradient(k0, x0, 8, 0.3, True), mlmc_unrolled.unrolled_meta_gradient(*toy))
cut = mlmc_unrolled.first_order_meta_gradient(*toy)
parity(meta_gradient(k0, x0, 8, 0.3, False), cut)

# %% [markdown]
# The two agree at both ends, $P = 1$ and a converged picture (the envelope theorem), and differ between, where MLMC works. The
# exact one costs the memory of $P$ graphs.
#
# ### 4.3 Five ways into the valley
#
# Equal numbers of picture steps, equal step sizes; the kernel follows the *last* loss, the mean in first order, or the mean unrolled.
# Where does each way land, that is, where does the misfit first fall below 0.01?


# %%
def descend(P, way, k=0.4, x=prior_x, eta=0.2):
    path = [(x, k)]
    for _ in range(600 // P):
        pictures = list(walk(x, k, P + 1, eta))
        if way == "last":
            slope = -pictures[-2] * (y - k * pictures[-2])
        else:
            slope = meta_gradient(k, x, P, eta, way == "unrolled")
        x, k = pictures[-1], k - eta * slope
        path.append((x, k))
    return torch.tensor(path, dtype=torch.float64)


paths = {"exact alternation": greedy, "P = 20, last loss": descend(20, "last")}
paths |= {"P = 20, unrolled": descend(20, "unrolled")}
paths |= {f"P = {P}, mean": descend(P, "mean") for P in (20, 5, 1)}
views.portrait(f, paths, (1.0, 1.0))


# %%
def landing(path):
    return next(k.item() for x, k in path if abs(y - k * x) < 0.01)


lands = {name: landing(path) for name, path in paths.items()}
gains = torch.tensor(list(lands.values())).diff()
check_range("smallest gain from one way to the next", gains.min(), low=0)
display(Markdown(views.landings(lands, paths)))

# %% [markdown]
# Truth: 1. Every gradient way lands nearer than exact alternation, and the mean nearer than the last loss: less greed for the *picture*
# pays. But at equal cost a small $P$ beats a large one, and unrolling changes little. Once landed, all crawl, exact rounds included:
# the start and the way down decide.
#
# ### 4.4 Algorithm 3 with networks


# %%
def weighted_loss(y, scale, rho):
    def loss(x, k):
        r = y - rk.BlurDown(k, scale, "reflect")(x)  # Eq. 27
        variance = r.detach().square().mean().clamp(min=(0.5 / 255) ** 2)  # Eq. 36
        return r.square().sum() / variance + rho * regularizers.image_prior(
            x, "hyper_laplacian"
        )

    return loss  # Eq. 35


def my_mlao(image_net, kernel_net, z_x, z_k, adam_x, adam_k, loss, P):
    k, meta = kernel_net(z_k), 0.0  # line 5
    for _ in range(P):
        x = image_net(z_x)  # line 8
        adam_x.zero_grad()
        loss(x, k.detach()).backward()  # lines 9 and 10
        adam_x.step()  # line 11
        meta = meta + loss(x.detach(), k) / P  # line 16: the path through x is cut
    adam_k.zero_grad()
    meta.backward()
    adam_k.step()  # line 17
    return x.detach()


# %%
scene = rk.bundled("camera", gray=True, size=32).double()
lens = rk.gaussian_kernel(11, (1.6, 0.8), 0.5, shift=(-0.5, -0.5), dtype=torch.float64)
y_tiny = rk.BlurDown(lens, 2, "reflect")(scene)
small = replace(
    mlmc_presets.PAPER, channels=6, skip=2, levels=2, inputs=2, hidden=(12,), rho=0.02
)
small = replace(small, outer=3, meta_steps=2, image_steps=3, samples=4)


def fresh(seed=0):
    """Two nets with their inputs and optimisers, and the generator they were drawn from."""
    g = seeded(seed)
    L = blind_solver(y_tiny, 2, settings=small, generator=g)
    adam = [torch.optim.Adam(L.image_net.parameters(), small.lr_image)]
    adam += [torch.optim.Adam(L.kernel_net.parameters(), small.lr_kernel) for _ in "12"]
    return L, adam, g


# %%
loss, ends = weighted_loss(y_tiny, 2, small.rho), []
for mine in (True, False):
    L, (adam_x, adam_k, _), _ = fresh()
    for _ in range(4):
        if mine:
            my_mlao(L.image_net, L.kernel_net, L.z_x, L.z_k, adam_x, adam_k, loss, 3)
        else:
            look = lambda L=L: L.image_net(L.z_x)
            rk.mlao_step(look, L.kernel_net, L.z_k, adam_x, adam_k, loss, 3)
    ends.append([L.image_net(L.z_x), L.kernel_net(L.z_k)])
parity(*ends)

# %% [markdown]
# The library reaches the same with one backward pass a picture step instead of two: the gradient of $k$ comes with that of $\phi_x$
# at no cost. How far is its direction from the exact one?


# %%
def angles(eta, most=8):
    """Cosine between first-order and unrolled kernel gradient, picture steps of size eta."""
    k = rk.gaussian_kernel(11, 2.5, shift=(-0.5, -0.5), dtype=torch.float64)
    toy = loss, lambda x, g: x - eta * g, rk.bicubic(y_tiny, 2), k
    ways = mlmc_unrolled.first_order_meta_gradient, mlmc_unrolled.unrolled_meta_gradient
    pairs = [[way(*toy, P).flatten() for way in ways] for P in range(1, most + 1)]
    return [cosine_similarity(a - a.mean(), b - b.mean(), 0).item() for a, b in pairs]


cosines = {f"picture step {eta:g}": angles(eta) for eta in (1e-4, 1e-3, 3e-3, 1e-2)}
*stable, wild = cosines.values()
check("equal for P = 1", [line[0] for line in cosines.values()], [1.0] * 4, 1e-9)
check_range(
    "smallest cosine of the three stable steps", min(map(min, stable)), low=0.99
)
check_range("smallest cosine of the largest step", min(wild), high=0.9)
views.alignment(cosines)

# %% [markdown]
# While the picture's steps are stable, the two point the same way, and Adam ignores their length: here MLMC's cut costs next to
# nothing. They part where the step is too large and the picture diverges. (Tested on pixels, by plain gradient steps.)
#
# ### 4.5 Algorithm 1: both phases
#
# MCKA (page 02) pulls the kernel net towards weighted random kernels; then MLAO runs $Q$ times. That is all.


# %%
def algorithm_1(L, adam, g, rounds):
    (adam_x, adam_ml, adam_mc), c = adam, L.settings
    net, z_k, x = L.kernel_net, L.z_k, L.image_net(L.z_x).detach()
    for _ in range(rounds):
        draws = rk.sample_kernels(L.prior, c.samples, generator=g, like=y_tiny)
        rk.mcka_step(net, z_k, adam_mc, draws, x=x, y=y_tiny, scale=2)  # line 5
        for _ in range(c.meta_steps):  # line 7
            x = my_mlao(
                L.image_net, net, L.z_x, z_k, adam_x, adam_ml, loss, c.image_steps
            )
    return x, net(z_k)


x_mine, k_mine = algorithm_1(*fresh(), 3)
L = fresh()[0]
state = run(L, 3).state
parity([x_mine, k_mine], [state.x, state.k])

# %% [markdown]
# Three outer steps, equal to `MLMC.step` to rounding.
#
# ## 5. See it move
#
# The same loop on a picture, with a narrow picture net: the preset `strict`, whose kernel net starts with 200 steps towards random
# kernels and gets no help from the spectrum. *Before you step:* which
# settles first, picture or kernel? Does a falling misfit mean a better kernel?


# %% tags=["nbval-ignore-output"]
def restore(y, settings, callback=None):
    learner = blind_solver(y, 2, settings=settings, generator=seeded(0))
    return finish(learner, run(learner, learner.total_steps, callback=callback))


truth = rk.bundled("cat", gray=True, size=pick(smoke=32, quick=64, full=128))
true_k = rk.random_gaussian_kernel(
    11, variance=(0.35, 5), centroid=(-0.5, -0.5), generator=seeded(11)
)
seen = rk.degradations.round_to_8_bit(rk.BlurDown(true_k, 2, "reflect")(truth))
narrow = {"channels": 32, "levels": 4, "inputs": 8, "image_steps": 2}
strict = replace(mlmc_presets.preset_settings("strict"), **narrow)
strict = replace(strict, outer=pick(smoke=4, quick=30, full=60))
trace = Trace(fields=("x", "k", "loss", "sigma", "samples", "weights"))
restore(seen, strict, trace)
movie = views.Movie(trace, truth, true_k, 2)
movie.strip()

# %% tags=["nbval-ignore-output"]
print(movie.halves())
movie.player()

# %% [markdown]
# The misfit, in gray levels, is what the method sees; the kernel distance is what it cannot see. Compare their second halves:
# a falling misfit by itself says nothing about the kernel, as in section 2.
#
# ## 6. Break it: the kernel's step size
#
# The paper prints 0.5 for the kernel net [Sec. 5.1]. Take the net alone, pull it towards *one* Gaussian by Eq. 25 with $T = 1$, and turn
# that knob. Nothing could be easier to learn.


# %% tags=["nbval-ignore-output"]
def learn(rate, steps=60):
    """Distances to the goal, the last kernel, the first step's largest move of a logit."""
    net, far = rk.nets.KernelNet(11, centroid=(-0.5, -0.5), generator=seeded(1)), []
    z = torch.rand(1, 200, generator=seeded(2))
    adam, logits = torch.optim.Adam(net.parameters(), rate), [net.layers(z)]
    for _ in range(steps):
        far.append((net(z) - goal).abs().sum().item())
        adam.zero_grad()
        (net(z) - goal).square().sum().backward()
        adam.step()
        logits.append(net.layers(z))
    return far, net(z).detach(), (logits[1] - logits[0]).abs().max().item()


wide, turned = torch.tensor([[1.6, 0.9]]), torch.tensor([0.5])
goal = rk.kernels.centered_gaussian(11, wide, turned, (-0.5, -0.5))
learned = {rate: learn(rate) for rate in (1e-4, 1e-3, 1e-2, 0.1, 0.5)}
curves, found = ({r: item[i] for r, item in learned.items()} for i in (0, 1))
views.learning(curves)

# %% tags=["nbval-ignore-output"]
jump = learned[0.5][2]
check_range("largest move of a logit in the first step of 0.5", jump, low=20)
stuck = curves[0.5][-1] - curves[0.5][5]
check_range("what the next 54 steps of 0.5 still gain", -stuck, high=0.1)
explore(
    lambda rate: views.saturation(rate, curves, found, goal),
    rate=Control(
        options={f"{r:g}": r for r in curves}, default=1e-3, label="step size"
    ),
    question="From which step size on does the kernel fall onto a few taps and stay there?",
)

# %% [markdown]
# Adam moves every weight by about the step size, however small the gradient, and a thousand weights feed each logit. One step of 0.5
# moves logits by tens: the softmax gives all weight to a few taps. An emptied tap has slope $k(1-k) = 0$ and does not come back.
#
# Does the whole method suffer as the net alone does? Three pictures, three seeds, stored:

# %%
step_size = load_results("meta_step_size", "quick")
rates = tables.load("meta_step_size").summarize(step_size.rows)
columns = "step_size gain kernel_distance width_error peak n".split()
print(f"{step_size.stamp['size']}: {step_size.stamp['command']}")
worse = torch.tensor([row["kernel_distance"] for row in rates]).diff()
check_range("growth of the kernel distance, step to step", worse.min(), low=0)
display(Markdown(markdown(rates, columns=columns)))
views.cliff(rates, f"stored table, {step_size.stamp['rows']} runs")

# %% [markdown]
# The larger the step, the worse the kernel; at 0.5 most of it lies on one or two taps (`peak`), and the picture's `gain` over bicubic
# (dB) is lost on average. Nothing below 0.0001 was tried.
#
# ## 7. A fair experiment
#
# What do random kernels and meta-steps add? One phase is left out at a time; pictures, kernels, seeds and the number of picture steps
# stay. *Without meta* takes a kernel step after every picture step, $P = 1$. The last cell computes one run again.

# %%
ablation = tables.load("mlmc_ablation")
stored = load_results("mlmc_ablation", "quick")
columns = "scale method psnr ssim kernel_distance width_error n".split()
print(f"{stored.stamp['size']}: {stored.stamp['command']}")
display(Markdown(markdown(ablation.summarize(stored.rows), columns=columns)))

# %%
less = [*list(ablation.PHASES)[1:], *ablation.START]
left_out = {n: ablation.differences(stored.rows, "full", n) for n in less}
left_out = {n: [row["difference"] for row in rows] for n, rows in left_out.items()}
none, kept = (ablation.gap(stored.rows, "full", less[i]).value for i in (0, -1))
print(f"MCKA adds {none:+.2f} dB to nothing, {kept:+.2f} dB to its warm-up alone")
display(Markdown(markdown(ablation.beside_print(stored.rows))))
views.paired(left_out, f"stored table, {stored.stamp['rows']} runs")

# %% tags=["nbval-ignore-output"]
row = next(r for r in stored.rows if r["dataset"] == "bundled")
cell = next(c for c in ablation.cells("quick") if c.id == row["id"])
again = ablation.run(cell)
print(f"{cell.image}: {again['psnr']:.2f} dB now, {row['psnr']:.2f} dB stored")
check_range("difference in dB", abs(again["psnr"] - row["psnr"]), high=1.0)

# %% [markdown]
# ## 8. Claims
#
# A point above zero is a picture that needed the phase. *Warm-up alone* drops MCKA after the 200 steps that precede the run: what it
# loses is what the draws *during* the run are worth. The printed losses come from other pictures and 2500 picture steps: compare
# signs. Verdicts follow from margins and seed spread by a fixed rule. M2both asks M2 of *our* preset `quick` (table of page 00). The
# other claims and the baselines are on page 03b.

# %%
records = {record.id: record for record in load_claims() if record.size == "quick"}
display(*(claim(records[name]) for name in ("M2", "M2both", "M3", "M7")))

# %% [markdown]
# ## 9. Your own picture
#
# A photograph is taken as the low-resolution picture, and its middle enlarged by two. There is no truth and so no score: look for
# sharp edges without halos, and at the kernel. PNG, JPEG, TIFF, WebP or BMP, at most 20 MB; choose, then run the next cell again.

# %%
chosen = upload(
    default="astronaut", gray=True, side=pick(smoke=16, quick=40, full=128),
    question="Which picture shall be enlarged?",
)  # fmt: skip
chosen

# %% tags=["nbval-ignore-output"]
ways, kernels = {"bicubic": rk.bicubic(chosen.value, 2)}, {}
for name, settings in {
    "quick": mlmc_presets.preset_settings("quick"),
    "strict": strict,
}.items():
    done = restore(chosen.value, settings)
    ways[name], kernels[name] = done.image, done.kernel
apart = rk.kernel_distance(kernels["quick"], kernels["strict"]).item()
says = f"The kernels that the two presets find; their distance is {apart:.2f} of at most 2."
display(show_kernels(kernels, alt=says))
explore(
    lambda method: views.restored(ways, method, chosen.value),
    method=list(ways),
    question="Where do the three differ, and which would you print?",
)

# %% [markdown]
# `strict` is the reduced form of section 5. Where the two find different kernels and both fit, the picture did not determine the kernel: the start and the prior did.
#
# ## 10. Exercises
#
# Replace the dots and run the cell; hints unfold one by one.
#
# **10.1 Predict.** Exact alternation on the toy, with $\lambda = 0.25$: near the truth the kernel is off by 0.1. By how much is it off
# after three rounds?

# %% tags=["exercise"]
my_error = ...

task_1 = tasks.contraction()
my_error = task_1(my_error)
task_1

# %% tags=["solution"]
solved = tasks.contraction()(0.1 / (1 + 0.25) ** 3)

# %% [markdown]
# **10.2 Code.** The unrolled meta-gradient for any loss, by automatic differentiation: `loss(x, k)` is a number, `x` starts as given and
# moves by gradient steps of size `eta`. Return $d\mathcal L_{ML}/dk$ for $P$ = `steps`.


# %% tags=["exercise"]
def my_unrolled(loss, x, k, steps, eta): ...


task_2 = tasks.unrolled()
my_unrolled = task_2(my_unrolled)
task_2


# %% tags=["solution"]
def solution_2(loss, x, k, steps, eta):
    x, k, total = x.requires_grad_(), k.requires_grad_(), 0.0
    for _ in range(steps):
        value = loss(x, k)
        total = total + value / steps
        x = x - eta * torch.autograd.grad(value, x, create_graph=True)[0]
    return torch.autograd.grad(total, k)[0]


solved = tasks.unrolled()(solution_2)

# %% [markdown]
# **10.3 Code.** The slope of Eq. 35's data term $|r|^2/\sigma^2$ by the residual $r$, with the $\sigma^2$ of Eq. 36 treated as it must be.


# %% tags=["exercise"]
def my_slope(r): ...


task_3 = tasks.data_slope()
my_slope = task_3(my_slope)
task_3


# %% tags=["solution"]
def solution_3(r):
    return 2 * r / r.square().mean()


solved = tasks.data_slope()(solution_3)

# %% [markdown]
# **10.4 Extend.** The paper never says what $\omega^p$ is. Write the first-order meta-gradient of the toy (section 2, same $\lambda$ and
# $\bar x$) with a list of weights, one a picture step. Then put it into `descend`: do early or late weights come closer to the truth?


# %% tags=["exercise"]
def my_weighted(k, x, weights, eta): ...


task_4 = tasks.weighted()
my_weighted = task_4(my_weighted)
task_4


# %% tags=["solution"]
def solution_4(k, x, weights, eta):
    total = 0.0
    for w in weights:
        total += w * -x * (y - k * x)
        x = x - eta * (-k * (y - k * x) + lam * (x - prior_x))
    return total / len(weights)


solved = tasks.weighted()(solution_4)

# %% [markdown]
# ## 11. Deviations and limits
#
# Two misprints, tested on the tiny picture of section 4.4. If $\sigma^2$ in Eq. 36 moves with the picture, Eq. 35's data term is the
# constant $hw$. And Eq. 33 powers the *whole* norm: its slope then points where Tikhonov's does.

# %%
guess_x, A = rk.bicubic(y_tiny, 2), rk.BlurDown(lens.roll(1, -1), 2, "reflect")


def slope_of(term):
    x = guess_x.clone().requires_grad_()
    return torch.autograd.grad(term(x), x)[0].flatten()


def data(r, hold):
    variance = r.square().mean()
    return r.square().sum() / (variance.detach() if hold else variance)


literal, held = (slope_of(lambda x, h=h: data(A(x) - y_tiny, h)) for h in (False, True))
check("slope of Eq. 35 with Eq. 36 inside", literal, 0, 1e-9, "constant, to rounding")
check_range("largest slope with the variance held", held.abs().max(), low=1)


# %%
steps_down = lambda x: x[..., 1:, :] - x[..., :-1, :]  # one of the two filters
printed = slope_of(lambda x: steps_down(x).square().sum() ** (1 / 3))  # Eq. 33
tikhonov = slope_of(lambda x: steps_down(x).square().sum())
hyper = slope_of(lambda x: (steps_down(x).square() + 1e-6).pow(1 / 3).sum())
same = cosine_similarity(printed, tikhonov, 0)
check("cosine of the printed prior's slope and Tikhonov's", same, 1, 1e-9)
other = cosine_similarity(hyper, tikhonov, 0).item()
print(f"cosine of a hyper-Laplacian's slope and Tikhonov's: {other:.2f}")

# %% [markdown]
# | print | here | what it changes |
# |---|---|---|
# | Eq. 35 and 36 | $\sigma^2$ is held, at least $(0.5/255)^2$ | without it the picture learns from the prior alone |
# | Eq. 33 and 35: $(\lVert f_c * x\rVert^2)^\eta$ | $\sum_j \lvert(f_c * x)_j\rvert^{2\eta}$ | as printed, Tikhonov with a moving weight |
# | Eq. 28: mean of $\mathcal L_{RE}$ | of $\mathcal L_{RE\text{-}n}$, as Algorithm 3 | the last pictures, which fit best, count most |
# | $\omega^p$ is not defined | 1 | exercise 10.4 |
# | Algorithm 2 returns $\phi^L$ of $\phi^{L+1}$ | the last | at the paper's $L = 1$ MCKA would be thrown away |
# | Algorithm 3 returns $\phi_x^P$ of $\phi_x^{P+1}$ | the last | at $P = 1$ the picture would never move |
# | kernel step size 0.5 | $10^{-4}$, as the published code | section 6 |
# | $\zeta_k$ of Eq. 38 is defined twice | MCKA's gradient | as first defined, MLAO's would count twice and MCKA's never |
#
# Do not use the method where the blur changes over the picture, where a hand shook the camera and the prior says Gaussian, or where a
# wrong kernel costs more than a soft picture: nothing in its output says that the kernel is wrong.
#
# ## 12. Recap
#
# You can now **explain** a perfect fit that is stuck, **derive** both meta-gradients, **write** MLAO and MLMC's loop, **find** the cliff
# of the kernel's step size, and **judge** ablations by their spread.

# %%
because = f"After 100 rounds k = {k_end:.2f}: the first half-step fits, and the fit is all that is left to learn from."
display(guess.reveal(1, because))
quiz(tasks.QUIZ)

# %% [markdown]
# Next: [03b](03b_mlmc_tested.ipynb) tests the remaining claims, noise, motion blur and all baselines; before:
# [02](02_mcmc_kernel_sampling.ipynb), where the random kernels come from.
#
# | read on | because |
# |---|---|
# | MLMC: Xia et al., *Blind Super-Resolution via Meta-learning and Markov Chain Monte Carlo Simulation*, 2024 | Algorithms 1 to 3 |
# | Xia et al., *Metalearning-Based Alternating Minimization Algorithm for Nonconvex Optimization*, 2022 | where the less greedy update comes from |
# | Finn, Abbeel and Levine, *Model-Agnostic Meta-Learning*, 2017 | first-order and unrolled gradients |
# | Golub and Pereyra 1973 | variable projection: what is left when the picture is solved exactly |
# | Levin et al., *Understanding and Evaluating Blind Deconvolution Algorithms*, 2009 | why the best fit is not the best kernel |
