"""GPUs for the processes of a run: one process a device."""

from __future__ import annotations

import getpass
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .._lock import lock
from .cell import Cell

_last: int | None = None  # the device that this process had


def assign(jobs: int, devices: int) -> list[int]:
    """The device of each worker: worker i has device i, and there are never more workers than devices.

    jobs: processes asked for, -1 for as many as there are devices. With one device or none there is nothing to assign: [].
    """
    if devices < 2:
        return []
    return list(range(devices if jobs < 0 else min(jobs, devices)))


def gpus_for(cells: Iterable[Cell], jobs: int) -> list[int]:
    """The devices among which a run shares its cells; [] where no cell asks for a GPU (its parameter `device` says cuda) or there is
    only one: then any number of processes may run."""
    if not any(str(cell.params.get("device", "")).startswith("cuda") for cell in cells):
        return []
    return assign(jobs, _count())


@contextmanager
def own_device(gpus: Sequence[int], folder: Path | None = None) -> Iterator[int | None]:
    """Hold one of the devices alone, among all processes of this machine, and make it CUDA's current one; waits while all are taken.

    Yields None, and does nothing, for no devices. folder: where the lock files lie.
    """
    global _last
    if not gpus:
        yield None
        return
    folder = folder or Path(tempfile.gettempdir()) / f"restorekit-gpus-{getpass.getuser()}"
    order = sorted(gpus, key=lambda gpu: gpu != _last)  # a process stays where it was: each device it touches costs memory
    while True:
        with ExitStack() as held:
            taken = next((gpu for gpu in order if held.enter_context(lock(folder / f"{gpu}.lock", wait=False))), None)
            if taken is not None:
                _last = taken
                _select(taken)
                yield taken
                return
        time.sleep(0.2)


def _count() -> int:
    import torch

    return torch.cuda.device_count()


def _select(device: int) -> None:
    import torch

    torch.cuda.set_device(device)
