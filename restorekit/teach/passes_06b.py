"""What the published deblurring net makes of three shaken pictures: stored, for page 06b runs without its weights too.

`RESTOREKIT_WEIGHTS=... python -m restorekit.teach.passes_06b` makes data/results/pnp_pass_NAME.png again, with their stamp.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..experiments._files import write_json
from ..experiments.stamp import data_folder, environment, now
from ..images import bundled, load_image, save_image
from ..methods.kernel_fit import fit_kernel
from ..nets import load_dmphn
from ..operators import Blur
from ..shake import shaken_pair
from ..weather import CameraPath

MARGIN, SIDE = 16, (192, 256)
SHAKES: dict[str, dict[str, Any]] = {
    "coffee": {"extent": 9.0, "seed": 1},
    "cat": {"extent": 9.0, "rotation": 0.03, "seed": 2},
    "astronaut": {"extent": 12.0, "seed": 3},
}
PASSES = ("coffee", "coffee_again", "coffee_fed", "cat", "astronaut")
MU = 0.03  # of the data step before the net is fed its result


def shaken(name: str) -> tuple[Tensor, Tensor, CameraPath]:
    """y, x and the camera's path of a bundled picture of SIDE pixels; cat: with turning, so that the kernel varies."""
    options = dict(SHAKES[name])
    size = (SIDE[0] + 2 * MARGIN, SIDE[1] + 2 * MARGIN)
    generator = torch.Generator().manual_seed(options.pop("seed"))
    return shaken_pair(bundled(name, size=size), **options, margin=MARGIN, generator=generator)


def passed(name: str) -> Tensor:
    """The stored result of one pass of DMPHN(1-2-4) in 8 bit; 'coffee_again': of two, 'coffee_fed': of one on the better picture x."""
    return load_image(data_folder("results") / f"pnp_pass_{name}.png")


def make() -> dict[str, Tensor]:
    """All PASSES by the net itself."""
    net = load_dmphn("1_2_4")
    with torch.no_grad():
        made = {name: net(shaken(name)[0]) for name in SHAKES}
        made["coffee_again"] = net(made["coffee"])
        y, v = shaken("coffee")[0], made["coffee"]
        k = fit_kernel(v, y, 25)
        made["coffee_fed"] = net(Blur(k, "replicate").prox(v, y, MU, tol=1e-4))
    return {name: made[name].clamp(0, 1) for name in PASSES}


def main() -> None:
    """Write the passes and their stamp."""
    for name, picture in make().items():
        save_image(picture, data_folder("results") / f"pnp_pass_{name}.png")
    stamp = {"command": "python -m restorekit.teach.passes_06b", "date": now(), "environment": environment(), "shakes": SHAKES}
    write_json(data_folder("results") / "pnp_pass.json", stamp)


if __name__ == "__main__":
    main()
