"""Training of the kernel flows: max over theta of E log p(k; theta), k drawn from the Gaussians of `default_kernel_prior`.

One flow for each scale, at the size 4 s + 3 (15 at scale 1) and the centroid of align='resize'. The kernels are drawn, so no
picture is needed; `nets.kernel_flow.FlowTrainer` does the steps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...kernels import align_centroid, centered_gaussian, kernel_moments
from ...methods.blind import default_kernel_prior, default_kernel_size
from ...nets.kernel_flow import FlowPrior, FlowTrainer, FlowTraining, KernelFlow, load_kernel_flow
from ..stamp import cpu_model

NAMES = {f"kernel_flow_x{scale}": scale for scale in (1, 2, 3, 4)}
SIZES = {"smoke": 20, "quick": 300, "full": 1500}  # steps; nothing else changes
OPTIONS = {"hidden": 15, "blocks": 5, "batch": 64, "pool": 4096, "lr": 3e-3, "jitter": 0.03}
LARGEST = 1_500_000  # bytes of a file that ships
CHECKED = 500  # kernels by which a flow is judged


class KernelFlowTrainer(FlowTrainer):
    """`FlowTrainer` on the Gaussians of one scale, and what a record of it says."""

    def __init__(self, name: str, steps: int, *, seed: int = 0) -> None:
        self.name, self.scale, self.seed, self._seconds = name, NAMES[name], seed, 0.0
        prior = default_kernel_prior(self.scale, default_kernel_size(self.scale), align_centroid("resize", self.scale))
        super().__init__(prior, steps=steps, generator=torch.Generator().manual_seed(seed), **OPTIONS)  # type: ignore[arg-type]

    def step(self) -> FlowTraining:
        """One batch, one step."""
        start = time.process_time()
        state = super().step()
        self._seconds += time.process_time() - start
        return state

    def weights(self) -> dict[str, Tensor]:
        """Those that ship."""
        return self.flow().state_dict()

    def validation(self) -> dict[str, dict[str, float]]:
        """`quality` of the flow as it stands, for the record."""
        return {"validation": {name: round(value, 4) for name, value in quality(self.flow(), self.prior).items()}}

    def describe(self) -> dict[str, Any]:
        """What to know about weights made here: net, recipe, kernels, machine, CPU seconds."""
        return {
            "net": "restorekit.nets.KernelFlow",
            "size": self.prior.size,
            "steps": self._step,
            "of_steps": self.total_steps,
            **OPTIONS,
            "loss": "-log p(k)",
            "optimizer": "Adam, cosine decay",
            "seed": self.seed,
            "cpu_seconds": round(self._seconds),
            "machine": f"{cpu_model()}, {torch.get_num_threads()} thread, torch {torch.__version__}",
            "kernel_prior": repr(self.prior),
            "training_pictures": {},
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that `step` changes."""
        state = super().state_dict()
        return {**state, "plain": {**state["plain"], "_seconds": self._seconds}}


@torch.no_grad()
def quality(flow: KernelFlow, prior: Any) -> dict[str, float]:
    """Mean log p per tap of new kernels of the prior; how far the flow's own kernels are from the Gaussian of their covariance.

    The second is the median over samples of |k - gaussian| / |gaussian|.
    """
    new = prior.sample(CHECKED, generator=torch.Generator().manual_seed(1))
    own = FlowPrior(flow.size, prior.centroid, flow).sample(CHECKED, generator=torch.Generator().manual_seed(2))
    variances, axes = torch.linalg.eigh(kernel_moments(own)[2])  # the larger one last, axes in columns (row, column)
    angle = torch.atan2(axes[:, 0, 1], axes[:, 1, 1])
    gaussians = centered_gaussian(flow.size, variances.flip(1).clamp(min=0.1).sqrt(), angle, prior.centroid)
    away = (own - gaussians).norm(dim=(2, 3)) / gaussians.norm(dim=(2, 3))
    return {"log_prob_per_tap": flow.log_prob(new).mean().item() / flow.inputs, "from_gaussian": away.median().item()}


def learner(name: str, size: str, *, steps: int | None = None, seed: int = 0, device: torch.device | str = "cpu") -> KernelFlowTrainer:
    """The trainer of these weights in one of the SIZES, or with another number of steps; always on the CPU."""
    return KernelFlowTrainer(name, steps or SIZES[size], seed=seed)


def summary(about: Mapping[str, Any]) -> dict[str, str]:
    """What a record says, in words for a list: trained on what, and its scores."""
    scores = about["validation"]
    return {
        "on": f"{about['pool']} drawn kernels of {about['size']}x{about['size']}",
        "scores": f"log p per tap {scores['log_prob_per_tap']:.2f}, {scores['from_gaussian']:.1%} from Gaussians",
    }


def problems(name: str, path: Path, about: Mapping[str, Any]) -> list[str]:
    """What is wrong with weights and their record, in words: checksum, size, net, kernels that are no Gaussians."""
    found = []
    if sha256(path.read_bytes()).hexdigest() != about["sha256"]:
        found.append("the checksum differs from the record's")
    if path.stat().st_size > LARGEST:
        found.append(f"{path.stat().st_size} bytes, over {LARGEST}")
    trainer_prior = default_kernel_prior(NAMES[name], about["size"], align_centroid("resize", NAMES[name]))
    away = quality(load_kernel_flow(path), trainer_prior)["from_gaussian"]
    if away > 0.2:
        found.append(f"its kernels are {away:.0%} from Gaussians")
    return found
