"""Download of a set's files into the cache: through pooch, which checks each SHA-256 before a file gets its name, and resumed.

pooch itself starts a file anew after a break; `_Resumed` is a downloader for it that keeps the beginning and asks for the rest.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ._check import fail
from ._lock import lock
from .registry import Entry, File, absent, cache_folder, sound

TIMEOUT = (10.0, 30.0)  # seconds to connect, and without a byte
RETRIES = 2  # after the first attempt of each file
_CHUNK = 1 << 13  # bytes written at a time: what an interruption can lose
_TOLD = 3  # bad files that a message names


def fetch(entry: Entry, *, progress: bool = True) -> Path:
    """Get the files of a set with a known checksum that are not in the cache yet; the set's folder.

    A file appears whole and with the right SHA-256, or not at all; what an interrupted download has is kept in NAME.part and
    completed by the next call. Of two processes that fetch one set, the second waits and takes what the first has got. Raises
    ModuleNotFoundError without pooch, ConnectionError and TimeoutError (nothing more is tried), ValueError for a set that must be got
    by hand and, at the end, for all files that are gone or altered at the source.
    """
    root = cache_folder()
    if root is None:
        fail("no package pooch, which downloads", "pooch 1.8 or newer", "pip install 'restorekit[data]'", ModuleNotFoundError)
        raise AssertionError
    if not entry.files:
        got = f"{entry.name}, of which no file with a known checksum is served"
        fail(got, "a set with files", f"get it by hand: {entry.by_hand}; source: {entry.source}")
    folder = root / entry.name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(entry, root):
        _tidy(entry, folder)
        bad = _fetch_all(entry, folder, progress=progress)
    if bad:
        some = "; ".join(bad[:_TOLD]) + (f"; and {len(bad) - _TOLD} more" if len(bad) > _TOLD else "")
        fix = f"give the command again; if it stays so the source has changed: get these files by hand ({entry.source})"
        fail(f"{len(bad)} of {len(entry.files)} files of {entry.name} not as listed: {some}", "the listed files", fix)
    return folder


@contextmanager
def _alone(entry: Entry, root: Path) -> Iterator[None]:
    """Hold the set among all processes; the lock stands beside its folder and is freed when its owner dies."""
    place = root / f".{entry.name}.lock"
    with lock(place, wait=False) as held:
        if held:
            yield
            return
    print(f"{entry.name}: another process is fetching it; waiting", file=sys.stderr)
    with lock(place, wait=True):
        yield


def _tidy(entry: Entry, folder: Path) -> None:
    """Remove the empty temporary files of a download that was killed: pooch makes one for each file that it asks for."""
    listed = {folder / f.name for f in entry.files}
    for stray in folder.rglob("tmp*"):
        if stray.is_file() and stray not in listed and stray.stat().st_size == 0:
            stray.unlink()


def _fetch_all(entry: Entry, folder: Path, *, progress: bool) -> list[str]:
    """What is wrong with files that the source does not serve as they are listed."""
    import pooch
    import requests
    from tqdm import tqdm

    here = sound(entry, folder)
    wanted = [f for f in entry.files if f not in here]
    store = pooch.create(
        path=folder,
        base_url="",
        registry={f.name: f"sha256:{f.sha256}" for f in wanted},
        urls={f.name: f.url for f in wanted},
        retry_if_failed=RETRIES,
    )
    bad = []
    bar = tqdm(
        total=entry.bytes,
        initial=sum(f.bytes for f in here),
        unit="B",
        unit_scale=True,
        desc=entry.name,
        disable=None if progress else True,
    )
    with bar, requests.Session() as session, _quiet():
        for file in wanted:
            try:
                store.fetch(file.name, downloader=_Resumed(file, folder, session, bar))
            except _Changed as changed:
                bad.append(str(changed))
            except ValueError:  # pooch: the checksum differs
                bad.append(f"{file.name} has another SHA-256 at {file.url}")
            except requests.Timeout as error:
                raise TimeoutError(_unreachable(entry, file, folder, f"no byte within {TIMEOUT[1]:g} s")) from error
            except requests.RequestException as error:
                raise ConnectionError(_unreachable(entry, file, folder, _reason(error))) from error
    return bad


class _Changed(Exception):
    """The source has no such file, or one of another size: trying again is of no use."""


class _Resumed:
    """Downloader of one file for pooch: keeps what has come in NAME.part and asks for the rest (HTTP Range).

    A server that ignores the question sends the whole file, which then replaces the part. A file longer than listed is given up.
    """

    def __init__(self, file: File, folder: Path, session: Any, bar: Any) -> None:
        self.file, self.session, self.bar = file, session, bar
        self.part = folder / f"{file.name}.part"
        self.start = bar.n

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        self._show(have)
        if have < self.file.bytes:
            self._ask(url, have)
        if (have := self.part.stat().st_size) < self.file.bytes:
            raise requests.ConnectionError(f"the answer ended after {have} of {self.file.bytes} bytes")
        os.replace(self.part, output_file)  # whole, right or wrong: pooch compares the checksum next

    def _ask(self, url: str, have: int) -> None:
        """Write what the server has from byte `have` on behind the part, or all of it in the place of the part."""
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with self.session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code in (404, 410):
                raise _Changed(f"{self.file.name} is gone ({answer.status_code} at {url})")
            if answer.status_code == 416 and have:  # the source's file is shorter than the part
                self.part.unlink()
                return self._ask(url, 0)
            answer.raise_for_status()
            total = _total(answer)
            if total not in (None, self.file.bytes):
                raise _Changed(f"{self.file.name} has {total} bytes instead of {self.file.bytes} at {url}")
            goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            self._write(answer, have if goes_on else 0)

    def _write(self, answer: Any, have: int) -> None:
        with self.part.open("ab" if have else "wb") as out:
            for chunk in answer.iter_content(_CHUNK):
                out.write(chunk)
                have += len(chunk)
                self._show(have)
                if have > self.file.bytes:
                    break

    def _show(self, have: int) -> None:
        self.bar.update(self.start + min(have, self.file.bytes) - self.bar.n)


def _total(answer: Any) -> int | None:
    """Size of the whole file, if the answer says it."""
    if answer.headers.get("Content-Encoding"):
        return None
    text = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _unreachable(entry: Entry, file: File, folder: Path, reason: str) -> str:
    have = len(entry.files) - len(absent(entry, folder))
    return (
        f"Got {have} of {len(entry.files)} files of {entry.name}, then {reason} from {file.url}. Allowed: a connection to the source. "
        "Fix: check the network (and the proxy) and give the same command again, it goes on from here; or get the files by hand from "
        f"{entry.source}."
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without pooch's line for each file: the bar says it."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    """What went wrong, without the library's own names around it."""
    inner = getattr(error.args[0], "reason", error) if error.args else error
    return f"an error ({str(inner).rpartition('): ')[2]})"
