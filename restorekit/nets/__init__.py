"""Network architectures, one a file. Weights are drawn from an explicit generator, never from a global seed."""

from .kernel_net import KernelNet, hold_centroid
from .skip import SkipNet

__all__ = ["KernelNet", "SkipNet", "hold_centroid"]
