"""Several processes that train one net together, as `torchrun` starts them; torch.distributed does the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


def process() -> tuple[int, int]:
    """This process's number and how many work together: (0, 1) unless torch.distributed is initialised."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


@contextmanager
def together(device: str) -> Iterator[str]:
    """Join the processes that torchrun started and leave them at the end; alone (no variable WORLD_SIZE) or if joined before: nothing.

    Yields the device of this process: under torchrun "cuda" becomes the GPU of its local number. gloo on the CPU, nccl on GPUs.
    """
    if process()[1] > 1 or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield device
        return
    gpu = device.startswith("cuda")
    if gpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()
