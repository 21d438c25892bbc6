"""The recipes by which the shipped weights were made: `python -m restorekit weights train NAME` runs one.

A recipe module has NAMES (the weights that it makes), SIZES, learner(name, size, steps=, seed=, device=) -> a learner for
`solvers.run` with `total_steps`, `describe()`, `validation()` and `weights()`; `describe` and `validation` make the record beside
the weights. summary(record) tells it in words, problems(name, path, record) what is wrong with a file.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..._check import check_choice

_HOME = {
    "denoiser_gray": "denoiser",
    "denoiser_color": "denoiser",
    "vdn_gray": "vdn",
    **{f"{kind}_{size}": "guidance" for size in ("tiny", "general") for kind in ("guided", "unguided")},
    "guided_data_tiny": "guidance",
    **{f"{net}_{kind}": "weather" for net in ("prenet", "dehaze") for kind in ("guided", "plain")},
    **{f"kernel_flow_x{s}": "kernel_flow" for s in (1, 2, 3, 4)},
    **{f"and_{method}_x1{tail}": "adversarial" for tail in ("", "_gray") for method in ("random", "adversarial")},
    **{f"and_{method}_x{s}": "adversarial" for s in (2, 4) for method in ("classical", "random", "adversarial", "pipeline")},
}


def names() -> list[str]:
    """The weights for which there is a recipe; nothing is imported."""
    return list(_HOME)


def load(name: str) -> Any:
    """The recipe module of these weights; ValueError that lists the names if there is none."""
    check_choice(name, names(), "weights")
    return import_module(f".{_HOME[name]}", __name__)
