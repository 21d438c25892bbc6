"""Network architectures, one a file. Weights are drawn from an explicit generator, never from a global seed."""

from .degradation_net import NeuralDegradation, identity_init, xavier_init
from .discriminator import Discriminator, discriminator_loss, generator_loss, printed_gan_loss
from .dmphn import DMPHN, VMPHN, load_dmphn
from .dncnn import DnCNN, load_dncnn
from .features import FeatureLoss
from .griddehaze import GridDehazeNet, light_griddehaze
from .guided import GuidedRestorer, load_guided
from .kernel_flow import FlowPrior, KernelFlow, load_kernel_flow, shipped_kernel_flow, train_kernel_flow
from .kernel_net import KernelNet, hold_centroid
from .noise_map_denoiser import NoiseMapDenoiser, load_denoiser
from .prenet import PReNet, light_prenet, load_prenet
from .proxy import ProxyNet
from .rrdb import RRDB, blind_denoiser, light_rrdb, load_esrgan, load_restorer
from .skip import SkipNet
from .usrnet import USRNet, load_usrnet
from .vdn import VDN, VDNPosterior, load_vdn, variational_bound
from .weather import load_weather, weather_nets

__all__ = [
    "DMPHN",
    "Discriminator",
    "DnCNN",
    "FeatureLoss",
    "FlowPrior",
    "GridDehazeNet",
    "GuidedRestorer",
    "KernelFlow",
    "KernelNet",
    "NeuralDegradation",
    "NoiseMapDenoiser",
    "PReNet",
    "ProxyNet",
    "RRDB",
    "SkipNet",
    "USRNet",
    "VDN",
    "VDNPosterior",
    "VMPHN",
    "blind_denoiser",
    "discriminator_loss",
    "generator_loss",
    "hold_centroid",
    "identity_init",
    "light_griddehaze",
    "light_prenet",
    "light_rrdb",
    "load_denoiser",
    "load_dmphn",
    "load_dncnn",
    "load_esrgan",
    "load_guided",
    "load_kernel_flow",
    "load_prenet",
    "load_restorer",
    "load_usrnet",
    "load_vdn",
    "load_weather",
    "printed_gan_loss",
    "shipped_kernel_flow",
    "train_kernel_flow",
    "variational_bound",
    "weather_nets",
    "xavier_init",
]
