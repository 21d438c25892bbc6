"""restorekit: a course and laboratory on image restoration.

Every public name is importable from here and is loaded on first use, so that `import restorekit` costs little
more than `import torch`: no plotting, no widgets, no optional extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# module -> the names it gives to the top level
_PUBLIC = {
    "kernels": "gaussian_kernel random_gaussian_kernel motion_kernel line_kernel disk_kernel delta_kernel project_simplex "
    "recenter kernel_moments pad_kernel KernelPrior GaussianPrior MotionPrior",
    "kernel_priors": "LinePrior",
    "operators": "LinearOperator Identity Blur Downsample BlurDown dot_test operator_norm",
    "degradations": "gaussian_noise poisson_noise noise_map jpeg rain haze camera_shake Degradation estimate_sigma",
    "weather": "random_rain rain_region",
    "depth": "made_depth plane_depth",
    "samplers": "metropolis ess rhat grid_posterior",
    "images": "load_image save_image bundled bundled_depth dataset patches split",
    "weights": "load_weights save_weights",
    "perceptual": "lpips niqe",
    "metrics": "psnr ssim luma kernel_psnr kernel_distance crop_border",
    "solvers": "iterate Result History save_state load_state HQS ADMM PGD RED CG ULA SGLD",
    "methods.baselines": "bicubic wiener richardson_lucy tv_deconvolve",
    "methods.baselines.dark_channel": "dark_channel",
    "methods.baselines.dip": "dip",
    "methods.baselines.double_dip": "double_dip",
    "methods.baselines.kernelgan": "kernelgan",
    "methods.baselines.pam": "pam",
    "methods.baselines.zssr": "zssr",
    "methods.baselines.fkp_dip": "fkp_dip",
    "methods.baselines.bsrdm": "bsrdm",
    "methods.mlmc": "MLMC MLMCState sample_kernels kernel_weights mcka_step mlao_step",
    "methods.blind": "super_resolve_blind",
    "nets.degradation_net": "NeuralDegradation identity_init",
    "methods.adversarial": "ball_project ascend minimax_step",
    "methods.degraders": "random_degradation",
    "methods.dynamic_pnp": "DynamicPnP DynamicState",
    "methods.operator_updates": "OperatorUpdate",
    "methods.priors": "DenoiserPrior stack self_ensemble",
    "methods.deblur": "deblur_dynamic",
    "methods.stopping": "sure whiteness",
    "varying_blur": "VaryingBlur",
    "shake": "shaken_pair",
    "pairs": "deblurring_pairs",
    "methods.and_trainer": "ANDTrainer",
    "methods.bilevel": "hypergradient_unrolled hypergradient_implicit hypergradient_neumann",
    "nets.proxy": "ProxyNet",
    "nets.guided": "GuidedRestorer",
    "methods.guidance": "HyperGuidance inner_step outer_step naive_step",
    "methods.guided_restoration": "restore_guided",
    "methods.combined": "restore_combined",
    "experiments": "Cell run_cells",
    "teach": "Trace stepper explore compare show_kernels plot_history parity claim exercise",
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names.split()}
_SUBMODULES = (
    "kernels",
    "operators",
    "degradations",
    "samplers",
    "images",
    "weights",
    "metrics",
    "solvers",
    "nets",
    "methods",
    "experiments",
    "teach",
)

__all__ = sorted([*_HOME, *_SUBMODULES, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    elif name in _SUBMODULES:
        value = import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module 'restorekit' has no attribute {name!r}; see dir(restorekit)")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
