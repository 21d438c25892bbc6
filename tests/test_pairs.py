"""Folders of GoPro and RealBlur."""

from __future__ import annotations

import pytest
import torch

from restorekit.images import save_image
from restorekit.pairs import deblurring_pairs


def write(path, value: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(torch.full((1, 3, 16, 16), value), path)


def test_both_layouts_are_paired_by_number(tmp_path, monkeypatch):
    for scene, number, y, x in (("GOPR2", "000007", 0.2, 0.4), ("GOPR1", "000003", 0.6, 0.8)):
        write(tmp_path / "gopro" / scene / "blur" / f"{number}.png", y)
        write(tmp_path / "gopro" / scene / "blur_gamma" / f"{number}.png", 0.0)
        write(tmp_path / "gopro" / scene / "sharp" / f"{number}.png", x)
    pairs = deblurring_pairs(tmp_path / "gopro")
    assert [p.name for p in pairs] == ["GOPR1/000003", "GOPR2/000007"]
    assert [v.mean().item() for v in pairs[0].load()] == pytest.approx([0.6, 0.8], abs=0.003)
    assert deblurring_pairs(tmp_path / "gopro", blurred="blur_gamma")[0].load(gray=True)[0].shape == (1, 1, 16, 16)
    write(tmp_path / "real" / "scene1" / "blur" / "blur_5.png", 0.2)
    write(tmp_path / "real" / "scene1" / "gt" / "gt_5.png", 0.4)
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path))
    (pair,) = deblurring_pairs("real")
    assert pair.name == "scene1/5" and pair.load()[1].mean().item() == pytest.approx(0.4, abs=0.003)


def test_missing_partners_and_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="Fix"):
        deblurring_pairs(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="without a folder"):
        deblurring_pairs(tmp_path)
    write(tmp_path / "a" / "blur" / "1.png", 0.1)
    write(tmp_path / "a" / "sharp" / "2.png", 0.1)
    with pytest.raises(ValueError, match="in one folder only"):
        deblurring_pairs(tmp_path)
