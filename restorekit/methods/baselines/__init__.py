"""Baselines: what every method has to beat. The blind ones (dip, double_dip, ...) are imported from their own files, since they
stand on `methods.learner`, which itself needs `bicubic` from here.
"""

from .bicubic import bicubic, bicubic_downsample
from .richardson_lucy import richardson_lucy
from .tv import generic_deconvolution, generic_width, total_variation, tv_deconvolve, tv_denoise, tv_denoiser
from .wiener import wiener

__all__ = [
    "bicubic",
    "bicubic_downsample",
    "generic_deconvolution",
    "generic_width",
    "richardson_lucy",
    "total_variation",
    "tv_deconvolve",
    "tv_denoise",
    "tv_denoiser",
    "wiener",
]
