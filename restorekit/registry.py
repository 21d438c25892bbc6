"""The standard sets of pictures: what belongs to each, under which license, where it is on this machine, and whether it is whole.

`data/datasets/sets.json` lists every set. Files with a known SHA-256 name the public repository, commit and path that serve them;
`restorekit._download` gets those. Of the other pictures only their number is known, and the entry says how to get them by hand.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from ._check import fail
from ._imagefile import SUFFIXES

RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class File:
    """A file of a set: its name below the set's folder ("gt/im1.png"), size in bytes, SHA-256, and path at its source."""

    name: str
    bytes: int
    sha256: str
    source: str

    @property
    def url(self) -> str:
        """Where it can be downloaded: the source's file at a fixed commit."""
        return f"{RAW}/{quote(self.source)}"


@dataclass(frozen=True)
class Entry:
    """A set. pictures: how many pictures the whole set has, by folder ("." is the set's own; a pattern such as "test/*/blur"
    counts over folders). files: those with a known checksum, perhaps none, perhaps a part. by_hand: how to get what is not in files."""

    name: str
    title: str
    license: str
    source: str
    layout: str
    aliases: tuple[str, ...]
    pictures: dict[str, int]
    by_hand: str
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        """Size of the files with a known checksum."""
        return sum(file.bytes for file in self.files)

    @property
    def known(self) -> dict[str, int]:
        """Like `pictures`, of the pictures with a known checksum."""
        parents = [str(PurePosixPath(f.name).parent) for f in self.files if Path(f.name).suffix.lower() in SUFFIXES]
        return {folder: parents.count(folder) for folder in self.pictures}

    @property
    def partial(self) -> bool:
        """Do pictures of the set have no known checksum?"""
        return self.known != self.pictures


@dataclass(frozen=True)
class Report:
    """What `check` found in a folder. found: number of pictures by folder, in the same order as `entry.pictures`."""

    entry: Entry
    folder: Path
    sound: int
    missing: tuple[str, ...]
    altered: tuple[str, ...]
    found: dict[str, int]

    @property
    def miscounted(self) -> list[str]:
        """Folders that hold neither the whole set nor exactly its pictures with a known checksum."""
        known = self.entry.known
        allowed = {folder: {whole, known[folder] or whole} for folder, whole in self.entry.pictures.items()}
        return [folder for folder, count in self.found.items() if count not in allowed[folder]]

    @property
    def ok(self) -> bool:
        """Nothing missing, nothing altered, numbers as they should be."""
        return not (self.missing or self.altered or self.miscounted)

    def lines(self) -> list[str]:
        """The findings for people, the verdict first."""
        entry = self.entry
        told = f"{self.sound} of {len(entry.files)} checksums right" if entry.files else "no checksum known, pictures counted only"
        out = [f"{entry.name}: {'sound' if self.ok else 'NOT SOUND'}, {told}, in {self.folder}"]
        out += [f"  missing: {name}" for name in self.missing]
        out += [f"  altered: {reason}" for reason in self.altered]
        for folder, whole in entry.pictures.items():
            count, known = self.found[folder], entry.known[folder]
            where = f"{count} pictures" if folder == "." else f"{count} pictures in {folder}"
            if count == whole and known not in (0, whole):
                out.append(f"  {where}: the whole set; {whole - known} have no known checksum and were only counted")
            elif count == known != whole:
                out.append(f"  {where}: those with a known checksum; the whole set has {whole}")
            elif count != whole:
                out.append(f"  {where}: the whole set has {whole}")
        return out


@cache
def entries() -> dict[str, Entry]:
    """All sets by name, in the order of the list."""
    package = Path(__file__).resolve().parent
    paths = (package / "_datasets" / "sets.json", package.parent / "data" / "datasets" / "sets.json")  # wheel, checkout
    path = next((p for p in paths if p.is_file()), paths[-1])
    listed = json.loads(path.read_text(encoding="utf-8"))
    return {name: _entry(name, about) for name, about in listed.items()}


def entry(name: str) -> Entry:
    """The set called `name`; capitals, hyphens and underscores do not matter ("Set5", "GOPRO_Large"). ValueError for another name."""
    wanted = next((e for e in entries().values() if _plain(name) in _names(e)), None)
    if wanted is None:
        fix = "choose one of these; for a folder of your own give dataset() its path"
        fail(f"the set {name!r}", ", ".join(entries()), fix)
        raise AssertionError
    return wanted


def known(name: str) -> bool:
    """Is there a set of this name?"""
    return any(_plain(name) in _names(e) for e in entries().values())


def cache_folder() -> Path | None:
    """Where `get` puts sets: the user's cache folder, as pooch names it; None without pooch (then nothing can have been fetched)."""
    try:
        import pooch
    except ImportError:
        return None
    return Path(pooch.os_cache("restorekit")) / "datasets"


def find(name: str) -> Path | None:
    """The folder of a set: below the folder that RESTOREKIT_DATA names, else in the cache; None if it is in neither.

    A folder counts if its name is the set's or one of its other names ("Set68" is bsd68). What is in it is not looked at: `check`.
    """
    wanted = entry(name)
    root = os.environ.get("RESTOREKIT_DATA")
    if root and Path(root).is_dir():
        own = sorted(f for f in Path(root).iterdir() if _plain(f.name) in _names(wanted) and f.is_dir())
        exact = [f for f in own if f.name == wanted.name]
        if own:
            return (exact or own)[0]
    kept = cache_folder()
    return kept / wanted.name if kept and (kept / wanted.name).is_dir() else None


def found(name: str) -> Path:
    """Like `find`, but raises FileNotFoundError where `find` says None, and for a download that is not complete."""
    wanted, folder = entry(name), find(name)
    get = f"python -m restorekit data get {wanted.name}"
    if folder is None:
        by_hand = f"get it by hand (python -m restorekit data list {wanted.name}) into the folder {wanted.name} of your RESTOREKIT_DATA"
        fix = get if wanted.files else by_hand
        places = "in the folder that RESTOREKIT_DATA names" if os.environ.get("RESTOREKIT_DATA") else "in RESTOREKIT_DATA, which is not set"
        fail(f"the set {wanted.name!r}, found neither {places}, nor in the cache", "a set that is here", fix, FileNotFoundError)
        raise AssertionError
    kept = cache_folder()
    if kept and folder == kept / wanted.name and (left := absent(wanted, folder)):
        fail(f"{folder} without {len(left)} of its {len(wanted.files)} files", "a complete download", get, FileNotFoundError)
    return folder


def absent(wanted: Entry, folder: Path) -> list[str]:
    """Names of the files with a known checksum that are not in the folder or have another size; nothing is hashed."""
    return [f.name for f in wanted.files if not (p := folder / f.name).is_file() or p.stat().st_size != f.bytes]


def check(wanted: Entry, folder: Path) -> Report:
    """Compare a folder with the list: size and SHA-256 of each file with a known checksum, number of pictures in each folder.

    Raises FileNotFoundError if there is no such folder.
    """
    if not folder.is_dir():
        fail(f"{folder}, which is no folder", f"the folder of {wanted.name}", "check the path", FileNotFoundError)
    missing = [f.name for f in wanted.files if not (folder / f.name).is_file()]
    altered = [f"{f.name}, {flaw}" for f in wanted.files if f.name not in missing and (flaw := _flaw(folder / f.name, f))]
    counts = {pattern: _count(folder, pattern) for pattern in wanted.pictures}
    right = len(wanted.files) - len(missing) - len(altered)
    return Report(wanted, folder, right, tuple(missing), tuple(altered), counts)


def sound(wanted: Entry, folder: Path) -> list[File]:
    """The files in the folder whose size and SHA-256 are right."""
    return [f for f in wanted.files if (folder / f.name).is_file() and not _flaw(folder / f.name, f)]


def _flaw(path: Path, file: File) -> str:
    """In what an existing file differs from the listed one; nothing is hashed if the size does."""
    if (size := path.stat().st_size) != file.bytes:
        return f"{size} bytes instead of {file.bytes}"
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return "" if digest == file.sha256 else f"SHA-256 {digest[:16]}... instead of {file.sha256[:16]}..."


def _entry(name: str, about: dict) -> Entry:
    files = []
    for file, (size, digest, *path) in about.get("files", {}).items():
        source = f"{about['repository']}/{about['commit']}/{about['root']}{path[0] if path else file}"
        files.append(File(file, size, digest, source))
    told = {key: about[key] for key in ("title", "license", "source", "layout", "pictures", "by_hand")}
    return Entry(name=name, aliases=tuple(about["aliases"]), files=tuple(files), **told)


def _count(folder: Path, pattern: str) -> int:
    folders = [folder] if pattern == "." else folder.glob(pattern)
    return sum(f.suffix.lower() in SUFFIXES and not f.name.startswith(".") for inner in folders if inner.is_dir() for f in inner.iterdir())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _names(wanted: Entry) -> set[str]:
    return {_plain(n) for n in (wanted.name, *wanted.aliases)}
