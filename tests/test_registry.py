"""The list of the standard sets; finding, checking and opening them; the command `data`."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
import torch

from restorekit import registry, save_image
from restorekit.cli import main
from restorekit.images import SUFFIXES, dataset

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = registry.entries()


@pytest.fixture
def place(tmp_path, monkeypatch, generator):
    """A list with one set, `tiny`: a.png and gt/c.png with known checksums, gt/d.png without; RESTOREKIT_DATA and the cache empty.
    Returns a function that writes the set into a folder."""
    pictures = {name: torch.rand(1, 1, 12, 14, generator=generator) for name in ("a.png", "gt/c.png", "gt/d.png")}

    def write(folder, names=("a.png", "gt/c.png", "gt/d.png")):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            save_image(pictures[name], folder / name)
        return folder

    made = write(tmp_path / "made")
    files = []
    for name in ("a.png", "gt/c.png"):
        content = (made / name).read_bytes()
        files.append(registry.File(name, len(content), hashlib.sha256(content).hexdigest(), f"o/r/c/{name}"))
    entry = registry.Entry("tiny", "Tiny", "CC0", "https://example.org", "all", ("Tiny-99",), {".": 1, "gt": 2}, "copy d", tuple(files))
    by_hand = replace(entry, name="large", aliases=(), pictures={"test/*/blur": 2}, files=())
    monkeypatch.setattr(registry, "entries", lambda: {"tiny": entry, "large": by_hand})
    monkeypatch.setattr(registry, "cache_folder", lambda: tmp_path / "cache")
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return write


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_each_entry_is_well_formed(entry):
    assert entry.title and entry.license and entry.source.startswith("https://") and entry.layout
    assert len({f.name for f in entry.files}) == len(entry.files) == len({f.sha256 for f in entry.files})
    for file in entry.files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256) and file.bytes > 0
        assert not PurePosixPath(file.name).is_absolute() and ".." not in file.name
        owner, repository, commit, *path = file.source.split("/")
        assert re.fullmatch("[0-9a-f]{40}", commit) and path[-1].rpartition(".")[2] == file.name.rpartition(".")[2]
        assert entry.source == f"https://github.com/{owner}/{repository}"
        assert file.url == f"https://raw.githubusercontent.com/{file.source}"
    assert all(known <= entry.pictures[folder] for folder, known in entry.known.items())
    listed = sum(Path(f.name).suffix in SUFFIXES for f in entry.files)
    assert sum(entry.known.values()) == listed, "each listed picture is in a folder whose pictures are counted"
    assert bool(entry.by_hand) == entry.partial


def test_the_sets_that_tables_and_recipes_open_are_listed():
    sets = (
        "set5 set12 set14 bsd68 cbsd68 train400 bsds400_color realsrset levin rain_pairs urban100 bsd100 gopro rain100l rain100h sots div2k"
    )
    assert set(sets.split()) <= set(ENTRIES)
    names = [name for entry in ENTRIES.values() for name in registry._names(entry)]
    assert len(names) == len(set(names)), "no name means two sets"


def test_training_and_test_pictures_differ():
    digests = {name: {f.sha256 for f in ENTRIES[name].files} for name in ENTRIES}
    for training in ("train400", "bsds400_color"):
        for test in ("set5", "set12", "set14", "bsd68", "cbsd68", "realsrset", "rain_pairs", "levin"):
            assert not digests[training] & digests[test]


@pytest.mark.parametrize("name", ["Set5", "set_5", "SET-5"])
def test_names_are_read_generously(name):
    assert registry.entry(name).name == "set5" and registry.known(name)


def test_an_unknown_name():
    assert not registry.known("set6")
    with pytest.raises(ValueError, match="'set6'. Allowed: set5, set12.*Fix: "):
        registry.entry("set6")


@pytest.mark.skipif(not os.environ.get("RESTOREKIT_DATA"), reason="RESTOREKIT_DATA is not set")
@pytest.mark.parametrize("name", [n for n in ENTRIES if n not in ("train400", "bsds400_color")])
def test_what_is_here_is_what_is_listed(name):
    folder = registry.find(name)
    if folder is None:
        pytest.skip(f"{name} is not here")
    report = registry.check(ENTRIES[name], folder)
    assert report.ok, report.lines()


def test_a_folder_is_found_in_the_data_then_in_the_cache(place, tmp_path):
    assert registry.find("tiny") is None
    cached = place(tmp_path / "cache" / "tiny")
    assert registry.find("tiny") == registry.found("Tiny") == cached
    own = place(tmp_path / "data" / "TINY_99")
    assert registry.find("tiny") == own, "the user's folder comes first, under another name too"
    assert registry.find("tiny") == own != place(tmp_path / "data" / "tiny") == registry.find("tiny"), "the exact name before others"


def test_an_incomplete_download_is_not_opened(place, tmp_path):
    place(tmp_path / "cache" / "tiny", ["a.png"])
    with pytest.raises(FileNotFoundError, match="without 1 of its 2 files.*Fix: python -m restorekit data get tiny"):
        dataset("tiny")
    place(tmp_path / "cache" / "tiny", ["gt/c.png"])
    (tmp_path / "cache" / "tiny" / "a.png").write_bytes(b"cut off")
    with pytest.raises(FileNotFoundError, match="without 1 of its 2 files"):
        dataset("tiny")


def test_dataset_opens_what_was_downloaded(place, tmp_path, monkeypatch):
    place(tmp_path / "cache" / "tiny")
    assert dataset("tiny").names == ("a",) and dataset("Tiny-99/gt").names == ("c", "d")
    assert dataset("tiny")["a"].load().shape == (1, 1, 12, 14)
    with pytest.raises(FileNotFoundError, match="tiny/else"):
        dataset("tiny/else")
    place(tmp_path / "data" / "tiny", ["a.png", "gt/d.png"])
    assert dataset("tiny/gt").names == ("d",), "RESTOREKIT_DATA comes first, complete or not"
    monkeypatch.delenv("RESTOREKIT_DATA")
    assert dataset("tiny/gt").names == ("c", "d")


def test_what_is_not_here_is_told_with_its_command(place, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"'tiny', found neither in the folder .* Fix: python -m restorekit data get tiny\."):
        dataset("tiny")
    monkeypatch.delenv("RESTOREKIT_DATA")
    with pytest.raises(FileNotFoundError, match=r"RESTOREKIT_DATA, which is not set.*by hand \(python -m restorekit data list large\)"):
        dataset("large")
    with pytest.raises(FileNotFoundError, match="'mine'.*set RESTOREKIT_DATA"):
        dataset("mine")


def test_check_whole_part_and_count(place, tmp_path):
    entry, folder = registry.entry("tiny"), place(tmp_path / "x")
    whole = registry.check(entry, folder)
    assert whole.ok and whole.sound == 2 and whole.found == {".": 1, "gt": 2}
    assert "sound, 2 of 2 checksums right" in whole.lines()[0] and "1 have no known checksum" in whole.lines()[1]
    (folder / "gt" / "d.png").unlink()
    part = registry.check(entry, folder)
    assert part.ok and "those with a known checksum; the whole set has 2" in part.lines()[1]
    place(folder)
    (folder / "gt" / "e.png").write_bytes((folder / "a.png").read_bytes())
    extra = registry.check(entry, folder)
    assert not extra.ok and extra.miscounted == ["gt"] and "3 pictures in gt: the whole set has 2" in extra.lines()[1]


def test_check_missing_altered_and_cut_off(place, tmp_path):
    entry, folder = registry.entry("tiny"), place(tmp_path / "x")
    content = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    altered = registry.check(entry, folder)
    assert not altered.ok and altered.sound == 1 and re.match(r"a.png, SHA-256 \w{16}\.\.\. instead of", altered.altered[0])
    (folder / "a.png").write_bytes(content[:-1])
    (folder / "gt" / "c.png").unlink()
    cut = registry.check(entry, folder)
    assert cut.altered == (f"a.png, {len(content) - 1} bytes instead of {len(content)}",) and cut.missing == ("gt/c.png",)
    assert cut.lines()[:3] == [
        f"tiny: NOT SOUND, 0 of 2 checksums right, in {folder}",
        "  missing: gt/c.png",
        f"  altered: a.png, {len(content) - 1} bytes instead of {len(content)}",
    ]
    with pytest.raises(FileNotFoundError, match="is no folder"):
        registry.check(entry, tmp_path / "nowhere")


def test_check_counts_over_folders(place, tmp_path):
    large = registry.entry("large")
    for name in ("one/blur/1.png", "two/blur/1.png", "two/sharp/1.png", "two/blur/notes.txt"):
        (tmp_path / "test" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "test" / name).write_bytes(b"")
    report = registry.check(large, tmp_path)
    assert report.ok and report.found == {"test/*/blur": 2} and "pictures counted only" in report.lines()[0]
    (tmp_path / "test" / "one" / "blur" / "1.png").unlink()
    assert not registry.check(large, tmp_path).ok


def test_command_list(place, tmp_path, capsys):
    place(tmp_path / "cache" / "tiny")
    assert main(["data", "list"]) == 0
    told = capsys.readouterr().out
    assert "| tiny | 3 | get 2, the rest by hand |" in told and str(tmp_path / "cache" / "tiny") in told
    assert "| large | 2 | by hand | - | - |" in told
    assert main(["data", "list", "tiny", "large"]) == 0
    told = capsys.readouterr().out
    for words in (
        "license: CC0",
        "source: https://example.org",
        "1, 2 in gt",
        "2 files",
        "by hand: copy d",
        "here: no",
        "2 in test/*/blur",
    ):
        assert words in told
    assert main(["data", "list", "nothing"]) == 2 and "Allowed: tiny, large" in capsys.readouterr().err


def test_command_check(place, tmp_path, capsys):
    assert main(["data", "check"]) == 0 and "data get" in capsys.readouterr().out
    place(tmp_path / "data" / "tiny")
    assert main(["data", "check"]) == 0 and "tiny: sound" in capsys.readouterr().out
    elsewhere = place(tmp_path / "elsewhere", ["a.png"])
    assert main(["data", "check", "tiny", "--folder", str(elsewhere)]) == 1
    assert "missing: gt/c.png" in capsys.readouterr().out
    assert main(["data", "check", "large"]) == 2 and "by hand" in capsys.readouterr().err
    assert main(["data", "check", "--folder", str(elsewhere)]) == 2 and "--folder with 0 names" in capsys.readouterr().err
    assert main(["data", "check", "tiny", "--folder", str(tmp_path / "no")]) == 2 and "is no folder" in capsys.readouterr().err


def test_command_path(place, tmp_path, capsys):
    folder = place(tmp_path / "cache" / "tiny")
    assert main(["data", "path", "Tiny"]) == 0 and capsys.readouterr().out == f"{folder}\n"
    assert main(["data", "path", "large"]) == 2 and "found neither" in capsys.readouterr().err


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    pooch = pytest.importorskip("pooch")
    assert registry.cache_folder() == Path(pooch.os_cache("restorekit")) / "datasets"
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    assert registry.cache_folder() is None
    monkeypatch.delenv("RESTOREKIT_DATA", raising=False)
    assert registry.find("set5") is None


def test_the_read_me_names_every_set_without_a_whole_download():
    told = (ROOT / "data" / "datasets" / "README.md").read_text(encoding="utf-8").lower()
    for entry in ENTRIES.values():
        if entry.files and entry.partial:
            assert entry.name in told


def test_training_pictures_are_compared_with_test_sets_of_the_cache_too(place, tmp_path, monkeypatch):
    """The weights' check finds a test picture among the training pictures, wherever the set lies: cache, or RESTOREKIT_DATA."""
    from restorekit.experiments.recipes import denoiser as recipe

    folder = place(tmp_path / "cache" / "tiny")
    monkeypatch.setattr(recipe, "TEST_SETS", ("tiny", "large", "kept"))
    digest = hashlib.sha256((folder / "a.png").read_bytes()).hexdigest()
    about = {"training_pictures": {"x": digest, "y": "0" * 64}}
    assert recipe.overlap(about) == [("tiny", "a")]
    place(tmp_path / "data" / "kept", ["a.png"])  # in no list, but in the user's folder
    assert ("kept", "a") in recipe.overlap(about)
    monkeypatch.delenv("RESTOREKIT_DATA")
    assert recipe.overlap(about) == [("tiny", "a")]
    assert recipe.overlap({"training_pictures": {"y": "0" * 64}}) == []
