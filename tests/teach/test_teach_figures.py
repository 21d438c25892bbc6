"""Figures: alt text is required, pixels are exact, scores are the library's, scales are shared."""

import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from restorekit import gaussian_kernel, metrics
from restorekit.teach import canvas, compare, picture, plot_history, plot_lines, show, show_kernels
from restorekit.teach import figures as drawing

ALT = "a picture that says what it shows"


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def opened(shown) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(shown.png)).convert("RGB"))


@pytest.mark.parametrize(
    "make",
    [
        lambda alt: show(noise(1, 1, 8, 8), alt=alt),
        lambda alt: compare({"a": noise(1, 1, 8, 8)}, alt=alt),
        lambda alt: show_kernels(gaussian_kernel(5, 1.0), alt=alt),
        lambda alt: plot_lines({"a": [1, 2]}, alt=alt, xlabel="x", ylabel="y"),
        lambda alt: plot_history({"loss": [1.0, 2.0]}, alt=alt),
        lambda alt: picture(Figure(), alt=alt),
    ],
)
def test_alt_is_required_and_carried(make):
    with pytest.raises(ValueError, match="at least 15 characters"):
        make("too short")
    with pytest.raises(TypeError, match="what the figure shows"):
        make(None)
    data, metadata = make(ALT)._repr_mimebundle_()
    assert data["text/plain"] == ALT and metadata == {"image/png": {"alt": ALT}} and isinstance(data["image/png"], str)


def test_pixels_are_whole_and_the_range_is_fixed():
    x = torch.zeros(1, 1, 4, 4)
    x[..., 1, 2], x[..., 3, 0] = 0.5, 2.0
    shown = opened(show(x, alt=ALT))[..., 0]
    side = drawing.PANEL
    top = next(i for i in range(len(shown)) if (shown[i, 40:-40] == 0).sum() > side // 2)
    left = (shown.shape[1] - side) // 2
    block, inner = side // 4, slice(4, -4)  # the frame is drawn over the outermost pixels
    cells = shown[top - 1 : top - 1 + side, left : left + side].reshape(4, block, 4, block).transpose(0, 2, 1, 3)[:, :, inner, inner]
    assert (cells.min((2, 3)) == cells.max((2, 3))).all(), "each pixel is one even block"
    assert abs(int(cells[1, 2, 0, 0]) - 128) <= 1 and cells[3, 0, 0, 0] == 255 and cells[0, 0, 0, 0] == 0


def test_compare_scores_are_the_metrics():
    ref, x = noise(1, 3, 24, 24), noise(1, 3, 24, 24, seed=1)
    shown = compare(
        {"low": ref[..., ::2, ::2], "mine": x},
        ref,
        border=2,
        zoom=(4, 4, 8),
        errors=True,
        alt=lambda s: f"mine reaches {s['mine'].psnr:.2f} dB",
    )
    assert set(shown.scores) == {"mine"}
    assert shown.scores["mine"].psnr == pytest.approx(float(metrics.psnr(x, ref, border=2)))
    assert shown.scores["mine"].ssim == pytest.approx(float(metrics.ssim(x, ref, border=2)))
    titles = [ax.get_title() for ax in shown.figure.axes]
    assert f"mine\n{shown.scores['mine'].psnr:.2f} dB / {shown.scores['mine'].ssim:.3f}" in titles and "low\n12 x 12 px" in titles
    assert titles.count("zoom") == 3 and titles.count("absolute error") == 1
    assert shown.alt == f"mine reaches {shown.scores['mine'].psnr:.2f} dB"


def test_zoom_boxes_are_the_same_in_all_panels():
    shown = compare({"a": noise(1, 1, 16, 16), "b": noise(1, 1, 8, 8)}, noise(1, 1, 16, 16), zoom=(2, 5, 6), alt=ALT)
    boxes = [(ax.get_xlim(), ax.get_ylim()) for ax in shown.figure.axes if ax.get_title() == "zoom"]
    assert len(boxes) == 3 and set(boxes) == {((5.0, 11.0), (8.0, 2.0))}
    with pytest.raises(ValueError, match="inside the picture"):
        compare({"a": noise(1, 1, 16, 16)}, zoom=(12, 0, 6), alt=ALT)


def test_error_maps_share_one_scale():
    ref = torch.full((1, 1, 16, 16), 0.5)
    shown = compare({"near": ref + 0.01, "far": ref + 0.3}, ref, errors=True, alt=ALT)
    limits = {ax.images[0].get_clim() for ax in shown.figure.axes if ax.get_title() == "absolute error"}
    assert len(limits) == 1 and limits.pop()[1] == pytest.approx(0.3, abs=0.01)


def test_kernels_share_scale_and_pixel_size():
    shown = show_kernels({"narrow": gaussian_kernel(5, 0.5), "wide": gaussian_kernel(21, 3.0)}, alt=ALT)
    axes = shown.figure.axes
    assert len({ax.images[0].get_clim() for ax in axes}) == 1 and len({ax.get_xlim() for ax in axes}) == 1
    assert axes[0].images[0].get_clim()[1] == pytest.approx(float(gaussian_kernel(5, 0.5).max()))


def test_even_kernel_has_its_center_at_zero():
    k = torch.zeros(1, 1, 4, 4)
    k[..., 2, 2] = 1
    left, right, bottom, top = show_kernels(k, alt=ALT).figure.axes[0].images[0].get_extent()
    assert (left + 2, top + 2) == (-0.5, -0.5), "the pixel (kh // 2, kw // 2) spans -0.5 to 0.5"
    assert right - left == bottom - top == 4


def test_lines_differ_by_dash_and_color():
    shown = plot_lines(
        {f"m{i}": [i, i + 1] for i in range(7)}, alt=ALT, xlabel="x", ylabel="y", spread={"m0": ([0, 0], [1, 2])}, marks={"here": 0.5}
    )
    lines = [line for line in shown.figure.axes[0].lines if line.get_label().startswith("m")]
    assert len({line.get_color() for line in lines}) == len({str(line._dash_pattern) for line in lines}) == 7
    with pytest.raises(ValueError, match="1 to 7"):
        plot_lines({str(i): [0] for i in range(8)}, alt=ALT, xlabel="x", ylabel="y")


def test_history_is_drawn_against_its_steps():
    from restorekit.solvers import History

    history = History()
    for step in (10, 20, 30):
        history.append(step, {"loss": 1 / step})
    line = plot_history(history, alt=ALT, logy=True).figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == [10, 20, 30]
    with pytest.raises(KeyError, match="recorded"):
        plot_history({"loss": [1.0]}, "psnr", alt=ALT)


@pytest.mark.parametrize("images", [[], torch.zeros(2, 2), torch.zeros(1, 2, 4, 4), {"a": torch.full((1, 1, 2, 2), torch.nan)}])
def test_bad_pictures_are_refused(images):
    with pytest.raises((ValueError, TypeError), match="Fix"):
        show(images, alt=ALT)


def test_bytes_are_stable_and_gray_stays_gray():
    x = noise(1, 1, 16, 16)
    assert show(x, alt=ALT).png == show(x, alt=ALT).png
    assert Image.open(BytesIO(show(x, alt=ALT).png)).mode == "L"


def test_own_figures_need_no_pyplot():
    code = "import sys, restorekit.teach as t; f, a = t.canvas(1, 2); a[0].plot([1, 2]); "
    code += "t.picture(f, alt='two plots side by side').png; "
    code += "sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    figure, axes = canvas(1, 2)
    assert len(axes) == 2 and figure.dpi == drawing.DPI
