"""The command line: each bad input has its message and exit code, and nothing that was computed is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import restorekit
from restorekit import load_image, save_image
from restorekit.cli import main
from restorekit.commands import _blind
from restorekit.methods import blind
from restorekit.methods.mlmc_presets import PRESETS


@pytest.fixture
def photo(tmp_path, monkeypatch, generator):
    """A color picture of 24x20 pixels, photo.png, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return save_image(torch.rand(1, 3, 24, 20, generator=generator), "photo.png")


class Stub:
    """A learner of 6 steps: the picture is an integer that counts them. `interrupt` is the step at which Ctrl-C comes."""

    total_steps = 6
    interrupt: int | None = None
    steps_made = 0

    def __init__(self, y, scale, **options):
        self.size, self.options, self.count = (1, y.shape[1], scale * y.shape[2], scale * y.shape[3]), options, 0

    def step(self):
        self.count += 1
        Stub.steps_made += 1
        if self.count == Stub.interrupt:
            signal.raise_signal(signal.SIGINT)
        return self.snapshot()

    def snapshot(self):
        from types import SimpleNamespace

        return SimpleNamespace(step=self.count, x=torch.full(self.size, self.count / 255), k=torch.full((1, 1, 5, 5), 0.04), loss=1.0)

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


@pytest.fixture
def stub(monkeypatch):
    """The command with `Stub` in place of the real learner."""
    monkeypatch.setattr(Stub, "interrupt", None)
    monkeypatch.setattr(Stub, "steps_made", 0)
    monkeypatch.setattr(blind, "blind_solver", Stub)
    monkeypatch.setattr(blind, "finish", lambda learner, result: result)
    return Stub


BAD_RESTORE = {
    "missing file": (["gone.png"], "gone.png, which does not exist"),
    "folder": (["."], "which is a folder"),
    "no picture": (["text.png"], "not a picture"),
    "cut off": (["cut.png"], "damaged or cut off"),
    "one pixel": (["pixel.png"], "1x1 pixels"),
    "huge": (["huge.png"], "at most max_pixels"),
    "NaN": (["nan.tif"], "finite values"),
    "scale 0": (["photo.png", "--scale", "0"], "want 1, 2, 3 or 4"),
    "scale 5": (["photo.png", "--scale", "5"], "restore twice"),
    "scale text": (["photo.png", "--scale", "two"], "want 1, 2, 3 or 4"),
    "output there": (["photo.png", "-o", "there.png"], "add --force"),
    "output suffix": (["photo.png", "-o", "x.gif"], "Allowed: .png"),
    "output folder": (["photo.png", "-o", "no/x.png"], "create it first"),
    "crop outside": (["photo.png", "--crop", "0,0,99,8"], "24x20 pixels"),
    "crop text": (["photo.png", "--crop", "1,2"], "want 4 numbers"),
    "align": (["photo.png", "--align", "center"], "want 2 numbers"),
    "even kernel": (["photo.png", "--kernel-size", "8"], "odd integer"),
    "large kernel": (["photo.png", "--kernel-size", "99"], "odd integer"),
    "sigma": (["photo.png", "--sigma", "25"], "divide an 8-bit std by 255"),
    "device": (["photo.png", "--device", "abacus"], "Fix: --device cpu"),
    "method": (["photo.png", "--method", "magic"], "invalid choice"),
    "preset": (["photo.png", "--preset", "slow"], "invalid choice"),
    "nothing to resume": (["photo.png", "--resume"], "leave --resume out"),
    "unfinished": (["photo.png", "-o", "half.png"], "add --resume"),
    "damaged state": (["photo.png", "-o", "half.png", "--resume"], "damaged"),
    "kernel of bicubic": (["photo.png", "--method", "bicubic", "--kernel-out", "k.png"], "leave them out"),
    "guided enlarges nothing": (["photo.png", "--method", "guided"], "add --scale 1"),
    "too long": (["photo.png", "--scale", "4", "--max-minutes", "0.0001", "--crop", "0,0,24,20"], "--max-minutes"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of a POSIX shell")
def test_a_reader_that_has_seen_enough_is_no_error():
    command = [sys.executable, "-m", "restorekit", "claims", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.wait(timeout=60) == 0 and process.stderr.read() == b""


def test_guided_restores_with_the_kernel_that_was_found(stub, tmp_path, monkeypatch, generator):
    """The stub finds the box of 5 px, by which the picture is blurred; the shipped net and its proxy do the rest."""
    monkeypatch.chdir(tmp_path)
    x = restorekit.bundled("camera", gray=True, size=128)
    box = torch.full((1, 1, 5, 5), 0.04)
    save_image(restorekit.gaussian_noise(restorekit.Blur(box, "reflect")(x), 0.02, generator=generator), "blurred.png")
    assert main(["restore", "blurred.png", "--method", "guided", "--scale", "1", "--gray", "-o", "sharp.png"]) == 0
    before, after = (restorekit.psnr(load_image(name, gray=True), x, luma=False).item() for name in ("blurred.png", "sharp.png"))
    assert after > before + 2


@pytest.mark.parametrize("case", BAD_RESTORE)
def test_bad_input_has_its_message_and_exit_code_2(case, photo, tmp_path, capsys, monkeypatch):
    import tifffile
    from PIL import Image

    monkeypatch.setattr(_blind, "PROBE", 64)
    (tmp_path / "text.png").write_text("not a picture at all")
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:200])
    Image.new("L", (1, 1)).save("pixel.png")
    if case == "huge":
        Image.new("1", (5000, 4000)).save("huge.png")
    tifffile.imwrite("nan.tif", np.full((16, 16), np.nan, np.float32))
    save_image(torch.zeros(1, 1, 8, 8), "there.png")
    (tmp_path / "half.png.state").write_bytes(b"half a state")
    before = sorted(path.name for path in tmp_path.iterdir())
    words, message = BAD_RESTORE[case]
    assert main(["restore", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before, "a refused command leaves nothing behind"


def test_too_large_for_the_memory_names_a_crop_that_fits(photo, monkeypatch, capsys, stub):
    save_image(torch.zeros(1, 1, 600, 800), "large.png")
    free = 700_000_000
    monkeypatch.setattr(_blind, "_free_memory", lambda: free)
    assert main(["restore", "large.png"]) == 2
    error = capsys.readouterr().err
    assert "GB of memory" in error
    crop = error.split("--crop ")[1].rstrip(".\n")
    assert main(["restore", "large.png", "--crop", crop, "-o", "part.png", "--max-minutes", "1000"]) == 0


@pytest.mark.parametrize("picture", ["gray8.png", "gray16.png", "rgba.png", "odd.jpg", "palette.png", "float.tif"])
def test_every_kind_of_picture_is_restored(picture, photo, stub, generator):
    import tifffile
    from PIL import Image

    values = (torch.rand(15, 21, 3, generator=generator) * 255).byte().numpy()
    color = Image.fromarray(values)
    if picture == "gray16.png":
        Image.fromarray(values[..., 0].astype(np.uint16) * 257).save(picture)
    elif picture == "float.tif":
        tifffile.imwrite(picture, values[..., 0].astype(np.float32) / 255)
    else:
        color.convert({"gray8.png": "L", "rgba.png": "RGBA", "odd.jpg": "RGB", "palette.png": "P"}[picture]).save(picture)
    assert main(["restore", picture, "--scale", "3", "-o", "out.png"]) == 0
    assert load_image("out.png").shape == (1, 1 if "gray" in picture or "float" in picture else 3, 45, 63)


def test_restore_writes_picture_kernel_and_no_state(photo, stub, tmp_path, capsys):
    assert main(["restore", "photo.png", "--kernel-out", "k.png"]) == 0
    assert load_image("photo_restored.png").shape == (1, 3, 48, 40) and load_image("k.png").shape == (1, 1, 40, 40)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k.png", "photo.png", "photo_restored.png"]
    assert "photo_restored.png (48x40 pixels)" in capsys.readouterr().out
    assert main(["restore", "photo.png", "--kernel-out", "k.png", "--force", "--gray", "--crop", "2,3,8,10"]) == 0
    assert load_image("photo_restored.png").shape == (1, 1, 16, 20)


def test_interrupt_keeps_the_best_and_resume_does_only_the_rest(photo, stub, tmp_path, capsys):
    Stub.interrupt = 4
    assert main(["restore", "photo.png", "--scale", "1"]) == 130
    error = capsys.readouterr().err
    assert "python -m restorekit restore photo.png --scale 1 --resume" in error
    assert round(load_image("photo_restored.png").max().item() * 255) == 4 == Stub.steps_made
    assert (tmp_path / "photo_restored.png.state").exists()
    assert main(["restore", "photo.png", "--scale", "1", "--seed", "1", "--resume"]) == 2
    assert "another seed" in capsys.readouterr().err
    assert main(["restore", "photo.png", "--scale", "1"]) == 2
    Stub.interrupt = None
    assert main(["restore", "photo.png", "--scale", "1", "--resume"]) == 0
    assert round(load_image("photo_restored.png").max().item() * 255) == 6 == Stub.steps_made
    assert not (tmp_path / "photo_restored.png.state").exists()


def test_divergence_is_told_and_exits_with_1(photo, stub, monkeypatch, capsys):
    broken = blind.BlindState(1, torch.full((1, 1, 2, 2), float("nan")), torch.zeros(1), 0.0, 0.0)
    monkeypatch.setattr(Stub, "snapshot", lambda self: broken)
    assert main(["restore", "photo.png"]) == 1
    assert "restorekit: " in capsys.readouterr().err


SCRIPT = """
import sys
import torch
from restorekit.cli import main
from restorekit.commands import _blind

torch.set_num_threads(1)
_blind.SAVE_EVERY = 0.0
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_killed_restoration_resumes_to_the_same_picture(photo, tmp_path, capsys):
    words = ["restore", "photo.png", "--gray", "--crop", "0,0,12,12", "--padding", "circular", "--seed", "3"]
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, *words, "-o", "a.png"], stderr=subprocess.DEVNULL)
    state = tmp_path / "a.png.state"
    try:
        while not state.exists():
            assert process.poll() is None, "it ended before it had saved anything"
            time.sleep(0.01)
        time.sleep(0.3)
    finally:
        process.kill()
        process.wait()
    assert state.exists() and not (tmp_path / "a.png").exists()
    step = restorekit.load_state(state)["step"]
    assert 0 < step < PRESETS["quick"].outer
    again = subprocess.run([sys.executable, "-c", SCRIPT, *words, "-o", "a.png", "--resume"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert main([*words, "-o", "b.png"]) == 0
    finally:
        torch.set_num_threads(before)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("method", ["bicubic", "tv", "wiener"])
@pytest.mark.parametrize("scale", [1, 2])
def test_simple_methods(photo, method, scale):
    assert main(["restore", "photo.png", "--method", method, "--scale", str(scale), "-o", "x.png"]) == 0
    x, y = load_image("x.png"), load_image("photo.png")
    assert x.shape == (1, 3, 24 * scale, 20 * scale)
    if method == "bicubic":
        assert (x - restorekit.bicubic(y, scale).clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6


BLURS = ["gaussian", "gaussian:1.2", "gaussian:1.2,0.8", "gaussian:1.2,0.8,30deg", "motion", "motion:0.2", "line:5,30", "disk:2.5", "none"]


@pytest.mark.parametrize("blur", BLURS)
@pytest.mark.parametrize("align", ["resize", "phase0"])
def test_degrade_records_all_that_it_drew(photo, blur, align):
    save_image(torch.rand(1, 3, 65, 63, generator=torch.Generator().manual_seed(1)), "odd.png")
    words = ["degrade", "odd.png", "--blur", blur, "--scale", "2", "--align", align]
    assert main([*words, "-o", "y.png"]) == 0
    record = json.loads(Path("y.json").read_text())
    kernel = torch.tensor(record["kernel"])[None, None]
    y = restorekit.BlurDown(kernel, 2, record["padding"])(load_image("odd.png"))
    assert (load_image("y.png") - y.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6, "the record remakes the picture"
    _, centroid, _ = restorekit.kernel_moments(kernel)
    assert (centroid - (0.0 if align == "phase0" else -0.5)).abs().max() < 0.01
    assert main([*words, "-o", "z.png"]) == 0 and Path("y.png").read_bytes() == Path("z.png").read_bytes()


def test_degrade_with_everything(photo):
    words = ["degrade", "photo.png", "--noise", "0.05", "--jpeg", "40", "--rain", "30", "--haze", "0.7", "--depth", "photo.png"]
    assert main([*words, "--seed", "5"]) == 0
    record = json.loads(Path("photo_degraded.json").read_text())
    assert (
        record["haze"]["beta"] == 0.7
        and record["rain"]["density"] == 30
        and (record["noise"], record["jpeg"], record["seed"]) == (0.05, 40, 5)
    )
    assert main([*words, "--seed", "6", "--force"]) == 0
    assert json.loads(Path("photo_degraded.json").read_text())["kernel"] != record["kernel"]


BAD_DEGRADE = {
    "blur": (["--blur", "fog"], "Got --blur fog"),
    "blur numbers": (["--blur", "gaussian:a"], "numbers with commas"),
    "no length": (["--blur", "line"], "Got --blur line"),
    "negative": (["--blur", "disk:-1"], "above 0"),
    "intensity": (["--blur", "motion:2"], "intensity"),
    "wide": (["--blur", "disk:40"], "Got "),
    "noise": (["--noise", "-1"], "sigma"),
    "jpeg": (["--jpeg", "0"], "quality"),
    "rain": (["--rain", "-4"], "density"),
    "haze": (["--haze", "-4"], "beta"),
    "depth size": (["--haze", "1", "--depth", "other.png"], "depth of"),
    "depth gone": (["--haze", "1", "--depth", "gone.png"], "does not exist"),
    "missing": (["-o", "no/x.png"], "create it first"),
    "record there": (["-o", "there.png"], "there.json"),
}


@pytest.mark.parametrize("case", BAD_DEGRADE)
def test_bad_degradation_has_its_message(case, photo, tmp_path, capsys):
    save_image(torch.zeros(1, 1, 9, 9), "other.png")
    (tmp_path / "there.json").write_text("{}")
    words, message = BAD_DEGRADE[case]
    assert main(["degrade", "photo.png", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_options_are_those_of_the_package():
    from restorekit import experiments
    from restorekit.commands import experiments as command
    from restorekit.commands.restore import PRESETS as offered
    from restorekit.experiments.results import SIZES

    assert set(offered) == set(PRESETS) == set(_blind.BYTES) and command.SIZES == SIZES and experiments.SCHEMA == 1


def test_help_and_version_load_nothing_heavy(capsys):
    code = "import sys; from restorekit.cli import main; main(['restore', '-h']); sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "--resume" in done.stdout, done.stderr
    assert main(["--version"]) == 0 and restorekit.__version__ in capsys.readouterr().out
    assert main([]) == 2 and main(["dance"]) == 2


def test_module_runs(tmp_path):
    done = subprocess.run([sys.executable, "-m", "restorekit", "restore", "gone.png"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("restorekit: Got ") and "Traceback" not in done.stderr
