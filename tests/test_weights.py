"""Weights: round trips, checksums, and above all that nothing in a file is ever run."""

import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from restorekit.weights import load_weights, read_metadata, save_weights

STATE = {
    "a.weight": torch.arange(6.0).view(2, 3),
    "a.bias": torch.tensor([1, 2], dtype=torch.int64),
    "b": torch.tensor(0.5, dtype=torch.float64),
}


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) and one[k].dtype == other[k].dtype for k in one)


def test_round_trip(tmp_path):
    path = tmp_path / "net.safetensors"
    about = {"pictures": ["x", "y"], "steps": 3, "zeta": 1.5, "alpha": None}
    digest = save_weights(path, STATE, metadata=about)
    assert same(load_weights(path, sha256=digest), STATE) and read_metadata(path) == about
    assert save_weights(tmp_path / "again.safetensors", STATE, metadata=about) == digest
    assert list(tmp_path.glob("*.part")) == [] and list(tmp_path.glob(".*")) == []
    assert save_weights(tmp_path / "other.safetensors", STATE) != digest
    assert read_metadata(tmp_path / "other.safetensors") == {}


def test_metadata_bytes_do_not_change_from_process_to_process(tmp_path):
    code = (
        "import torch; from restorekit.weights import save_weights;"
        "a, b = torch.zeros(1), torch.ones(2);"
        f"print(save_weights(r'{tmp_path}/n.safetensors', {{'b': b, 'a': a}}, metadata={{'x': 1, 'y': 2, 'z': 3}}))"
    )
    here = save_weights(tmp_path / "m.safetensors", {"a": torch.zeros(1), "b": torch.ones(2)}, metadata={"z": 3, "y": 2, "x": 1})
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONHASHSEED": "7"}
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True).stdout.strip()
    assert here == there


def test_tied_and_strided_tensors(tmp_path):
    net = torch.nn.ModuleDict({"one": torch.nn.Linear(3, 3), "two": torch.nn.Linear(3, 3)})
    net["two"].weight = net["one"].weight
    state = {**net.state_dict(), "turned": torch.arange(6.0).view(2, 3).T}
    save_weights(tmp_path / "n.safetensors", state)
    assert same(load_weights(tmp_path / "n.safetensors"), state)


def test_checksum(tmp_path):
    path = tmp_path / "net.safetensors"
    digest = save_weights(path, STATE)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="checksum"):
        load_weights(path, sha256=digest)
    for wrong in ("", digest[:10]):
        with pytest.raises(ValueError, match="checksum"):
            load_weights(path, sha256=wrong)


def test_damaged_files(tmp_path):
    ours, theirs = tmp_path / "net.safetensors", tmp_path / "net.pth"
    save_weights(ours, STATE)
    torch.save(STATE, theirs)
    for path in (ours, theirs):
        whole = path.read_bytes()
        for part in (whole[: len(whole) // 2], whole[:4], b""):
            path.write_bytes(part)
            with pytest.raises(ValueError, match="damaged or cut off|no checkpoint"):
                load_weights(path, published=True)


def test_published_checkpoints(tmp_path, monkeypatch):
    path = tmp_path / "theirs" / "net.pth"
    path.parent.mkdir()
    torch.save(OrderedDict(STATE), path)
    with pytest.raises(ValueError, match="published=True"):
        load_weights(path)
    assert same(load_weights(path, published=True), STATE)
    torch.save({"state_dict": STATE}, path)
    assert same(load_weights(path, published=True), STATE)
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    assert same(load_weights(path, published=True), STATE)
    monkeypatch.setenv("RESTOREKIT_WEIGHTS", str(tmp_path))
    assert same(load_weights("theirs", published=True), STATE) and same(load_weights("theirs/net.pth", published=True), STATE)
    torch.save(STATE, path.with_name("second.pth"))
    with pytest.raises(ValueError, match="2 weights files.*net.pth"):
        load_weights("theirs", published=True)


def test_rename(tmp_path):
    path = tmp_path / "n.pth"
    torch.save({"module.net.0.weight": torch.ones(1), "module.net.10.weight": torch.zeros(1), "module.extra": torch.ones(2)}, path)
    named = load_weights(path, published=True, rename={"module.": "", "module.net.0.": "first."})
    assert set(named) == {"first.weight", "net.10.weight", "extra"}
    dropped = load_weights(path, published=True, rename=lambda k: None if "extra" in k else k.removeprefix("module."))
    assert set(dropped) == {"net.0.weight", "net.10.weight"}
    with pytest.raises(ValueError, match="two tensors"):
        load_weights(path, published=True, rename=lambda k: "same")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pkl", ".ckpt", ".bin", ".safetensors"])
@pytest.mark.parametrize("writer", ["pickle", "torch", "torch-old"])
def test_code_in_a_file_is_not_run(tmp_path, suffix, writer):
    sprung, path = tmp_path / "sprung", tmp_path / f"net{suffix}"
    content = {"weight": torch.ones(2), "trap": Trap(sprung)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=writer == "torch")
    for published in (True, False):
        with pytest.raises(ValueError, match="Allowed"):
            load_weights(path, published=published)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))  # the trap itself works
    assert sprung.exists()


def test_whole_networks_and_other_values_are_refused(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(ValueError, match="more than tensors"):
        load_weights(path, published=True)
    torch.save([torch.ones(2)], path)
    with pytest.raises(ValueError, match="holds a list"):
        load_weights(path, published=True)
    torch.save({"weight": torch.ones(2), "epoch": 7}, path)
    with pytest.raises(TypeError, match="'epoch' of type int"):
        load_weights(path, published=True)


def test_bad_names(tmp_path, monkeypatch):
    monkeypatch.delenv("RESTOREKIT_WEIGHTS", raising=False)
    with pytest.raises(FileNotFoundError, match="set RESTOREKIT_WEIGHTS"):
        load_weights("nothing")
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(ValueError, match="suffix"):
        load_weights(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="ends in .safetensors"):
        save_weights(tmp_path / "net.pth", STATE)
    with pytest.raises(FileNotFoundError, match="folder"):
        save_weights(tmp_path / "no" / "net.safetensors", STATE)
    with pytest.raises(TypeError, match="'a' of type list"):
        save_weights(tmp_path / "net.safetensors", {"a": [1.0]})


@pytest.mark.skipif(not os.environ.get("RESTOREKIT_WEIGHTS"), reason="RESTOREKIT_WEIGHTS is not set")
def test_published_weights_of_the_pack_load():
    root = Path(os.environ["RESTOREKIT_WEIGHTS"])
    files = sorted(f for f in root.glob("*/*") if f.suffix in (".pth", ".pt", ".pkl"))
    assert files
    for file in files:
        weights = load_weights(file, published=True)
        assert weights and all(torch.isfinite(v.double()).all() for v in weights.values())
