"""Training of VDN for gray pictures: min over both nets of E `variational_bound`, y = x + n with known x.

Pictures, patches, noise levels (constant or varying smoothly over a patch), schedule and averaging as in the recipe of the
noise-map denoiser; gradients are cut to a norm of CLIP, since a bad guess of a variance costs thousands of nats. The net is told nothing
about the noise. Published: widths (64, 128, 256, 512), trained on BSD500, Waterloo and CBSD432 crops; ours is small, on train400.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...nets.vdn import EPS2, VDN, WINDOW, load_vdn, variational_bound
from . import denoiser

NAMES = {"vdn_gray": (1, "train400")}
SIZES = {"smoke": {"vdn_gray": 20}, "quick": {"vdn_gray": 1000}, "full": {"vdn_gray": 10000}}
WIDTHS, NOISE_FEATURES = (32, 64, 80), 24
LR, CLIP = 5e-4, 1e3


class VDNTrainer(denoiser.DenoiserTrainer):
    """The trainer of the noise-map denoiser with VDN's net and bound."""

    names = NAMES
    lr, clip = LR, CLIP

    def _make_net(self, channels: int) -> nn.Module:
        return VDN(channels, widths=WIDTHS, noise_features=NOISE_FEATURES, generator=self._generator)

    def _loss(self, clean: Tensor, noisy: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        q = self.net.posterior(noisy)  # type: ignore[operator]
        loss = variational_bound(q, noisy, clean)
        return loss, (q.mean.detach() - clean).abs().mean()

    def describe(self) -> dict[str, Any]:
        """As for the denoiser, with this net and loss."""
        about = super().describe()
        for key in ("features", "layers"):
            del about[key]
        return {
            **about,
            "net": "restorekit.nets.VDN",
            "widths": list(WIDTHS),
            "noise_features": NOISE_FEATURES,
            "largest_gradient": CLIP,
            "loss": f"negative variational bound, p = {WINDOW}, eps2 = {EPS2}",
        }


def learner(name: str, size: str, *, steps: int | None = None, seed: int = 0, device: torch.device | str = "cpu") -> VDNTrainer:
    """The trainer of these weights in one of the SIZES, or with another number of steps."""
    return VDNTrainer(name, steps or SIZES[size][name], seed=seed, device=device)


def summary(about: Mapping[str, Any]) -> dict[str, str]:
    """What a record says, in words for a list."""
    return denoiser.summary(about)


def problems(name: str, path: Path, about: Mapping[str, Any]) -> list[str]:
    """What is wrong with weights and their record, in words."""
    load_vdn(path)
    return denoiser.file_problems(path, about)
