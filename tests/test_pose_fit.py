"""Kernels of a moving and turning camera, and the strong edges they are fitted to: planted truths, brute force, closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from restorekit import Blur, bundled, motion_kernel
from restorekit.methods.edges import strong_edges
from restorekit.methods.kernel_fit import fade, fit_kernel, normal_equations
from restorekit.methods.pose_fit import _in_cell, fit_poses, kernels_of_poses
from restorekit.shake import shaken_pair
from restorekit.varying_blur import VaryingBlur, blending_windows


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=gen(seed), dtype=torch.float64)


# poses


def test_a_pose_puts_its_whole_weight_into_each_cell_at_the_place_that_turning_takes_it_to():
    size, grid, picture, turn, angles = 7, (2, 3), (60, 90), 2.0, 3
    M = kernels_of_poses(size, grid, picture, turn, angles).to_dense().view(6, size, size, -1)
    torch.testing.assert_close(M.sum((1, 2)), torch.ones(6, M.shape[-1], dtype=M.dtype))
    u = torch.arange(size, dtype=M.dtype) - size // 2
    rows, columns = (M * u.view(1, -1, 1, 1)).sum((1, 2)), (M * u.view(1, 1, -1, 1)).sum((1, 2))
    centers = [(r, c) for r in (-15.0, 15.0) for c in (-30.0, 0.0, 30.0)]
    half = math.hypot(60, 90) / 2
    seen = set()
    for pose in range(M.shape[-1]):
        # the angle from two opposite cells, then every cell's displacement from it
        angle = ((rows[2, pose] - rows[0, pose]) / 60).item()
        seen.add(round(angle * half, 6))
        shift = (rows[0, pose] + 30 * angle).item(), (columns[0, pose] - 15 * angle).item()
        for g, (r, c) in enumerate(centers):
            assert rows[g, pose].item() == pytest.approx(shift[0] + angle * c) and columns[g, pose].item() == pytest.approx(
                shift[1] - angle * r
            )
    assert seen == {-2.0, 0.0, 2.0}


def test_the_kernels_of_a_turning_camera_are_found_and_one_kernel_or_no_turning_is_far_off():
    x = bundled("astronaut", size=(192, 192), gray=True).double()
    y, x, path = shaken_pair(x, extent=4, rotation=0.03, round8=False, generator=gen(1))
    grid = (2, 2)
    true = torch.cat([torch.nn.functional.pad(k, ((15 - k.shape[-1]) // 2,) * 4) for k in _at_centers(path, grid, 160)])
    found, stiff = fit_poses(x, y, 15, grid), fit_poses(x, y, 15, grid, turn=0.0, angles=1)
    one = fit_kernel(x, y, 15).expand(4, -1, -1, -1)
    assert (found - true).norm() < 0.35 * true.norm() and (found - true).norm() < 0.75 * (stiff - true).norm()
    torch.testing.assert_close(stiff[0], stiff[3])
    residual = [(VaryingBlur(k.contiguous(), grid, "replicate")(x) - y)[..., 16:-16, 16:-16].norm() for k in (found, one)]
    assert residual[0] < 0.6 * residual[1]


def _at_centers(path, grid, side):
    return [path.kernel_at((i + 0.5) * side / grid[0] + 15.5, (j + 0.5) * side / grid[1] + 15.5) for i in range(2) for j in range(2)]


def test_a_camera_that_only_moves_gives_equal_kernels_the_planted_one():
    x, k = rand(1, 1, 72, 80), motion_kernel(7, generator=gen(3)).double()
    found = fit_poses(x, Blur(k, "replicate")(x), 9, (1, 2), turn=2.0, angles=3, ridge=1e-6)
    torch.testing.assert_close(found, torch.nn.functional.pad(k, (1, 1, 1, 1)).expand(2, -1, -1, -1), atol=0.02, rtol=0)
    torch.testing.assert_close(found.sum((1, 2, 3)), torch.ones(2, dtype=torch.float64))


def test_the_equations_of_a_cell_need_no_more_than_its_part_of_the_picture():
    x, y = rand(1, 1, 60, 70), rand(1, 1, 60, 70, seed=1)
    for window in blending_windows((60, 70), (2, 3), like=x):
        weight = fade((60, 70), 7, like=x)[0] * window
        weight[..., -1, :], weight[..., -1] = 0, 0  # where differences wrap around
        torch.testing.assert_close(_in_cell(x, y, 7, weight), normal_equations(x, y, 7, weight[None]))


@pytest.mark.parametrize(
    ("bad", "match"), [({"size": 8}, "odd"), ({"angles": 4}, "angles"), ({"turn": -1.0}, "turn"), ({"n": 2}, "2 pictures")]
)
def test_bad_settings_are_refused(bad, match):
    settings = {"size": 7, "turn": 1.0, "angles": 3, "n": 1, **bad}
    x = rand(settings.pop("n"), 1, 40, 40)
    with pytest.raises(ValueError, match=match):
        fit_poses(x, x, settings.pop("size"), (1, 1), **settings)


# strong edges


def test_texture_goes_the_step_stays_and_a_low_soft_step_turns_sharp():
    x = torch.zeros(1, 1, 48, 48, dtype=torch.float64)
    x[..., 24:] = 0.6
    noisy = x + 0.02 * torch.randn(x.shape, generator=gen(), dtype=torch.float64)
    u = strong_edges(noisy)
    assert (u - x).abs().max() < 0.04 and (noisy - x).abs().max() > 0.06
    soft = Blur(torch.full((1, 1, 1, 5), 0.2, dtype=torch.float64), "replicate")(x / 4)
    jump = [(v[..., 1:] - v[..., :-1]).abs().max().item() for v in (soft, strong_edges(soft))]
    assert jump[0] == pytest.approx(0.03) and jump[1] > 1.2 * jump[0]


def test_without_weight_nothing_changes_and_the_level_of_brightness_does_not_matter():
    x = bundled(size=(40, 50), gray=True).double()
    assert torch.equal(strong_edges(x, 0.0), x)
    torch.testing.assert_close(strong_edges(x + 0.3), strong_edges(x) + 0.3)
    torch.testing.assert_close(strong_edges(x.mT), strong_edges(x).mT, atol=0.1, rtol=0)
    assert strong_edges(x, 0.01).diff().abs().gt(1e-3).sum() < strong_edges(x, 1e-4).diff().abs().gt(1e-3).sum()
    with pytest.raises(ValueError, match="lam"):
        strong_edges(x, -1.0)
