"""Times that carry from machine to machine, and the memory of one cell alone.

    u = CPU seconds of 20 x (forward, backward, Adam step) of a plain image net at 128 x 128 on one thread

A method that costs c CPU seconds costs c / u units, u measured in the same run. The net is the one that published blind
methods share: 5 levels, 128 channels, skip 16, bilinear upsampling, reflection padding, non-local blocks in the three deepest
encoders, 2.36 M parameters. It is written here in the plainest form, `nn.Conv2d` for 1x1 too and contiguous NCHW as those
programs run it, and apart from `restorekit.nets`, so that making ours faster does not move the unit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from .._check import fail
from .cell import Cell

UNIT_STEPS = 20
PUBLISHED_UNITS = 67.0  # what the published MLMC code costs, 1000 image steps at 128 x 128
SIDE, CHANNELS, SKIP, LEVELS, INPUTS = 128, 128, 16, 5, 3
NON_LOCAL_FROM = 2  # level, 0 is the finest
MB = 1000.0  # kibibytes, as the published peaks are counted


class _NonLocal(nn.Module):
    """x + W softmax(theta(x)^T phi(x)) g(x), at half the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.theta, self.phi, self.g = (nn.Conv2d(channels, half, 1) for _ in range(3))
        self.out = nn.Sequential(nn.Conv2d(half, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        theta, phi, g = (net(x).flatten(2) for net in (self.theta, self.phi, self.g))
        mixed = g @ torch.softmax(theta.transpose(1, 2) @ phi, -1).transpose(1, 2)
        return x + self.out(mixed.view(*mixed.shape[:2], *x.shape[2:]))


def _block(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    pad = [nn.ReflectionPad2d(size // 2)] if size > 1 else []
    return nn.Sequential(*pad, nn.Conv2d(inputs, outputs, size, stride), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True))


class _Level(nn.Module):
    def __init__(self, level: int) -> None:
        super().__init__()
        inputs = CHANNELS if level else INPUTS
        self.skip = _block(inputs, SKIP, 1)
        down: list[nn.Module] = [_block(inputs, CHANNELS, 3, 2), _block(CHANNELS, CHANNELS, 3)]
        if level >= NON_LOCAL_FROM:
            down.insert(1, _NonLocal(CHANNELS))
        if level + 1 < LEVELS:
            down.append(_Level(level + 1))
        self.down = nn.Sequential(*down, nn.Upsample(scale_factor=2, mode="bilinear"))
        joined = CHANNELS + SKIP
        self.up = nn.Sequential(nn.BatchNorm2d(joined), _block(joined, CHANNELS, 3), _block(CHANNELS, CHANNELS, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.up(torch.cat([self.down(x), self.skip(x)], 1))


def plain_net() -> nn.Module:
    """The net of the unit: (1, 3, 128, 128) -> (1, 3, 128, 128)."""
    return nn.Sequential(_Level(0), nn.Conv2d(CHANNELS, 3, 1), nn.Sigmoid())


def reference_unit(steps: int = UNIT_STEPS) -> float:
    """CPU seconds of 20 steps of the plain net on one thread, from `steps` steps after one that is not timed.

    Few steps suffice to follow a machine whose speed changes with its load. Raises ValueError if steps < 1.
    """
    if steps < 1:
        fail(f"steps={steps}", "1 or more", "leave it out for 20")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):  # weights do not matter here, the caller's randomness does
            net = plain_net()
        z, y = (torch.linspace(0, 1, 3 * SIDE**2).view(1, 3, SIDE, SIDE) for _ in range(2))
        optimizer, start = Adam(net.parameters(), 5e-3), 0.0
        for step in range(steps + 1):
            if step == 1:
                start = time.process_time()
            optimizer.zero_grad()
            (net(z) - y).square().mean().backward()
            optimizer.step()
        return (time.process_time() - start) * UNIT_STEPS / steps
    finally:
        torch.set_num_threads(threads)


def peak_mb() -> float | None:
    """Highest resident memory of this process so far, imports included, in MB of 1000 KiB; None where the system does not tell.

    From VmHWM on Linux, where `ru_maxrss` is carried over from the process that started this one.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / MB
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * MB if sys.platform == "darwin" else MB)


def in_fresh_process(function: Callable[[Cell], dict[str, Any]], cell: Cell) -> dict[str, Any]:
    """function(cell), computed by a new Python process on one thread, with its `peak_mb`: no other cell's memory is in it.

    `function` is a module's function of one cell that returns numbers, text and None by name. RuntimeError if the process fails,
    after its traceback on stderr.
    """
    order = json.dumps({"function": f"{function.__module__}:{function.__qualname__}", "cell": cell.to_dict()})
    run = subprocess.run(
        [sys.executable, "-m", __name__], input=order, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if run.returncode:
        sys.stderr.write(run.stderr)
        last = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
        fail(f"a failed process for {cell.method} {cell.image} ({last})", "one that ends well", "read its traceback above", RuntimeError)
    return json.loads(run.stdout.splitlines()[-1])


def _main() -> None:
    order = json.loads(sys.stdin.read())
    torch.set_num_threads(1)
    module, _, name = order["function"].partition(":")
    result = getattr(import_module(module), name)(Cell.from_dict(order["cell"]))
    print(json.dumps({**result, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    _main()
