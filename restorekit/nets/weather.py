"""The light nets for rain and haze that ship with the package, each with its proxy if it is guided."""

from __future__ import annotations

import os

import torch

from .._check import check_choice
from ..weights import load_weights, shipped
from .griddehaze import GridDehazeNet, light_griddehaze
from .prenet import PReNet, light_prenet
from .proxy import ProxyNet

SHIPPED = {
    f"{net}_{kind}": (task, kind == "guided") for net, task in (("prenet", "rain"), ("dehaze", "haze")) for kind in ("guided", "plain")
}
DEPTH_UNIT = 10.0  # maps of depth are handed to nets, and come out of the proxy, in units of 10 metres


def weather_nets(task: str, guided: bool, *, generator: torch.Generator) -> tuple[PReNet | GridDehazeNet, ProxyNet | None]:
    """The untrained `light_prenet` (task 'rain') or `light_griddehaze` ('haze'), and the proxy that finds its map if it is guided."""
    check_choice(task, ("rain", "haze"), "task")
    make = light_prenet if task == "rain" else light_griddehaze
    net = make(guided=guided, generator=generator)
    proxy = ProxyNet("rain" if task == "rain" else "depth", 3, generator=generator) if guided else None
    return net, proxy


def load_weather(name: str, path: str | os.PathLike[str] | None = None) -> tuple[PReNet | GridDehazeNet, ProxyNet | None]:
    """The trained net of this name and its proxy (None if it is plain): on the CPU, in float32, without gradients.

    name: 'prenet_guided', 'prenet_plain', 'dehaze_guided', 'dehaze_plain'. Maps for the net: `rain_region`, or depth in units of
    10 metres. path: another file of `python -m restorekit weights train`. What it was trained on, by which command and with
    which scores stands in the JSON beside the file. Raises ValueError for other names, FileNotFoundError for weights that are not
    there, RuntimeError for weights of another net.
    """
    check_choice(name, tuple(SHIPPED), "name")
    task, guided = SHIPPED[name]
    net, proxy = weather_nets(task, guided, generator=torch.Generator().manual_seed(0))
    weights = load_weights(shipped(name) if path is None else path)
    for owner, module in (("net", net), ("proxy", proxy)):
        if module is not None:
            module.load_state_dict({n.removeprefix(f"{owner}."): v for n, v in weights.items() if n.startswith(f"{owner}.")})
            module.eval().requires_grad_(False)
    return net, proxy
