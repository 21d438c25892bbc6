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
# # What if we combine them?
#
# **The promise.** You will restore a blurred, noisy picture of which nothing is known, with a part of each paper; say what each
# part is worth; then rerun the papers' tables and look up any claim's verdict.
#
# *Teaching it?* Sections 2, 4 and 8 fill 45 minutes; sections 5 to 7 and 9 make a lab, sections 10 and 11 a seminar on claims.

# %%
import tempfile

import torch
from IPython.display import HTML, Markdown, display

import restorekit as rk
from restorekit.experiments import ledger, load_claims, progress_view
from restorekit.kernels import gaussian_kernel, project_simplex
from restorekit.methods.guided_restoration import guidance_map
from restorekit.methods.kernel_fit import fit_kernel
from restorekit.nets import load_denoiser
from restorekit.nets.guided import load_guided
from restorekit.nets.rrdb import load_restorer
from restorekit.teach import *
from restorekit.teach import tasks_07 as tasks
from restorekit.teach import views_07 as views
from restorekit.teach.views_07 import dB, seeded

display(views.opening())
size_switch()

# %% [markdown]
# ## 1. Predict
#
# Choose before you run anything; the recap takes it up again.

# %%
guess = predict(
    "MLMC restores a blurred, noisy picture alone. Give its kernel to a net that is led by "
    "a noise map, and refit the kernel. On average over twelve pictures that is:",
    ["worse than MLMC alone", "0 to 1 dB better", "more than 1 dB better"],
)
guess

# %% [markdown]
# ## 2. The failure: each part alone
#
# A picture, a Gaussian blur, two percent of noise; the border is a real one. MLMC knows no noise map, the guided net no kernel, a denoiser
# neither.

# %%
side = pick(smoke=24, quick=48, full=96)
whole = rk.bundled("coins", gray=True, size=2 * side)
true_k = gaussian_kernel(15, (2.0, 1.2), 0.5)
middle = (..., slice(side // 2, 3 * side // 2), slice(side // 2, 3 * side // 2))
x = whole[middle].contiguous()
blurred = rk.Blur(true_k, "reflect")(whole)[middle]
y = rk.gaussian_noise(blurred, 0.02, generator=seeded(0))

# %% tags=["nbval-ignore-output"]
blind = rk.super_resolve_blind(y, 1, generator=seeded(0), progress=True)
sharp = rk.kernels.delta_kernel(15)
alone = {
    "observed": y,
    "MLMC": blind.image,
    "guidance": rk.restore_guided(y, sharp).image,
    "denoiser": load_denoiser(1)(y, 0.02),
    "AND": load_restorer("adversarial", 1, 1)(y),
}
views.alone(alone, x)

# %% [markdown]
# Without a kernel nothing gets sharp; MLMC sharpens, and its untrained net knows little of pictures. Each part lacks what another has.
#
# ## 3. The model
#
# $$y = x * k + n,\qquad n_i\sim N(0,\sigma_i^2),\qquad x, k, \sigma\ \text{all unknown}$$
#
# | symbol | in code | shape | unit | found by |
# |---|---|---|---|---|
# | $y$, $x$ | `y`, `x` | (1, C, H, W) | 0 to 1 | |
# | $k$ kernel | `k` | (1, 1, m, m) | sums to 1 | MLMC, then the A-step |
# | $\sigma$ noise map | `sigma` | (1, 1, H, W) | std | guidance |
# | $v$ restored | `v` | as $x$ | 0 to 1 | the guided net |

# %% [markdown]
# $$k^{(0)} = \text{MLMC}(y),\qquad \sigma = \mathcal H_\theta(y)\quad\text{[MLMC Alg. 1; Bilevel Eq. 4]}$$
#
# $$v^{(t)} = \mathcal A_\omega^{-1}(y;\,k^{(t)},\sigma)\quad\text{[Bilevel Eq. 5]}$$
#
# $$k^{(t+1)} = \arg\min_{k\ge0,\ \sum k = 1}\ \tfrac12\sum_d\lVert \partial_d v^{(t)} * k - \partial_d (y - g(y))\rVert^2\quad\text{[Dynamic PnP Eq. 9, exactly]}$$
#
# $g(y)$: the noise that a denoiser takes off. Dynamic plug-and-play starts at $A^{(0)} = I$; here it starts where MLMC ends.
#
# ## 4. From scratch
#
# ### 4.1 The noise map

# %%
net, proxy = load_guided()
sigma = guidance_map(y, proxy)
quarters = rk.noise_map((side, side), "quadrants", low=0.01, high=0.05)
uneven = rk.gaussian_noise(blurred, quarters, generator=seeded(1))
found = guidance_map(uneven, proxy)
check_range("mean of the map over the true 0.02", sigma.mean() / 0.02, 0.7, 1.4)
h = side // 2
corners = [found[..., a : a + h, b : b + h].mean() for a in (0, h) for b in (0, h)]
most = max(corners) / min(corners)
check_range(
    "noisiest corner over the quietest", most, low=pick(smoke=1.1, quick=2.0, full=2.0)
)

# %% [markdown]
# The proxy reads the level off the picture, also where it varies. Its training had noise of 1 to 5%.
#
# ### 4.2 The A-step: a kernel by least squares
#
# The picture $v$ shifted by each tap is a column; differences along rows and columns; then a step down and back to the simplex,
# with momentum.


# %%
def my_fit(v, y, m, ridge=1e-3, steps=2000):
    """argmin over the simplex of sum_d |d_d v * k - d_d y|^2; periodic."""
    taps = [(i - m // 2, j - m // 2) for i in range(m) for j in range(m)]
    grad = lambda p: torch.cat([(p.roll(-1, d) - p).flatten() for d in (2, 3)])
    V = torch.stack([grad(v.roll(tap, (2, 3))) for tap in taps], 1)
    G, b = V.T @ V, V.T @ grad(y)
    G += ridge * G.diagonal().mean() * torch.eye(m * m).to(G)
    step = 1 / torch.linalg.eigvalsh(G).max()
    k = last = torch.full((1, 1, m, m), 1 / m**2).to(G)
    for t in range(steps):
        z = k + t / (t + 3) * (k - last)
        down = z.flatten() - step * (G @ z.flatten() - b)
        last, k = k, project_simplex(down.view_as(z))
    return k


# %%
scene, small = x.double(), gaussian_kernel(5, (1.1, 0.7), 0.4, dtype=torch.float64)
seen = rk.Blur(small, "circular")(scene)
noisy = seen + 0.01 * torch.randn(seen.shape, generator=seeded(2), dtype=seen.dtype)
mine = my_fit(scene, noisy, 5)
theirs = fit_kernel(scene, noisy, 5, padding="circular")
parity(mine, theirs, 1e-6)
planted = my_fit(scene, seen, 5, ridge=0.0, steps=5000)
check("planted kernel, no noise", planted, small, 0.02, "slow directions")

# %% [markdown]
# With the true picture the kernel comes back; with a restored one, $v$, it is the kernel that explains $y$ *given $v$*: it need not come nearer the
# true one.
#
# ### 4.3 The loop, equal to the library's


# %%
def my_combination(y, k, sigma, rounds):
    """v and k of each round."""
    states, target = [], load_denoiser(1)(y, sigma)  # y - g(y)
    for t in range(rounds + 1):
        if t:
            k = fit_kernel(v, target, k.shape[-1], padding="reflect", ridge=0.1)
        v = rk.restore_guided(y, k, sigma=sigma).image
        states.append((v, k))
    return states


# %% tags=["nbval-ignore-output"]
k = blind.kernel
states = my_combination(y, k, sigma, 4)
whole_call = rk.restore_combined(y, k, rounds=3)
last = [value.double() for value in states[3]]
parity(last[0], whole_call.image.double(), 1e-5, name="same picture, float32")
parity(last[1], whole_call.kernel.double(), 1e-5, name="same kernel, float32")
for name, picture in {"MLMC": blind.image, "combination": whole_call.image}.items():
    print(f"{name}: {dB(picture, x):.2f} dB")

# %% [markdown]
# ## 5. See it move
#
# *Before you step:* which round gains most? Does the kernel come nearer the true one as the picture gets better?

# %% tags=["nbval-ignore-output"]
rounds = views.Rounds(states, x, true_k)
display(rounds.strip(), views.kernels({"MLMC": k, "round 3": states[3][1]}, true_k))
rounds.player()

# %% [markdown]
# Picture and kernel help each other here. They need not: a kernel fitted to a restored picture also makes up for what the net does to
# pictures, and where that picture is wrong (two cases of section 8), so is the kernel.
#
# ## 6. Another prior
#
# The same kernel and map, and plug-and-play in place of the guided net: the shipped denoiser, or the restorer trained against
# adversarial degradations.

# %% tags=["nbval-ignore-output"]
priors = {
    name: rk.restore_combined(y, k, prior=name).image
    for name in ("guided", "denoiser", "and")
}
views.alone({"MLMC": blind.image, **priors}, x)

# %% [markdown]
# Plug-and-play trusts the kernel to the last step; the guided net's data step is weak and its convolutions mend the rest. AND's
# restorer is told no level: applied eight times it removes what it takes for damage eight times, the static stacking of page 06.
#
# ## 7. Break it: a wrong start
#
# MLMC's part is the start. Replace it by a round Gaussian of any width, and see what the A-step can mend.

# %% tags=["nbval-ignore-output"]
widths = [0.4, 0.8, 1.2, 1.6, 2.0, 2.6, 3.2]
begun = [my_combination(y, gaussian_kernel(15, w), sigma, 3) for w in widths]
mended = {
    "no A-step": [dB(s[0][0], x) for s in begun],
    "three rounds": [dB(s[3][0], x) for s in begun],
}
true_width = (2.0 * 1.2) ** 0.5
explore(
    lambda width: views.starts(widths, mended, true_width, width),
    width=Control(options=widths, default=0.4, label="width (px)"),
    question="Up to which start do three rounds come as high as from a good one?",
)

# %% [markdown]
# Too narrow a start is mended almost whole; too wide a one makes rings, and the A-step takes the rings for the picture. A start on the narrow
# side is the safer error.
#
# ## 8. A fair experiment
#
# Twelve cases: the pictures of Set12, a random Gaussian each, 1, 2 or 3% noise, one draw each, so spreads are over cases. Constants were set on
# bundled pictures; a first version, whose A-step fitted $y$ itself, was seen to lose here before it was mended there.

# %%
lab, stored = views.stored_or_command("lab_combination")
rows = lab.summarize(stored.rows)
record = lab.claims(stored.rows, "quick")[0]
gain = next(row for row in rows if row["method"] == "combination")["over mlmc"]
check_range("the combination over MLMC alone, dB", gain, low=0)
display(views.summary(rows, stored), views.verdict(rows, record), claim(record))

# %% [markdown]
# The gap from a row that leaves one part out to `combination` is what the part is worth beside the others. Most cases gain; a few lose: there
# the A-step runs off, and without truth nobody sees it. A map is worth nothing where the noise is the same everywhere.
#
# ## 9. Your own picture
#
# Choose one (PNG, JPEG, TIFF, WebP or BMP, at most 20 MB; its middle is taken), then run the next cell again. Nobody knows its kernel.

# %%
chosen = upload(
    default="text", side=pick(smoke=24, quick=64, full=128),
    question="Which picture shall be restored?",
)  # fmt: skip
chosen

# %% tags=["nbval-ignore-output"]
photo = chosen.value
lab_photo = rk.restore_combined(photo, generator=seeded(0))
shown = {"photo": photo, "MLMC": lab_photo.mlmc, "combination": lab_photo.image}
level = lab_photo.sigma.mean().item()
says = f"A photo, MLMC's picture and the combination; noise found {255 * level:.1f} of 255."
show({name: v.clamp(0, 1) for name, v in shown.items()}, alt=says)

# %% [markdown]
# Here the combination is sharper than MLMC, and grainier. On a sharp photo the kernel found is small and little happens; JPEG blocks are no Gaussian noise and are sharpened too. With
# RESTOREKIT_DATA set, try `rk.dataset("realsrset")["chip"].load()`.
#
# ## 10. Rerun a table
#
# Each table is a grid of cells; a run can be stopped at any time and goes on where it was. Choose a table and a size, press Run.

# %% tags=["nbval-ignore-output"]
view = progress_view("alignment", "smoke", store=tempfile.mkdtemp())
view.run()
done = view.wait(timeout=120)
again = view.run() or view.wait(timeout=120)
check("cells computed the second time", again.computed, 0, 0)
display(view, HTML(view.filled.value))

# %% [markdown]
# The same from a terminal: `python -m restorekit experiments run NAME --size quick`, with `--jobs -1` for all cores and `--dask ADDRESS` for a
# cluster. `experiments compare NAME` puts the stored table beside the print:

# %%
display(views.beside_print("and_ablation"))
says = "PSNR over bicubic of four trainings on each degradation that none had, with 0 as bicubic."
views.figure("and_unseen", says)

# %% [markdown]
# A difference in dB mixes methods with pictures, scales and training times. `gain` against `printed gain`, each over the same baseline on its
# own pictures, says more: the order may agree where no number does.
#
# ## 11. The ledger
#
# Every claim that was read in the four papers, with the verdict that stored tables give. `python -m restorekit claims check` computes all of them
# again.

# %% tags=["nbval-ignore-output"]
records = load_claims()
display(views.counts(records), views.ledger_table(records, "MLMC"))
differ = ledger.differences()
check("records that differ from what the tables give now", len(differ), 0, 0)

# %% tags=["nbval-ignore-output"]
for paper in ("AND", "Bilevel", "Dynamic PnP"):
    display(Markdown(f"**{paper}**"), views.ledger_table(records, paper))

# %% [markdown]
# Most verdicts are about small nets, small pictures and short runs; the column `size` says so, and the paper may be right where we were
# too small to see it.
#
# ## 12. Exercises
#
# **12.1 Code.** A kernel $k'$ stands in for $k$; `left` is the root mean square of $(k-k')*x$, independent of the noise of std `sigma`. Which noise level
# should a non-blind method be told?


# %% tags=["exercise"]
def my_level(sigma, left): ...


task_1 = tasks.kernel_error()
my_level = task_1(my_level)
task_1


# %% tags=["solution"]
def solution_1(sigma, left):
    return (sigma**2 + left**2) ** 0.5


solved = tasks.kernel_error()(solution_1)

# %% [markdown]
# **12.2 Code.** `mine` and `other` are the scores of two methods on the same cases. Return the mean gain, its standard error, and the share of cases that gain.


# %% tags=["exercise"]
def my_summary(mine, other): ...


task_2 = tasks.wins()
my_summary = task_2(my_summary)
task_2


# %% tags=["solution"]
def solution_2(mine, other):
    gain = mine - other
    error = gain.std() / len(gain) ** 0.5
    return gain.mean().item(), error.item(), (gain > 0).double().mean().item()


solved = tasks.wins()(solution_2)

# %% [markdown]
# **12.3 Code.** Let $A$ be one number $a$, a change of brightness. Write its exact A-step: the $a$ that minimizes $|a v - y|^2$.


# %% tags=["exercise"]
def my_A(v, y): ...


task_3 = tasks.brightness()
my_A = task_3(my_A)
task_3


# %% tags=["solution"]
def solution_3(v, y):
    return ((v * y).sum() / (v * v).sum()).item()


solved = tasks.brightness()(solution_3)

# %% [markdown]
# **12.4 Extend.** Give section 7 a motion kernel as truth, and `kernel_prior="motion"` to MLMC. Does the A-step mend a Gaussian start now?
#
# ## 13. Deviations and limits
#
# | print | here | what it changes |
# |---|---|---|
# | each paper restores with its own parts | parts exchanged | the combination is no paper's claim; L1 is ours |
# | Dynamic PnP: $A^{(0)} = I$, one gradient step | MLMC's kernel, exact least squares | page 06: as printed it changes nothing |
# | guided net: kernel known or by another method | kernel by MLMC | it was trained with true kernels only |
# | real photos: scored by eye | the same | no verdict |
#
# Gray training, Gaussian kernels, uniform noise, small pictures: elsewhere the order may turn.

# %% [markdown]
# ## 14. Recap
#
# You can now **give** each unknown to a method, **write** the A-step, **judge** a combination by its parts, **rerun** and **compare** a table, and **find** a
# verdict with its command.

# %%
because = f"In table lab_combination it is {gain:+.2f} dB on average over twelve cases."
display(guess.reveal(0 if gain < 0 else 1 if gain <= 1 else 2, because))
quiz(tasks.QUIZ)

# %% [markdown]
# This is the last page. Before: [06](06_dynamic_plug_and_play.ipynb); the beginning: [00](00_start_here.ipynb).
#
# | read on | because |
# |---|---|
# | MLMC, AND, bilevel hyper-guidance, dynamic plug-and-play | the four papers |
# | Zhang et al., DPIR, 2021 | plug-and-play with a known kernel |
# | Krishnan and Fergus 2009; Levin et al. 2009 | why maximum a posteriori prefers no blur |
# | Donoho et al. 2009, *Reproducible research in computational harmonic analysis* | why tables should rerun |
