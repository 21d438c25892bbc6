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
# # Which degradation hurts most?
#
# **The promise.** You will build a network that does exactly nothing, push it a little and see blur, noise and color casts come out;
# then let an adversary push, see what fools it, and what it finds when nothing does.
#
# *Teaching it?* Sections 2, 4.1, 4.2 and 5 fill 45 minutes; sections 4.3 to 4.5 and 6 make a lab, section 7 the homework.

# %%
from itertools import islice

import torch
import torch.nn.functional as F
from IPython.display import Markdown, display

import restorekit as rk
from restorekit.methods import adversarial as AND
from restorekit.nets import degradation_net, load_restorer
from restorekit.nets.degradation_net import NeuralDegradation, identity_init
from restorekit.teach import *
from restorekit.teach import tasks_04 as tasks
from restorekit.teach import views_04 as views
from restorekit.teach.views_04 import dB, kept, repaired, seeded

display(views.opening())
size_switch()

# %% [markdown]
# ## 1. Predict
#
# Choose before you run anything; the recap takes it up again.

# %%
guess = predict(
    "An adversary may move all weights of an identity network a little. It wants the "
    "enlarged picture far from the true one, mean |difference|. What does it find first?",
    ["blur", "noise", "a change of colors"],
)
guess

# %% [markdown]
# ## 2. The failure
#
# A network was trained to undo bicubic reduction by two, and nothing else. Hand it what it knows, then the same picture with a
# little noise, JPEG, or blur.

# %% tags=["nbval-ignore-output"]
scene = rk.bundled("cat", size=pick(smoke=128, quick=128, full=256))
classical = load_restorer("classical", 2)
tried = ("clean", "noise 10", "JPEG 50", "blur")
rows, pictures = views.scored(classical, scene, tried)
gains = {row["input"]: row["gain"] for row in rows}
check_range("gain over bicubic on clean input, dB", gains["clean"], low=0.5)
check_range("gain on slightly noisy input, dB", gains["noise 10"], high=0)
noisy = pictures["noise 10"]
figure = compare(noisy, scene, border=2, zoom=views.middle(scene), alt=views.lost)
display(Markdown(views.table(rows)), figure)

# %% [markdown]
# What it learned is bicubic reduction, not pictures: it gains where it knows the camera, and noise of four percent makes it worse than plain
# interpolation. We cannot train for every camera. Can we train for *whatever is close to doing nothing*?
#
# ## 3. The model
#
# $$\min_{\theta_G}\ \mathbb E_x \max_{\theta_F\in S} \big\lVert x - G(F(x;\theta_F);\theta_G)\big\rVert_1,\qquad
# S = \{\theta:\ \lVert\theta-\theta^{id}\rVert_2<\varepsilon\},\quad F(x;\theta^{id}) = x\!\downarrow_s \qquad\text{[AND Eq. 1]}$$

# %% [markdown]
# | symbol | in code | shape | unit |
# |---|---|---|---|
# | $x$ sharp picture | `x` | (B, C, H, W) | 0 to 1 |
# | $F$ degradation network | `net` | $x \mapsto y$, (B, C, H/s, W/s) | 0 to 1 |
# | $G$ restorer | `up`, `classical` | $y \mapsto$ (B, C, H, W) | 0 to 1 |
# | $\theta^{id}$ weights of an identity | `W`, `net` | dict of tensors | |
# | $\delta = \theta_F - \theta^{id}$ deviation | `delta` | dict of tensors | |
# | $x\!\downarrow_s$ ideal reduction | `t`, `net.pool(x)` | as $y$ | 0 to 1 |
# | $\varepsilon$ radius | `ball` | number | length of $\delta$ |
# | strength of a degradation | `dB(y, t)` | number | PSNR in dB |
#
# $F$ stacks 3 x 3 convolutions, LeakyReLU and noise layers, with one antialiased pool between. Here $G$ stays fixed; page 04b trains it.
#
# ## 4. From scratch
#
# ### 4.1 A network that is exactly the identity [AND Sec. 3.2]
#
# Slopes 1, noise 0, only the center taps $W_i$ of the convolutions: $F$ is linear, pixel by pixel. With the Moore-Penrose inverse at
# the end,
#
# $$W_{last} = (W_n\cdots W_1)^+ \ \Rightarrow\ W_{last}W_n\cdots W_1 = I_3 .$$


# %%
def my_identity(g, channels=3, features=32, layers=4):
    """Center taps of `layers` random rotations and of the layer that undoes them."""
    W, merged = [], torch.eye(channels, dtype=torch.float64)
    for _ in range(layers):
        noise = torch.randn(features, features, generator=g, dtype=torch.float64)
        rotation = torch.linalg.qr(noise)[0]
        W.append(rotation[:, : merged.shape[0]])
        merged = W[-1] @ merged
    return [*W, torch.linalg.pinv(merged)]


def apply(W, x, pool, before):
    for i, w in enumerate(W):
        x = torch.einsum("oi,bihw->bohw", w, pool(x) if i == before else x)
    return x


# %%
x = rk.bundled("cat", size=pick(smoke=32, quick=80, full=128)).double()
for s in (1, 2, 4):
    pool = NeuralDegradation(s).pool
    made = apply(my_identity(seeded(s)), x, pool, 2)
    check(f"identity at scale {s}, borders included", made, pool(x), 1e-12, "float64")
net = NeuralDegradation(2, features=32, blocks=(2, 2)).double()
identity_init(net, generator=seeded(0))
check("the library's identity", net(x), net.pool(x), 1e-12, "float64")

# %% [markdown]
# "Exactly" up to the pool, which no network undoes: the identity of super-resolution is the ideal reduction. Training a network to do
# nothing would take many steps; this takes a few matrix products and one pseudo-inverse.
#
# Now the whole network, free to leave the identity:


# %%
def my_F(x, W, slopes, amplitudes, draws, pool, before):
    """W: 3 x 3 convolutions, one more than there are blocks."""
    for i, (a, b, n) in enumerate(zip(slopes, amplitudes, draws, strict=True)):
        x = conv(pool(x) if i == before else x, W[i])
        x = F.leaky_relu(x, 0) + a.view(1, -1, 1, 1) * x.clamp(max=0) + b * n
    return conv(x, W[-1])


def conv(x, w):
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), w)


# %%
free = AND.Ball(0.5, joint=False, factors={"conv": 1.0, "noise": 1.0, "slope": 1.0})
delta = AND.random_deviation(net, x, free, generator=seeded(1))
draws = net.draw_noise(x, generator=seeded(2))
theta = [[p + delta[f"{kind}.{i}"] for i, p in enumerate(getattr(net, kind))]
         for kind in ("convs", "slopes", "noises")]  # fmt: skip
mine = my_F(x, *theta, draws, net.pool, 2)
parity(mine, AND.deviated(net, delta, x, draws))
check_range("how far it has moved, dB", dB(mine, net.pool(x)), high=40)

# %% [markdown]
# ### 4.2 One function, many neighborhoods
#
# $F(x;\theta^{id})$ is the same for every identity, but $\partial F/\partial\theta$ is not: the same push sends two identities
# different ways. That is why AND draws a fresh one for each training step. Give four identities *the same* numbers $\delta$.

# %%
t, e = net.pool(x), {}
quiet = AND.Ball(0.3, joint=False, factors={"conv": 1.0, "slope": 1.0})
delta = AND.random_deviation(net, x, quiet, generator=seeded(3))
for seed in range(4):
    identity_init(net, generator=seeded(seed))
    check(f"identity {seed}", net(x), t, 1e-12)
    same_push = AND.match_strength(net, delta, x, 20.0)
    e[seed] = AND.deviated(net, same_push, x).detach() - t
flat = torch.stack([v.flatten() / v.norm() for v in e.values()])
cosines = (flat @ flat.T)[*torch.triu_indices(4, 4, 1)]
check_range("largest |cosine| of two residuals", cosines.abs().max(), high=0.97)
shown = {"no deviation: t": t} | {
    f"identity {i}": (t + v).clamp(0, 1) for i, v in e.items()
}
views.gallery(shown, views.one_push(cosines), cols=5)

# %% [markdown]
# Which matrices may $W_i$ be? The paper draws them normal [Xavier]. A product of such matrices shrinks some directions, its
# pseudo-inverse blows them up again, and digits are lost on the way. Rotations shrink nothing.


# %% tags=["nbval-ignore-output"]
def worst_error(features, draw, count=20):
    """Largest |F(x) - x| over many identities, float32, 5 + 5 blocks."""
    deep = NeuralDegradation(1, features=features).requires_grad_(False)
    nets = (identity_init(deep, generator=seeded(i), draw=draw) for i in range(count))
    return max((F_id(patch) - patch).abs().max().item() for F_id in nets)


patch, widths = x[..., :8, :8].float(), [8, 16, 32, 64]
lost = {d: [worst_error(n, d) for n in widths] for d in ("xavier", "orthogonal")}
ratio = lost["xavier"][1] / lost["orthogonal"][1]
check_range("xavier over rotations, 16 features", ratio, low=1.5)
check_range("rotations at 32 features and more", max(lost["orthogonal"][2:]), high=1e-6)
views.conditioning(widths, lost)

# %% [markdown]
# Narrow nets with normal draws lose digits; rotations do not care about the width. The library draws rotations
# and offers `draw="xavier"`.
#
# ### 4.3 What random deviations look like [AND Fig. 1]
#
# Identities pushed in random directions until the strength is 24 dB: without noise, without noise and casts (section 4.7), with
# noise. Then two networks that were never an identity [AND Table 2, "severe random style shift"].

# %% tags=["nbval-ignore-output"]
net, x, t = net.float(), x.float(), t.float()
plain, colors_out = lambda y: y, lambda y: AND.neutral(y, t, window=4)


def pushed(seed, ball, view, strength=24.0):  # a fresh identity, moved at random
    identity_init(net, generator=seeded(seed))
    aim = {"draws": net.draw_noise(x, generator=seeded(seed + 10)), "view": view}
    delta = AND.random_deviation(net, x, ball, generator=seeded(seed + 20))
    delta = AND.match_strength(net, delta, x, strength, **aim)
    return view(AND.deviated(net, delta, x, aim["draws"])).detach()


# %% tags=["nbval-ignore-output"]
kinds = {
    "no noise": (quiet, plain),
    "no cast": (quiet, colors_out),
    "all": (free, plain),
}
looks = {f"{kind} {s}": pushed(s, *how) for kind, how in kinds.items() for s in (1, 2)}
near = [repaired(y, t) for y in looks.values()]
wild = [
    degradation_net.xavier_init(net, generator=seeded(s))(x).detach() for s in (1, 2)
]
far = [repaired(y, t) for y in wild]
check_range("gap after a color fit, dB", min(near) - max(far), low=0.5)
looks |= {f"no identity {i}": views.stretched(y) for i, y in enumerate(wild, 1)}
views.gallery(looks, views.fitted(near, far))

# %% [markdown]
# A small step from the identity gives casts, grain and soft or sharp edges; a random network (stretched to the gray range here) gives another
# picture, which no color map brings back. This is claim A1; page 04b has its table.
#
# ### 4.4 Which layer does what
#
# Move one kind of parameter in one layer, the rest stays. Before you try: does noise look the same before and after the pool?

# %%
identity_init(net, generator=seeded(0))
draws = net.draw_noise(x, generator=seeded(10))
unit = {}
for kind, names in net.groups().items():
    for layer, name in enumerate(names[:4], 1):
        push = torch.randn(net.get_parameter(name).shape, generator=seeded(layer))
        unit[kind, layer] = AND.match_strength(net, {name: push}, x, 24.0, draws=draws)


def scaled(delta, strength, matched):
    """Errors grow nearly with the length of delta."""
    return {n: 10 ** ((matched - strength) / 20) * v for n, v in delta.items()}


def one_layer(kind, layer, strength):
    with torch.no_grad():
        return AND.deviated(net, scaled(unit[kind, layer], strength, 24), x, draws)


# %% tags=["nbval-ignore-output"]
panels = {f"{k}, layer {i}": one_layer(k, i, 22) for k in net.groups() for i in (1, 4)}
grain = [views.spectrum_slope(panels[f"noise, layer {i}"] - t) for i in (1, 4)]
bent = [repaired(panels[f"slope, layer {i}"], t) for i in (1, 4)]
check_range(
    "high over low power of noise, after / before", grain[1] / grain[0], low=1.1
)
check_range("slopes after a color fit, least dB", min(bent), low=45)
views.gallery(panels, views.by_layer(panels, t), cols=3)


# %%
def show_layer(kind, layer, strength):
    y = one_layer(kind, layer, strength)
    return views.side_by_side({f"{kind}, layer {layer}": y}, t, views.what_moved(y, t))


explore(
    show_layer,
    kind=Control(options=["conv", "noise", "slope"]),
    layer=Control(1, 4, 1, 1, label="layer (pool after 2)"),
    strength=Control(14.0, 34.0, 1.0, 22.0, unit="dB"),
    question="Which kind never blurs? Which noise is coarser: before the pool or after?",
)

# %% [markdown]
# Convolutions blur, sharpen and color; noise before the pool is averaged by it and comes out coarser; a slope acts on
# each pixel alone: it can bend colors and never blur.
#
# ### 4.5 A noise amplitude of zero has no gradient
#
# Let $y = t + b\,n$ and $G$ linear. Then
#
# $$\frac{\partial}{\partial b}\lVert Gy - x\rVert^2 = 2\langle Gn, Gt - x\rangle + 2b\lVert Gn\rVert^2,\qquad
# \mathbb E_n[\cdot] = 2b\,\mathbb E\lVert Gn\rVert^2 .$$


# %%
up = lambda y: rk.bicubic(y, 2)


def by_amplitude(b, n):
    b = torch.tensor(b, dtype=torch.float64, requires_grad=True)
    loss = (up(low + b * n) - high).square().sum()
    return torch.autograd.grad(loss, b)[0]


low, high = t.double()[..., :12, :12], x.double()[..., :24, :24]
tosses = torch.randn(200, *low.shape, generator=seeded(0), dtype=torch.float64)
grads = torch.stack([by_amplitude(0.0, n) for n in tosses])
closed = torch.stack([2 * (up(n) * (up(low) - high)).sum() for n in tosses])
check("gradient at b = 0 against the formula", grads, closed, 1e-10)
error = grads.std() / len(grads) ** 0.5
check_range(
    "mean over draws, in standard errors", grads.mean() / error, -4, 4, "p < 1e-4"
)
check_range("share of draws that point up", (grads > 0).double().mean(), 0.35, 0.65)

# %%
axis = [0.0005 * i for i in range(7)]
lines = [torch.stack([by_amplitude(b, n) for b in axis]) for n in tosses[:30]]
energy = sum(up(n).square().sum() for n in tosses) / len(tosses)
views.tosses(axis, torch.stack(lines), [2 * b * energy.item() for b in axis])

# %% [markdown]
# At zero each draw tosses a coin; on average there is nothing to climb. The remedy: start at a small positive amplitude (`FIRST_NOISE`)
# or at a random deviation, and hold the draw fixed during one search.
#
# ### 4.6 The ball, as printed [AND Sec. 4.3]
#
# $\varepsilon = 20$, five steps of 6, one ball for all parameters with factors 1, 10, 50:
#
# $$\textstyle\lVert\delta\rVert^2 = \sum_k f_k^2\lVert\delta_k\rVert^2,\quad k\in\{\text{conv},\text{noise},\text{slope}\}.$$
#
# In this metric the gradient is $\partial L/\partial\delta_k\,/f_k$, and a step of 6 must mean 6 times its unit vector.

# %% tags=["nbval-ignore-output"]
paper = NeuralDegradation(2, features=64, blocks=(5, 5))  # the paper's net
fixed = paper.draw_noise(x, generator=seeded(1))
groups, literal = identity_init(paper, generator=seeded(0)).groups(), AND.Ball()
hurt = lambda y: (up(y) - x).abs().mean()
start = {
    n: torch.full_like(p, 1e-3 * ("noises" in n)) for n, p in paper.named_parameters()
}
slope = torch.func.grad(lambda d: hurt(AND.deviated(paper, d, x, fixed)))(start)
share = views.shares(slope, literal.factors, groups)
found, _ = AND.ascend(paper, hurt, x, ball=literal, steps=5, step=6.0, draws=fixed)
ruined = AND.deviated(paper, found, x, fixed).detach()
check_range("share of the gradient held by convolutions", share["conv"], low=0.99)
check_range("PSNR of what is left of the picture, dB", dB(ruined, t), high=0)
Markdown(views.holders(share, found, groups))

# %% [markdown]
# Convolutions hold nearly the whole gradient, so noise and slopes do not move, and the radius is so large that nothing of the
# picture is left. The printed constants cannot be what was run, or the norm was another one. From here on: **a ball and a unit gradient
# for each group**, and strength set in the picture, in dB.
#
# $$\delta_k \leftarrow P_\varepsilon\big(\delta_k + \eta\, g_k/\lVert g_k\rVert\big),\qquad P_\varepsilon(v) = v\min(1,\varepsilon/\lVert v\rVert)$$


# %%
def my_ascent(net, loss, delta, radius, step, fit=lambda delta: delta):
    """Yields delta, projected and fitted, after 0, 1, 2, ... steps."""
    size = lambda v, names: torch.stack([v[n].norm() for n in names]).norm()
    groups = [[n for n in names if n in delta] for names in net.groups().values()]
    while True:
        v = {n: d.detach().requires_grad_() for n, d in delta.items()}
        value = loss(v)
        yield delta, value.item()
        g = dict(zip(v, torch.autograd.grad(value, list(v.values())), strict=True))
        for names in filter(None, groups):
            far = step / size(g, names)
            delta = delta | {n: delta[n] + far * g[n] for n in names}
            shrink = (radius / size(delta, names)).clamp(max=1)
            delta |= {n: delta[n] * shrink for n in names}
        delta = fit(delta)


# %%
tiny = NeuralDegradation(2, features=6, blocks=(1, 1)).double()
n_tiny = identity_init(tiny, generator=seeded(0)).draw_noise(high, generator=seeded(1))
harm = lambda y: (up(y) - high).abs().mean()
first = AND.random_deviation(tiny, high, free, generator=seeded(2))
walk = my_ascent(
    tiny, lambda d: harm(AND.deviated(tiny, d, high, n_tiny)), first, 0.5, 0.2
)
path = list(islice(walk, 5))
search = {"ball": free, "steps": 4, "step": 0.2, "start": first, "draws": n_tiny}
best, losses = AND.ascend(tiny, harm, high, **search)
parity([value for _, value in path], losses, name="same losses")
parity(max(path, key=lambda item: item[1])[0], best, name="same deviation")
gained = max(losses) / losses[0]
check_range("loss of the best over its random start's, equally long", gained, low=5)

# %% [markdown]
# ### 4.7 Colors do not count
#
# An adversary that changes colors wins cheaply: every pixel is wrong, and nothing is degraded. So take out of $y - t$ the affine
# color map that explains most of it, fitted on means over windows (casts are coarse, blur is not):
#
# $$\tilde y = y - \hat A t - \hat c,\qquad (\hat A,\hat c) = \arg\min \lVert \overline{y-t} - A\bar t - c\rVert^2$$


# %%
def my_neutral(y, t, window=4):
    T, e = torch.cat([t, torch.ones_like(t[:, :1])], 1), y - t
    coarse_T, coarse_e = (
        F.avg_pool2d(v, window, ceil_mode=True).flatten(2) for v in (T, e)
    )
    ridge = 1e-4 * coarse_T.shape[-1] * torch.eye(4).to(t)  # for flat patches
    gram = coarse_T @ coarse_T.mT + ridge
    cast = torch.linalg.solve(gram, coarse_T @ coarse_e.mT).mT @ T.flatten(2)
    return y - cast.view_as(y)


moved = AND.deviated(tiny, best, high, n_tiny).detach()
parity(my_neutral(moved, low), AND.neutral(moved, low, window=4))
mix = torch.tensor([[1.1, 0.1, 0], [0, 0.8, 0], [0.05, 0, 1]]).double()
cast = torch.einsum("oc,bchw->bohw", mix, low) + 0.1
check_range("a cast before, dB", dB(cast, low), high=25)
check_range("a cast after, dB", dB(my_neutral(cast, low), low), low=45)

# %% [markdown]
# ## 5. See it move
#
# Two adversaries against plain bicubic enlarging; no network is trained. Same identity, same start, same strength: 26 dB at each step.
# One sees $y$, the other $\tilde y$. *Before you step:* which finds blur? How many steps does it need?


# %% tags=["nbval-ignore-output"]
ascents = pick(smoke=3, quick=6, full=12)


def chase(seed, view, ball, target=26.0):
    """Pictures and losses of one ascent from a random direction."""
    identity_init(net, generator=seeded(seed))
    n = net.draw_noise(x, generator=seeded(seed + 10))
    look = lambda d: view(AND.deviated(net, d, x, n))
    aim = {"draws": n, "view": view}
    fit = lambda d: AND.match_strength(net, d, x, target, **aim)
    delta = fit(AND.random_deviation(net, x, ball, generator=seeded(seed + 50)))
    walk = my_ascent(net, lambda d: hurt(look(d)), delta, 1.0, 0.5, fit)
    return [(look(d).detach(), value) for d, value in islice(walk, ascents + 1)]


views_of = {"plain": plain, "color-neutral": colors_out}
chases = {name: chase(0, view, quiet) for name, view in views_of.items()}
plain_loss, neutral_loss = (steps[-1][1] for steps in chases.values())
check_range("last loss, plain over neutral", plain_loss / neutral_loss, low=1.05)
film = views.Film(chases, t)
display(film.strip(), film.player())

# %% [markdown]
# The plain adversary reaches the higher loss, yet a color map repairs its picture: it found a cast. The neutral
# one, from the same direction, removes fine detail: a blur, learned from nothing but a loss. Is this one lucky identity?

# %% tags=["nbval-ignore-output"]
ends, fits = {n: [] for n in ("plain", "neutral", "neutral, noise too", "random")}, []
for seed in range(pick(smoke=2, quick=5, full=10)):
    first_y, *_, last_y = (y for y, _ in chase(seed, colors_out, quiet))
    cast_y, grain_y = (
        chase(seed, plain, quiet)[-1][0],
        chase(seed, colors_out, free)[-1][0],
    )
    for values, y in zip(
        ends.values(), (cast_y, last_y, grain_y, first_y), strict=True
    ):
        values.append(kept(y, t))
    fits.append(repaired(cast_y, t))
check_range("plain adversary after a color fit, least dB", min(fits), low=36)
check_range("neutral: most detail kept", max(ends["neutral"]), high=0.6)
gap = min(ends["random"]) - max(ends["neutral"])
check_range("least by a random push above most by a neutral one", gap, low=0)
views.dots(ends, "fine detail kept", "Share of fine detail left by each push at 26 dB.")

# %% [markdown]
# Every identity leads the neutral adversary to blur; random directions scatter: some sharpen, some blur, none as much. With
# noise allowed, part of the strength stays grain. For an interpolation, lost detail is the worst; for a trained restorer it may be something else.
#
# ## 6. Break it: radius and strength
#
# How far may $\delta$ go? Sweep the radius without fixing the strength, in one joint ball and in a ball for each group.

# %% tags=["nbval-ignore-output"]
radii = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 20.0]
draws = identity_init(net, generator=seeded(0)).draw_noise(x, generator=seeded(10))
balls = {
    "joint, 1 / 10 / 50": (True, literal.factors),
    "a ball a group": (False, free.factors),
}


def worst_within(r, joint, factors):
    ball = AND.Ball(r, joint, factors)
    d, _ = AND.ascend(net, hurt, x, ball=ball, step=0.3 * r, draws=draws)
    return AND.deviated(net, d, x, draws).detach()


swept = {(name, r): worst_within(r, *how) for name, how in balls.items() for r in radii}
curves = {name: [dB(swept[name, r], t) for r in radii] for name in balls}
for name, line in curves.items():
    check_range(f"{name}: fall over the radii, dB", line[0] - line[-1], low=40)
views.cliff(radii, curves, {"as printed": 20.0})

# %%
explore(
    lambda radius, ball: views.swept(swept[ball, radius], radius, ball, t),
    radius=Control(options={f"{r:g}": r for r in radii}, default=0.3),
    ball=Control(options=list(curves)),
    question="At which radius does a picture stop being a degraded picture?",
)

# %% [markdown]
# No radius is right for every net: width, depth and identity change what it does to the picture. Strength in dB does not depend on
# them, and makes random and adversarial pushes comparable. Turn that knob instead: directions stay, only their length changes.

# %% tags=["nbval-ignore-output"]
aim = {"target": 26.0, "draws": draws, "view": colors_out}
away = AND.random_deviation(net, x, free, generator=seeded(50))
ways = {"random": AND.match_strength(net, away, x, **aim)}
search = {"ball": free, "steps": 8, "step": 0.5, "start": away}
ways["adversarial"] = AND.ascend(net, hurt, x, **search, **aim)[0]


# %% tags=["nbval-ignore-output"]
@torch.no_grad()
def after(d, strength, G):
    return G(colors_out(AND.deviated(net, scaled(d, strength, 26), x, draws)))


restorers = {"bicubic": up, "trained": classical}
untouched = {name: G(t) for name, G in restorers.items()}
missed = lambda d, G: 255 * (after(d, 26, G) - x).abs().mean()
excess = [missed(d, classical) - missed(d, up) for d in ways.values()]
least = pick(smoke=-9, quick=0, full=0)
check_range("trained minus bicubic, gray levels, least", min(excess), low=least)


def turned(strength, restorer):
    G = restorers[restorer]
    pictures = {n: after(d, strength, G) for n, d in ways.items()}
    return views.restored(pictures, untouched[restorer], x, strength)


# %%
explore(
    turned,
    strength=Control(16.0, 40.0, 1.0, 26.0, unit="dB"),
    restorer=Control(options=list(restorers)),
    question="At which strength does the trained network lose its lead over bicubic?",
)

# %% [markdown]
# At 26 dB both pushes hurt the trained network more than bicubic, though neither was made for it. Its own worst is yet another: an
# adversary has to follow the restorer as it learns. That is the min in front, and page 04b.
#
# ## 7. Exercises
#
# Replace the dots and run the cell; the checker names likely errors, hints unfold one by one.
#
# **7.1 Predict.** Three layers of 1 feature, one input channel, center taps 2, -0.5 and 4. Which last tap makes the network the identity?

# %% tags=["exercise"]
my_tap = ...

task_1 = tasks.last_tap()
my_tap = task_1(my_tap)
task_1

# %% tags=["solution"]
solved = tasks.last_tap()(1 / (2 * -0.5 * 4))

# %% [markdown]
# **7.2 Code.** Given the center taps `[W_1, ..., W_n]` of an identity network without its last layer, return that layer.


# %% tags=["exercise"]
def my_last(W): ...


task_2 = tasks.last_layer()
my_last = task_2(my_last)
task_2


# %% tags=["solution"]
def solution_2(W):
    merged = W[0]
    for w in W[1:]:
        merged = w @ merged
    return torch.linalg.pinv(merged)


solved = tasks.last_layer()(solution_2)

# %% [markdown]
# **7.3 Code.** Project a deviation: `delta` maps names to tensors, `groups` a kind to its names, `factors` a kind to $f_k$. Each
# group for itself: $f_k\lVert\delta_k\rVert\le$ `radius`.


# %% tags=["exercise"]
def my_projection(delta, groups, factors, radius): ...


task_3 = tasks.projection()
my_projection = task_3(my_projection)
task_3


# %% tags=["solution"]
def solution_3(delta, groups, factors, radius):
    made = {}
    for kind, names in groups.items():
        length = sum(delta[n].square().sum() for n in names) ** 0.5
        shrink = min(1.0, radius / (factors[kind] * length).item())
        made |= {n: delta[n] * shrink for n in names}
    return made


solved = tasks.projection()(solution_3)

# %% [markdown]
# **7.4 Code.** One ascent step for one group in the metric of section 4.6: from `delta` with gradient `g` (tensors) and factor `f`, move
# so that the step has length `step` *in that metric*.


# %% tags=["exercise"]
def my_step(delta, g, f, step): ...


task_4 = tasks.ascent_step()
my_step = task_4(my_step)
task_4


# %% tags=["solution"]
def solution_4(delta, g, f, step):
    return delta + step * g / (f * g.norm())


solved = tasks.ascent_step()(solution_4)

# %% [markdown]
# **7.5 Extend.** Divide the cast out instead: view $y \mapsto \hat A^{-1}(y - \hat c)$. Run `chase` with it. What becomes of $\hat A$?
#
# ## 8. Deviations and limits
#
# | print | here | why |
# |---|---|---|
# | all parameters move [Sec. 3.3] | no biases | a bias moves colors only |
# | Xavier draws [Sec. 3.2] | rotations | section 4.2 |
# | noise starts at 0 | `FIRST_NOISE`, or a random deviation; draw held fixed | section 4.5 |
# | step 6, $\varepsilon = 20$, one norm | unit gradient and ball for each group | section 4.6 |
# | strength follows from $\varepsilon$ | drawn in dB, `match_strength` | section 6 |
# | the plain loss | `neutral`, colors do not count | section 5 |
# | anti-aliased average pooling | bicubic, antialiased | another filter teaches to undo a blur that small pictures do not have |
# | edges: not said | replicated | zeros would mark the border |
#
# The reasons stand in the docstrings of `AND.Ball`, `AND.ascend`, `AND.neutral` and `identity_init`.
#
# An adversary knows one restorer and one norm: "worst" is worst *within* $S$, and rain or large motion lie outside.
#
# ## 9. Recap
#
# You can now **build** an exact identity, **say** why many are needed, **explain** the gradient at zero, **write** the ascent, and **show** what
# it finds.

# %%
because = "Each pixel of a cast is wrong, so the mean |difference| grows fastest; blur appears only when casts do not count."
display(guess.reveal(2, because))
quiz(tasks.QUIZ)

# %% [markdown]
# Next: [04b](04b_and_tested.ipynb) puts the min in front: training, its cost, pictures that no net has seen, the claims. Before:
# [03b](03b_mlmc_tested.ipynb).
#
# | read on | because |
# |---|---|
# | AND: Luo, Wu and Guo, *Adversarial Neural Degradation for Learning Blind Image Super-Resolution*, NeurIPS 2023 | the method |
# | Madry et al., *Towards Deep Learning Models Resistant to Adversarial Attacks*, 2018 | projected gradient ascent |
# | Glorot and Bengio 2010; Saxe, McClelland and Ganguli 2014 | normal draws; rotations |
# | Xu et al., *Robust and Generalizable Visual Representation Learning via Random Convolutions*, 2021 | why a random network is a style |
# | Zhang, *Making Convolutional Networks Shift-Invariant Again*, 2019 | the antialiased pool |
