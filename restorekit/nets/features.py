"""The feature loss of AND Eq. 2: on VGG's features if their weights are at hand, otherwise on a fixed filter bank."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_image, check_like, fail
from ..weights import load_weights

_VGG19 = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # maps and convolutions of each stage
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which torchvision's weights expect
_VGG_COEFFICIENTS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}  # Real-ESRGAN's
_LEVELS = 4
_FIRST, _SECOND = 0.03, 0.02  # rms of first and second derivatives in the bundled photographs, at each level nearly the same
_ROUNDED = 0.1  # the modulus is rounded off below this, so that it has a gradient at 0


class FeatureLoss(nn.Module):
    """L(x, ref) = sum_j c_j mean (phi_j(x) - phi_j(ref))^2, the second term of AND Eq. 2 (Johnson et al. 2016).

    x, ref (B, C, H, W) in [0, 1], C 1 or 3 -> a scalar, differentiable in x. The mean over pictures, maps and places replaces the
    paper's sum, so that c_j does not depend on sizes. The paper names neither layers nor coefficients.
    vgg: a file with torchvision's weights of VGG-19, which you supply (a checkpoint, or its name below RESTOREKIT_WEIGHTS; nothing is
    downloaded, torchvision is not needed); phi_j is then the result of a convolution before its ReLU, 'conv1_1' to 'conv5_4', and
    the default coefficients are those of Real-ESRGAN (Wang et al. 2021). sha256: the file's checksum.
    Without it phi_j is a *stand-in*, `FilterBank`, which has seen no data and does not replace learned features.
    coefficients: name of phi_j -> c_j >= 0. Raises ValueError for other names, sizes or channels, FileNotFoundError.
    """

    def __init__(
        self,
        vgg: str | os.PathLike[str] | None = None,
        *,
        coefficients: Mapping[str, float] | None = None,
        sha256: str | None = None,
    ) -> None:
        super().__init__()
        self.features: FilterBank | VGG19 = FilterBank() if vgg is None else load_vgg19(vgg, sha256=sha256)
        usual = dict.fromkeys(self.features.names, 1.0) if vgg is None else _VGG_COEFFICIENTS
        self.coefficients = dict(usual if coefficients is None else coefficients)
        unknown = [name for name in self.coefficients if name not in self.features.names]
        if unknown or not self.coefficients or min(self.coefficients.values()) < 0:
            fail(f"coefficients={self.coefficients}", f"numbers >= 0 for some of {', '.join(self.features.names)}", "leave them out")

    def forward(self, x: Tensor, ref: Tensor) -> Tensor:
        """The loss."""
        check_like(check_image(x), check_image(ref, "ref"), "x", "ref")
        if x.shape != ref.shape or x.shape[1] not in (1, 3):
            fail(f"x of {tuple(x.shape)} and ref of {tuple(ref.shape)}", "equal shapes with 1 or 3 channels", "crop both alike")
        first, second = (self.features(v, self.coefficients) for v in (x, ref))
        terms = [c * (first[name] - second[name]).square().mean() for name, c in self.coefficients.items()]
        return torch.stack(terms).sum()


class FilterBank(nn.Module):
    """A fixed, untrained stand-in for VGG's features: derivatives of a Gaussian and their smoothed moduli on a pyramid.

    At each of 4 levels, each half as large as the one before (binomial filter), v -> 'edgesL': the two first and three second
    derivatives of a Gaussian of std 1 (steerable: Freeman and Adelson 1991), divided by their usual size in photographs;
    'textureL': the modulus of the gradient and of the Hessian, smoothed and halved, which tells how much structure there is but
    not its phase (as the scattering transform does, Bruna and Mallat 2013). Constant pictures have features of 0, so brightness
    is left to the L1 term. Channels are treated alike, borders repeated. `names`: what it can return, L = 1 to 4.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names = tuple(f"{kind}{level}" for level in range(1, _LEVELS + 1) for kind in ("edges", "texture"))
        t = torch.arange(-3.0, 4.0, dtype=torch.float64)
        g = torch.exp(-t.square() / 2)
        g = g / g.sum()
        g1, g2 = t * g, (t.square() - 1) * g
        g2 = g2 - g * g2.sum()  # cut off at 3, it would see brightness
        pairs = [(g, g1), (g1, g), (g, g2), (g1, g1), (g2, g)]
        usual = torch.tensor([_FIRST, _FIRST, _SECOND, _SECOND, _SECOND]).view(-1, 1, 1)
        self.register_buffer("bank", (torch.stack([torch.outer(*pair) for pair in pairs]) / usual)[:, None], persistent=False)
        b = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=torch.float64) / 16
        self.register_buffer("low", torch.outer(b, b)[None, None], persistent=False)

    def forward(self, x: Tensor, wanted: Mapping[str, float]) -> dict[str, Tensor]:
        """The wanted features of x, each (B C, maps, h, w)."""
        bank, low = (getattr(self, name).to(x) for name in ("bank", "low"))
        v, out = x.flatten(0, 1)[:, None], {}
        for level in range(1, _LEVELS + 1):
            edges = _filtered(v, bank)
            dx, dy, dxx, dxy, dyy = edges.unbind(1)
            moduli = torch.stack([_modulus(dx, dy), _modulus(dxx, dxy, dxy, dyy)], 1)
            out[f"edges{level}"] = edges
            out[f"texture{level}"] = _filtered(moduli, low.expand(2, -1, -1, -1), stride=2, groups=2)
            v = _filtered(v, low, stride=2)
        return {name: out[name] for name in wanted}


class VGG19(nn.Module):
    """The convolutions of VGG-19 (Simonyan and Zisserman 2015), 3x3 with ReLU, a maximum of 2x2 between the stages.

    forward(x, wanted): x (B, 1 or 3, H, W) in [0, 1], gray repeated -> name -> result of that convolution before its ReLU. It goes
    no deeper than the last wanted one. Sides from 16 for stage 5, half of that for each stage before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names = tuple(f"conv{stage}_{i}" for stage, (_, n) in enumerate(_VGG19, 1) for i in range(1, n + 1))
        widths = [3, *(maps for maps, n in _VGG19 for _ in range(n))]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:], strict=False))

    def forward(self, x: Tensor, wanted: Mapping[str, float]) -> dict[str, Tensor]:
        """The wanted features of x."""
        last = max(wanted, key=self.names.index)
        least = 2 ** (int(last[4]) - 1)
        if min(x.shape[-2:]) < least:
            fail(
                f"pictures of {x.shape[-2]}x{x.shape[-1]}",
                f"sides from {least} for {last}",
                "larger patches, or coefficients of earlier layers",
            )
        mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _STD))
        v, out = (x - mean) / std, {}
        for name, conv in zip(self.names, self.convs, strict=True):
            if name.endswith("_1") and name != "conv1_1":
                v = F.max_pool2d(v, 2)
            v = conv(v)
            if name in wanted:
                out[name] = v
            if name == last:
                break
            v = v.relu()
        return out


def load_vgg19(path: str | os.PathLike[str], *, sha256: str | None = None) -> VGG19:
    """`VGG19` with torchvision's weights (names features.N.weight; the classifier is left out), without gradients.

    Raises FileNotFoundError, ValueError for a damaged file, RuntimeError for another architecture, such as VGG-16.
    """
    with torch.device("meta"):  # no weights are drawn that the file replaces
        net = VGG19()
    # torchvision counts every layer: two for each convolution with its ReLU, one for each maximum
    stages = [stage for stage, (_, n) in enumerate(_VGG19) for _ in range(n)]
    ours = {f"features.{2 * i + stage}": f"convs.{i}" for i, stage in enumerate(stages)}

    def rename(name: str) -> str | None:
        stem, _, kind = name.rpartition(".")
        return None if name.startswith("classifier.") else f"{ours.get(stem, stem)}.{kind}"

    net.load_state_dict(load_weights(path, sha256=sha256, published=True, rename=rename), assign=True)
    return net.eval().requires_grad_(False)


def _filtered(v: Tensor, kernels: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    r = kernels.shape[-1] // 2
    return F.conv2d(F.pad(v, (r, r, r, r), mode="replicate"), kernels, stride=stride, groups=groups)


def _modulus(*parts: Tensor) -> Tensor:
    """sqrt(sum of squares + e^2) - e: 0 at 0, with a gradient there."""
    squares = torch.stack([p.square() for p in parts]).sum(0)
    return (squares + _ROUNDED**2).sqrt() - _ROUNDED
