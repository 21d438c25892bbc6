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
# # What does a network's own result tell about the blur?
#
# **The promise.** You will fit a blur kernel to what a deblurring network returns, undo it in one exact step and gain decibels without training
# anything; then stop an iteration without knowing the truth, and judge the paper's claims.
#
# *Teaching it?* Sections 2, 4.1 to 4.3 and 7 fill 45 minutes; sections 4.4 to 6 and 8 make a lab, section 11 the homework.

# %%
import torch
from IPython.display import display

import restorekit as rk
from restorekit.methods.edges import strong_edges
from restorekit.methods.kernel_fit import fit_kernel
from restorekit.methods.pose_fit import fit_poses
from restorekit.methods.stopping import discrepancy_target, sure
from restorekit.nets import load_denoiser
from restorekit.solvers import run
from restorekit.teach import *
from restorekit.teach import tasks_06b as tasks
from restorekit.teach import views_06b as views
from restorekit.teach.views_06b import dB, passed, seeded, shaken

display(views.opening())
size_switch()

# %% [markdown]
# ## 1. Predict
#
# Choose before you run anything; the recap takes it up again.

# %%
guess = predict(
    "A network makes a sharper picture v of a shaken photograph y. What brings more, without "
    "any training?",
    [
        "to hand v to the network again",
        "to hand v to a deeper network",
        "to ask which blur leads from v back to y, and to undo it from y",
    ],
)
guess

# %% [markdown]
# ## 2. The failure
#
# A cup of coffee, shaken as GoPro's pictures are (the mean over a camera's path); the published DMPHN(1-2-4) restores it. Its results are stored
# here, so that this page runs without its weights. "Stacked" means twice in a row.

# %% tags=["nbval-ignore-output"]
y, truth, path = shaken("coffee")
v, stacked = passed("coffee"), passed("coffee_again")
check_range("one pass gains, dB", dB(v, truth) - dB(y, truth), low=2)
check_range("the second pass gains, dB", dB(stacked, truth) - dB(v, truth), high=-0.2)
views.same_pass("coffee")
views.panels({"shaken": y, "one pass": v, "stacked": stacked}, truth)

# %% [markdown]
# The network was trained on blurred pictures, and its own result is none. What has not been used: $y$ itself. $v$ need not only look sharp, it
# must also *become $y$* when it is blurred.
#
# ## 3. The model
#
# Dynamic plug-and-play with $A$ a blur kernel, and each step done exactly, once:
#
# $$\begin{aligned}
# v &= f(y) &&\text{[Dynamic PnP Eq. 7]}\\
# k &= \arg\min_{k\ge 0,\ \sum k=1}\ \tfrac12\textstyle\sum_d\lVert \partial_d v * k - \partial_d y\rVert^2 &&\text{[for Eq. 9, 10]}\\
# x &= \arg\min_x\ \tfrac12\lVert k * x - y\rVert^2 + \tfrac\mu2\lVert x-v\rVert^2 &&\text{[Eq. 4]}
# \end{aligned}$$

# %% [markdown]
# | symbol | in code | shape | unit |
# |---|---|---|---|
# | $y$ shaken, $v$ after the network, $x$ result | `y`, `v`, `x` | (1, 3, H, W) | 0 to 1 |
# | $\partial_d$ differences along rows, columns | `d` | | |
# | $r$ what the blur leaves of $v - y$ | | number | 0 to 1 |
# | $k$ kernel, $A x = k * x$ | `k` | (1, 1, 25, 25) | sum 1 |
# | $w_g$, $k_g$ windows and kernels of a grid | `kernels` | (G, 1, 25, 25) | |
# | $\mu$ trust in $v$ | `mu` | number | |
# | $\sigma$ noise level | `sigma` | number | std, 0 to 1 |
#
# 625 unknowns against 150 000 pixels: this operator cannot explain everything (page 06, section 4.6).
#
# ## 4. From scratch
#
# ### 4.1 The kernel: least squares on a simplex
#
# Each entry of $k$ moves the picture by one offset. Put the moved difference pictures into columns of a matrix $V$; then $G = V^\top V$,
# $b = V^\top\partial y$, and the problem has 625 unknowns, however large the picture.


# %%
def d(x):
    """Differences to the next row and column, periodic, as channels."""
    return torch.cat([x.roll(-1, -2) - x, x.roll(-1, -1) - x], 1)


def my_equations(v, y, size):
    """G and b; column u of V is v moved by u."""
    reach = range(-(size // 2), size // 2 + 1)
    V = [d(v).roll((i, j), (-2, -1)).flatten() for i in reach for j in reach]
    V = torch.stack(V, 1)
    return V.T @ V, V.T @ d(y).flatten()


def my_simplex(G, b, steps=4000):
    """argmin 1/2 k'Gk - b'k over k >= 0, sum k = 1: accelerated projected gradient."""
    L, size = torch.linalg.eigvalsh(G)[-1], round(len(b) ** 0.5)
    k = z = torch.full_like(b, 1 / len(b))
    for i in range(steps):
        new = rk.project_simplex((z - (G @ z - b) / L).view(1, 1, size, size)).flatten()
        z = new + i / (i + 3) * (new - k)
        k = new
    return k.view(1, 1, size, size)


# %%
sharp = rk.bundled("camera", gray=True, size=48).double()
planted = rk.line_kernel(7, 4.0, 0.6).roll(1, -1).double()
G, b = my_equations(sharp, rk.Blur(planted)(sharp), 7)
check("a planted kernel comes back", my_simplex(G, b), planted, 1e-5)
noisy = rk.gaussian_noise(rk.Blur(planted)(sharp), 0.02, generator=seeded(4))
G, b = my_equations(sharp, noisy, 7)
ridge = 1e-3 * G.diagonal().mean() * torch.eye(len(b)).double()
theirs = fit_kernel(sharp, noisy, 7, padding="circular", ridge=1e-3)
parity(my_simplex(G + ridge, b), theirs, 1e-6)
free = torch.linalg.solve(G + ridge, b).view_as(planted)
far = [(k - planted).abs().sum().item() for k in (theirs, free)]
check_range("error with the simplex over that without", far[0] / far[1], high=0.9)

# %% [markdown]
# The library ends exactly, by an active-set method, and lets pixels fade out towards the border, beyond which nothing is known. Now the
# coffee: $v$ is no sharp picture, it is a network's guess, wrong in its texture and soft at its edges. So fit to its *strong edges*, flat in
# between (`strong_edges`, Xu et al. 2011), as well.

# %% tags=["nbval-ignore-output"]
gray = lambda x: x.mean(1, keepdim=True)
plain, true_k = fit_kernel(v, y, 25), path.kernel_at(0.0, 0.0).float()
k = fit_kernel(strong_edges(gray(v)), gray(y), 25)
from_truth = fit_kernel(truth, y, 25)
apart = lambda a: rk.kernel_distance(a, true_k).item()
check_range(
    "kernel from v: distance to the true one (2: disjoint)", apart(plain), high=1
)
check_range("from its strong edges, of that", apart(k) / apart(plain), high=0.95)
check_range("from the truth", apart(from_truth), high=0.1)
shown = {"from v": plain, "from its edges": k, "from the truth": from_truth}
views.kernels(shown | {"true": true_k}, true_k)

# %% [markdown]
# ### 4.2 The data step: conjugate gradients
#
# $$(A^\top A + \mu)\,x = A^\top y + \mu v$$
#
# With replicated borders there is no closed form; conjugate gradients need one blur and one adjoint for each step.


# %%
def my_data_step(A, y, v, mu, steps):
    """Conjugate gradients on the normal equation, from v."""
    H = lambda p: A.adjoint(A(p), p.shape[-2:]) + mu * p
    x, r = v, A.adjoint(y, v.shape[-2:]) + mu * v - H(v)
    p = r
    for _ in range(steps):
        alpha = r.square().sum() / (p * H(p)).sum()
        x, new = x + alpha * p, r - alpha * H(p)
        p = new + new.square().sum() / r.square().sum() * p
        r = new
    return x


# %%
A = rk.Blur(k.double(), "replicate")
mine = my_data_step(A, y.double(), v.double(), 0.03, 60)
parity(mine, A.prox(v.double(), y.double(), 0.03, tol=1e-12), 1e-7)
x = mine.float()
check_range("x over v, dB", dB(x, truth) - dB(v, truth), low=0.3)
left = [views.rms(A(u.double()) - y) for u in (v, x)]
check_range("residual of x over that of v", left[1] / left[0], high=0.5)
views.panels({"one pass v": v, "data step x": x}, truth)

# %% [markdown]
# Decibels from a network's own output, without training: $v$ supplies what blur has erased, $y$ what the network has made up or lost. Smooth
# pictures like this one gain most; section 9 has a fair set.
#
# ### 4.3 Return $x$, not $f(x)$
#
# The scheme as printed goes on: $v \leftarrow f(x)$. The network gets a picture that is half sharp, which it never met in training.

# %%
fed = passed("coffee_fed")
check_range("f(x) over x, dB", dB(fed, truth) - dB(x, truth), high=-0.3)
views.panels({"x": x, "f(x)": fed}, truth)

# %% [markdown]
# A denoiser may be called again because HQS tells it how noisy its input is. A deblurrer cannot be told how blurred its input is.
#
# ### 4.4 A kernel for each place
#
# A camera that turns blurs corners more than the middle: $A x = \sum_g w_g\odot(k_g * x)$, the windows $w_g$ raised cosines that add up to 1. All kernels come from *one* path: a
# density over shifts and angles of the camera, fitted to all cells at once (Whyte et al. 2010).

# %% tags=["nbval-ignore-output"]
y2, truth2, path2 = shaken("cat")
v2, grid = passed("cat"), (2, 3)
edges = strong_edges(gray(v2))
several = fit_poses(edges, gray(y2), 25, grid)
single = fit_kernel(edges, gray(y2), 25)
check(
    "equal kernels are one blur",
    rk.VaryingBlur(k.repeat(6, 1, 1, 1), grid)(y2),
    rk.Blur(k, "replicate")(y2),
    1e-5,
)
one = rk.Blur(single, "replicate").prox(v2, y2, 0.03, tol=1e-4)
many = rk.VaryingBlur(several, grid).prox(v2, y2, 0.03, tol=1e-4)
check_range("six kernels over one, dB", dB(many, truth2) - dB(one, truth2), low=0.2)
views.grid_of_kernels(several, path2, grid, y2)

# %% [markdown]
# ### 4.5 When not to believe it
#
# Fit a kernel to a picture that is noisy and *not* blurred: least squares will find one. So ask what it explains:
#
# $$r = \frac{\lVert Av - y\rVert}{\lVert v-y\rVert} < 0.9,\qquad \lVert Ax-y\rVert\le\lVert Av-y\rVert .$$
#
# Where one fails, keep $v$. And the more of it the blur leaves, the larger $\mu$. `rk.deblur_dynamic` does all of this, strong edges and path included; its constants
# were set on other pictures.

# %% tags=["nbval-ignore-output"]
grainy = rk.gaussian_noise(truth, 0.06, generator=seeded(5))
cases = {"coffee, shaken": (truth, None, y, v)}
cases["cat, shaken and turned"] = truth2, grid, y2, v2
cases["coffee, only noisy"] = truth, None, grainy, load_denoiser(3)(grainy, 0.06)
found = {name: rk.deblur_dynamic(*c[2:], grid=c[1]) for name, c in cases.items()}
taken = [out.taken[0] for out in found.values()]
check("data step taken", taken, [True, True, False], 0)
views.decisions(found, {name: c[0] for name, c in cases.items()})

# %% [markdown]
# ## 5. See it move
#
# Go on *without* the network: fit the kernel to $x$ instead of $v$, take a data step from there, again and again. *Before you step:* the residual falls in each round; does
# the picture get better in each round?


# %%
def rounds_of(y, v, count, mu=0.03):
    """States: x, the prior of the round, kernel, residual."""
    states, x = [views.state(0, v, v, rk.kernels.delta_kernel(25), v - y)], v
    for i in range(1, count + 1):
        k = fit_kernel(x, y, 25)
        A = rk.Blur(k, "replicate")
        v, x = x, A.prox(x, y, mu, tol=1e-4)
        states.append(views.state(i, x, v, k, A(x) - y))
    return states


# %% tags=["nbval-ignore-output"]
count = pick(smoke=2, quick=6, full=15)
grain = rk.gaussian_noise(0 * y, 2 / 255, generator=seeded(6))
films = {
    "as it is": rounds_of(y, v, count),
    "with noise": rounds_of(y + grain, v, count),
}
film = views.Film(films, truth)
check_range("first round, dB", film.gain("as it is", 1), low=0.3)
later = film.gain("with noise", -1) - film.gain("with noise", 1)
most = pick(smoke=0, quick=-0.5, full=-0.5)
check_range("noise of 2 levels: last round over first, dB", later, high=most)
display(film.strip(), film.player())

# %% [markdown]
# Without noise each round helps a little more; with two gray levels of it (and $v$ as before) the first step is already half spoiled and later rounds amplify grain, while the residual falls all
# the same. One round is what a photograph of unknown noise bears: a residual cannot tell when to stop.
#
# ## 6. Break it: trust and noise
#
# $x$ is linear in $y$, so noise adds $(A^\top A+\mu)^{-1}A^\top n$ to it. Small $\mu$: more of $y$, and more of its noise.

# %% tags=["nbval-ignore-output"]
mus, A = [1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0], rk.Blur(k, "replicate")
exact = rk.Blur(true_k, "replicate")
unit = torch.randn(y.shape, generator=seeded(7))
sure_of = {m: A.prox(v, y, m, tol=1e-4) for m in mus}
spread = {m: A.prox(0 * v, unit, m, tol=1e-4) for m in mus}
told = {m: exact.prox(v, y, m, tol=1e-4) for m in mus}
noisy = lambda m, levels: sure_of[m] + levels / 255 * spread[m]
gain = lambda m, levels: dB(noisy(m, levels), truth) - dB(v, truth)
check_range("mu = 0.001 with 4 levels of noise, dB", gain(1e-3, 4), high=-1)
lines = {
    f"{levels} levels of noise": [gain(m, levels) for m in mus] for levels in (0, 1, 4)
}
lines["true kernel, no noise"] = [dB(told[m], truth) - dB(v, truth) for m in mus]
views.trust(mus, lines)

# %%
explore(
    lambda mu, levels: views.panels({"x": noisy(mu, levels)}, truth),
    mu=Control(options={f"{m:g}": m for m in mus}, default=0.03),
    levels=Control(0.0, 8.0, 0.5, 0.0, label="noise", unit="gray levels"),
    question="Which mu would you choose for a camera whose noise you do not know?",
)

# %% [markdown]
# ## 7. Stopping without the truth
#
# For Gaussian noise of known $\sigma$ the usual rule [Morozov] stops where $\lVert y-v\rVert$ per pixel is $\sigma$. But $y - v$ is not the noise. If $v = \mathbb E[x|y]$, then $y-v$ and
# $v-x$ are uncorrelated, and
#
# $$\mathbb E|y-x|^2 = \sigma^2 = \mathbb E|y-v|^2 + \mathbb E|v-x|^2\ \Rightarrow\ \text{target}\ \sqrt{\sigma^2-\mathrm{MSE}} .$$

# %%
s = 0.5  # x ~ N(0, 1), y = x + s n: E[x|y] = y / (1 + s^2)
draw = torch.randn(2, 200_000, generator=seeded(8), dtype=torch.float64)
given = draw[0] + s * draw[1]
mean = given / (1 + s**2)
mse = s**2 / (1 + s**2)
check("MSE of the mean", (mean - draw[0]).square().mean(), mse, 0.005, "6 errors")
residual = (given - mean).square().mean().sqrt()
check("its residual", residual, discrepancy_target(s, mse), 0.005, "6 errors")
check_range("Morozov's target over it", s / residual, low=1.05)

# %% [markdown]
# The MSE is not known either, but Stein's formula estimates it from $y$ alone, for any map $f$:
#
# $$\mathrm{SURE} = \overline{|f(y)-y|^2} - \sigma^2 + \frac{2\sigma^2}{N}\,\mathrm{div} f(y),\qquad \mathrm{div} f\approx b^\top\frac{f(y+hb)-f(y-hb)}{2h},\ b=\pm1 .$$


# %%
def my_sure(f, y, sigma, probes, generator):
    """SURE and the standard error over its probes."""
    fit, h, slopes = (f(y, sigma) - y).square().mean() - sigma**2, sigma / 10, []
    for _ in range(probes):
        b = torch.rand(y.shape, generator=generator).to(y).sub(0.5).sign()
        ends = f(y + h * b, sigma) - f(y - h * b, sigma)
        slopes.append((b * ends).sum() / (2 * h))
    slopes = 2 * sigma**2 / y.numel() * torch.stack(slopes)
    return fit + slopes.mean(), slopes.std() / probes**0.5


shrink = lambda y, sigma: y / (1 + s**2)
line = given[:4096].view(1, 1, 64, 64)
value, error = my_sure(shrink, line, s, 4, seeded(9))
check("SURE on the toy, 4096 draws", value, mse, 0.03, "5 errors")
check("a linear map: all probes agree", error, 0, 1e-12)

# %% [markdown]
# Now a real stopping problem: small steps towards a denoiser, $x\leftarrow x + 0.4\,(f(x) - x)$ from $x = y$. PSNR rises, then falls. Which rule finds the top?

# %% tags=["nbval-ignore-output"]
f, sigma, most = load_denoiser(1), 25 / 255, pick(smoke=7, quick=11, full=15)


def relaxed(y, steps):
    x = y
    for _ in range(steps):
        x = x + 0.4 * (f(x, 14 / 255) - x)
    return x


maps = [lambda y, _, n=n: relaxed(y, n) for n in range(1, most)]
studies = {}
for i, name in enumerate(("camera", "cat", "coffee")):
    clean = rk.bundled(name, gray=True, size=pick(smoke=24, quick=48, full=96))
    seen = rk.gaussian_noise(clean, sigma, generator=seeded(20 + i))
    probed = {p: [sure(m, seen, sigma, probes=p, generator=seeded(i)) for m in maps]
              for p in (4, 1)}  # fmt: skip
    studies[name] = views.study(clean, seen, sigma, [m(seen, 0) for m in maps], probed)
regret = views.regrets(studies)
check_range("dB lost by SURE, mean", regret["SURE, 4 probes"], high=0.2)
worse = min(regret["|y - x| = sigma"], regret["whitest residual"])
floor = pick(smoke=0, quick=0.2, full=0.2)
check_range("dB lost by the better of the usual rules", worse, low=floor)
views.stopping(studies, regret)

# %% [markdown]
# Morozov and whiteness stop late: they wait for all the noise and get detail too. The corrected
# target and SURE stop nearer. One probe sufficed here; smaller pictures need several.
#
# ## 8. Convergence: what the proof needs [Eq. 11 to 14]
#
# It adds up decreases of *one* objective $L(x, v)$, takes the network for a projection (it is none: page 06, 4.1), and calls the limit optimal. But
# $A$ changes, and $L$ with it. A toy where all is computable: sparse $x$, $f = \lambda|v|_1$ with its exact proximal map, one weight an entry.


# %%
def toy(direction, rounds=400, mu=1.0, lam=0.1, alpha=0.2):
    """Objective after each round, and the last x, v, a."""
    x, v, a, L = seen, seen, torch.ones_like(seen), []
    for _ in range(rounds):
        x = x - (a * (a * x - seen) + mu * (x - v)) / (a.square().max() + mu)
        v = x.sign() * (x.abs() - lam / mu).clamp(min=0)
        a = a - alpha * direction(a, x, a * x - seen)
        parts = (a * x - seen).square() / 2 + mu * (v - x).square() / 2 + lam * v.abs()
        L.append(parts.sum().item())
    return L, x, v, a


# %%
true = torch.randn(200, generator=seeded(6), dtype=torch.float64)
true = torch.where(torch.rand(200, generator=seeded(7)) < 0.2, true, 0.0)
seen = true + 0.1 * torch.randn(200, generator=seeded(8), dtype=torch.float64)
ways = {"A = I": lambda a, x, r: 0 * a, "gradient": lambda a, x, r: r * x}
ways["printed"] = lambda a, x, r: x * a * x - seen
ends = {name: toy(way) for name, way in ways.items()}
rise = {name: torch.tensor(L).diff().max() for name, (L, *_) in ends.items()}
check_range("A fixed: largest rise of L", rise["A = I"], high=1e-12)
check_range("gradient: largest rise of L", rise["gradient"], high=1e-12)
check_range("printed: largest rise of L", rise["printed"], low=0.1)
error = {n: ((e[2] - true).norm() / true.norm()).item() for n, e in ends.items()}
check_range("error, free A over fixed", error["gradient"] / error["A = I"], low=2)
views.energies({name: L for name, (L, *_) in ends.items()}, error)

# %% [markdown]
# With the true gradient the proof can be repaired: count $A$ among the variables, and $L$ falls in every step. Now look at what it falls *to*: a small $v$ is cheap, so $x$ shrinks
# and $A$ grows to make up for it. A lower objective, a worse picture: stationary is not optimal. And with a network?

# %% tags=["nbval-ignore-output"]
scene = rk.bundled("camera", gray=True, size=pick(smoke=32, quick=96, full=192))
speckled = rk.gaussian_noise(scene, sigma, generator=seeded(0))
update = rk.OperatorUpdate(rk.methods.operator_updates.Diagonal(), "gradient", 0.3)
n = speckled - f(speckled, 1.2 * sigma)
solver = rk.DynamicPnP(speckled, f, update, n, sigma=sigma, delta=0.3)
count = pick(smoke=6, quick=25, full=60)
record = {"move": lambda s: s.moved, "dB": lambda s: dB(s.v, scene)}
history = run(solver, count, record=record).history
way, quality = history["move"][1:], history["dB"][1:]
least = pick(smoke=0.99, quick=0.2, full=0.1)
check_range("last move over the largest", way[-1] / max(way), high=least)
once = dB(f(speckled, sigma), scene)
check_range("where it settles, over one pass, dB", quality[-1] - once, high=0)
views.converging(way, quality, once)

# %% [markdown]
# The moves shrink [Eq. 13], and what they settle on is worse than one pass. Convergence says that a scheme *stops*, not that it helps.
#
# ## 9. A fair experiment
#
# Twelve pictures that nothing was tuned on, shaken anew, half of them with turning. Gains over one pass of DMPHN(1-2-4); `true kernel` is the headroom. Then: the
# paper's GoPro numbers; how near our copies of its networks come to their published outputs; other blurs; parts of other pages plugged in.

# %%
shown, records = views.deblurring()
display(*shown, views.printed_gains(), views.agreement())
display(views.limits(), views.plugs())

# %% [markdown]
# As printed (`literal`), nothing. Corrected, more than ten times the claimed gain on average, and no picture loses visibly; a shallow net with it
# beats deeper ones alone. With 1% noise the network itself falls below its input, and the scheme makes up for a part of that; clipped highlights leave little.
#
# ## 10. Claims
#
# From the stored tables, page 06's too, by the rule of [page 03b](03b_mlmc_tested.ipynb), section 4.3. P1 to P3 and P5 concern denoising, P4 and R1 deblurring.

# %%
records |= views.denoising()[1]
order = [records[name] for name in sorted(records)]
display(*map(claim, order), views.tally(order))

# %% [markdown]
# ### Your own picture
#
# A shaken photograph of yours (PNG, JPEG, TIFF, WebP or BMP, at most 20 MB). Its network pass needs DMPHN's weights (`RESTOREKIT_WEIGHTS`); without them the next cell
# says so and takes the astronaut. The clock's shake is longer than our kernels' 25 pixels: no safeguard sees that, weights at the window's edge tell it.

# %%
chosen = upload(
    default="clock",
    side=pick(smoke=64, quick=160, full=400),
    question="Which picture is shaken?",
)
chosen

# %% tags=["nbval-ignore-output"]
own, first, note = views.own_pass(chosen.value)
better = rk.deblur_dynamic(own, first)
display(note, views.own_picture(own, first, better))

# %% [markdown]
# ## 11. Exercises
#
# Replace the dots and run the cell; the checker names likely errors, hints unfold one by one.
#
# **11.1 Predict.** Noise of 25 gray levels; a posterior mean has an error of 7 (rms). What is the rms of $y - v$?

# %% tags=["exercise"]
my_residual = ...

task_1 = tasks.residual()
my_residual = task_1(my_residual)
task_1

# %% tags=["solution"]
solved = tasks.residual()((25**2 - 7**2) ** 0.5)

# %% [markdown]
# **11.2 Code, harder.** Drop $k\ge0$ and keep $\sum k = 1$: minimize $\tfrac12k^\top Gk - b^\top k$ with `G` (n, n) positive definite, in closed form.


# %% tags=["exercise"]
def my_affine_fit(G, b): ...


task_2 = tasks.affine_fit()
my_affine_fit = task_2(my_affine_fit)
task_2


# %% tags=["solution"]
def solution_2(G, b):
    free = torch.linalg.solve(G, b)
    ones = torch.linalg.solve(G, torch.ones_like(b))
    return free + (1 - free.sum()) / ones.sum() * ones


solved = tasks.affine_fit()(solution_2)

# %% [markdown]
# **11.3 Code.** The periodic autocorrelation of a residual `r` (H, W), mean taken off, 1 at lag (0, 0): what `whiteness` sums up. Use the FFT.


# %% tags=["exercise"]
def my_autocorrelation(r): ...


task_3 = tasks.autocorrelation()
my_autocorrelation = task_3(my_autocorrelation)
task_3


# %% tags=["solution"]
def solution_3(r):
    power = torch.fft.fft2(r - r.mean()).abs() ** 2
    rho = torch.fft.ifft2(power).real
    return rho / rho[0, 0]


solved = tasks.autocorrelation()(solution_3)

# %% [markdown]
# **11.4 Code.** Windows in one dimension: `m` raised cosines over `n` pixels between the centers of `m` equal cells, (m, n), adding up to 1; beyond the outer centers the outer
# window is 1.


# %% tags=["exercise"]
def my_windows(n, m): ...


task_4 = tasks.windows()
my_windows = task_4(my_windows)
task_4


# %% tags=["solution"]
def solution_4(n, m):
    t = ((torch.arange(n).double() + 0.5) * m / n - 0.5).clamp(0, m - 1)
    away = (t - torch.arange(m).double()[:, None]).abs().clamp(max=1)
    return 0.5 + 0.5 * torch.cos(torch.pi * away)


solved = tasks.windows()(solution_4)

# %% [markdown]
# **11.5 Extend.** Give `toy` a penalty $\tfrac{\kappa}{2}\lVert a-1\rVert^2$. From which $\kappa$ on does the lower objective no longer cost accuracy? What have you then assumed about $A$?
#
# ## 12. Deviations and limits
#
# | print | here | why |
# |---|---|---|
# | Eq. 10 | exact least squares for a kernel | it is no gradient; dense $A$ explains everything (page 06) |
# | one gradient step of $10^{-3}$ [Eq. 6] | exact data step | the small step does not move |
# | the result is $v = f(x)$ | $x$ | section 4.3 |
# | two to four rounds | one | section 5 |
# | GoPro, 1111 pairs | shaken pictures made here | no sharp frames at hand: R1 cannot be tested |
# | a limit that is optimal [Sec. 4.4] | stationary at best | section 8 |
#
# One kernel for a place assumes a still scene: moving objects, depth and clipped highlights break it; the safeguards then keep $v$.
#
# ## 13. Recap
#
# You can now **fit** a kernel to a network's result, **undo** it in one step, **say** when not to believe it, **stop** without the truth, and **tell** what a convergence proof leaves open.

# %%
because = "The network cannot use its own result, but y can: the blur between the two is over-determined."
display(guess.reveal(2, because))
quiz(tasks.QUIZ)

# %% [markdown]
# Before: [06](06_dynamic_plug_and_play.ipynb), denoising and the gradients.
#
# | read on | because |
# |---|---|
# | Wang et al., *Stacking Networks Dynamically for Image Restoration Based on the Plug-and-Play Framework*, 2021 | the claims |
# | Zhang et al., *Deep Stacked Hierarchical Multi-Patch Network for Image Deblurring*, 2019 | DMPHN |
# | Cho and Lee, *Fast Motion Deblurring*, 2009; Xu et al., *Image Smoothing via L0 Gradient Minimization*, 2011 | kernels from strong edges |
# | Whyte et al., *Non-uniform Deblurring for Shaken Images*, 2010 | one path, many kernels |
# | Stein 1981; Ramani, Blu and Unser 2008 | SURE, and by probes |
# | Almeida and Figueiredo 2013 | whiteness as a rule |
# | Bolte, Sabach and Teboulle, *Proximal Alternating Linearized Minimization*, 2014 | the proof that would be needed |
