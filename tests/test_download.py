"""Downloads against a local server that is good, cut off, altered, slow, gone, or knows no ranges; offline; interrupted and killed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from types import SimpleNamespace

import pytest

pytest.importorskip("pooch", reason="the extra `data` is not installed")

from restorekit import _download, registry
from restorekit._download import fetch
from restorekit.cli import main

CHUNK, CUT = _download._CHUNK, 150_000  # bytes
BIG = bytes(range(256)) * 1200  # several chunks


class Server(ThreadingHTTPServer):
    """Serves `files` (path -> content); `ways` says what goes wrong with a path, a list of ways for successive requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.ways, self.asked, self.ended = {}, {}, [], threading.Event()
        self.half = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address): ...

    def way(self, path):
        ways = self.ways.get(path, [])
        return ways.pop(0) if len(ways) > 1 else (ways or ["good"])[0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args): ...

    def do_GET(self):
        path, asked = self.path.rsplit("/", 1)[1], self.headers.get("Range")
        self.server.asked.append((path, asked))
        way, content = self.server.way(path), self.server.files.get(path)
        if way == "gone" or content is None:
            return self.send_error(404)
        if way == "busy":
            return self.send_error(503)
        if way == "slow":
            return self.server.ended.wait(300)
        if way == "altered":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if way == "short":
            content = content[: len(content) // 2]
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and way != "no ranges" else 0
        if first >= len(content):
            return self.send_error(416)
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        if way in ("cut", "stuck"):
            self.wfile.write(content[first : first + CUT])
            self.wfile.flush()
            self.close_connection = True
            if way == "stuck":
                self.server.half.set()
                self.server.ended.wait(300)
            return None
        self.wfile.write(content[first:])
        return None


@pytest.fixture
def server():
    made = Server()
    yield made
    made.ended.set()
    made.shutdown()
    made.server_close()


@pytest.fixture
def tiny(server, monkeypatch, tmp_path):
    """A set of three files, served by the server; the cache is an empty folder."""
    contents = {"a.png": b"a" * 500, "big.bmp": BIG, "gt/c.png": b"c" * 700}
    files = tuple(registry.File(n, len(c), hashlib.sha256(c).hexdigest(), f"o/r/{'0' * 40}/x/{n}") for n, c in contents.items())
    entry = registry.Entry("tiny", "Tiny", "CC0", "https://example.org", "", (), {".": 2, "gt": 1}, "", files)
    server.files = {name.rsplit("/")[-1]: content for name, content in contents.items()}
    server.contents = contents
    monkeypatch.setattr(registry, "RAW", server.url)
    monkeypatch.setattr(registry, "entries", lambda: {"tiny": entry})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("RESTOREKIT_DATA", raising=False)
    for module in (registry, _download):
        monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache" / "datasets")
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda seconds: None))
    return entry


def assert_whole(folder, server):  # no part, no temporary file
    here = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert here == server.contents


def test_a_good_server(server, tiny):
    folder = fetch(tiny)
    assert_whole(folder, server)
    assert folder.name == "tiny" and server.asked == [("a.png", None), ("big.bmp", None), ("c.png", None)]
    fetch(tiny)
    assert len(server.asked) == 3, "what is here is not asked for again"
    (folder / "a.png").write_bytes(b"b" * 500)
    fetch(tiny)
    assert_whole(folder, server)
    assert server.asked[3:] == [("a.png", None)], "an altered file is fetched again, and no other"


def test_a_cut_answer_goes_on_where_it_ended(server, tiny):
    server.ways["big.bmp"] = ["cut", "cut", "good"]
    assert_whole(fetch(tiny), server)
    starts = [int((asked or "bytes=0-")[6:-1]) for path, asked in server.asked if path == "big.bmp"]
    assert starts[0] == 0 and all(CUT - CHUNK < b - a <= CUT for a, b in pairwise(starts)) and len(starts) == 3


def test_a_part_is_completed_by_the_next_call(server, tiny, monkeypatch):
    monkeypatch.setattr(_download, "RETRIES", 0)
    server.ways["big.bmp"] = ["cut", "good"]
    with pytest.raises(ConnectionError, match=r"1 of 3 files of tiny.*Allowed: .*Fix: .*same command again"):
        fetch(tiny)
    folder = registry.cache_folder() / "tiny"
    kept = (folder / "big.bmp.part").read_bytes()
    assert CUT - CHUNK < len(kept) <= CUT and kept == BIG[: len(kept)] and not (folder / "big.bmp").exists()
    assert_whole(fetch(tiny), server)
    assert server.asked[-2:] == [("big.bmp", f"bytes={len(kept)}-"), ("c.png", None)]


def test_a_server_without_ranges_sends_it_whole(server, tiny):
    server.ways["big.bmp"] = ["cut", "no ranges"]
    assert_whole(fetch(tiny), server)
    assert len(server.asked) == 4, "the whole answer was not put behind the part"


@pytest.mark.parametrize("garbage", [b"<html>" * 100, b"x" * (len(BIG) - 1), b"x" * len(BIG), b"x" * (len(BIG) + 5)])
def test_a_part_that_is_garbage_is_thrown_away(server, tiny, garbage):
    folder = registry.cache_folder() / "tiny"
    folder.mkdir(parents=True)
    (folder / "big.bmp.part").write_bytes(garbage)
    assert_whole(fetch(tiny), server)


def test_an_altered_file_gets_no_name_and_the_others_come(server, tiny):
    server.ways["big.bmp"] = ["altered"]
    with pytest.raises(ValueError, match=r"1 of 3 files.*big.bmp has another SHA-256 at http.*Fix: .*by hand"):
        fetch(tiny)
    folder = registry.cache_folder() / "tiny"
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["a.png", "c.png"]
    assert len([1 for path, _ in server.asked if path == "big.bmp"]) == 1 + _download.RETRIES
    server.ways.clear()
    assert_whole(fetch(tiny), server)


def test_altered_once_on_the_way_is_mended(server, tiny):
    server.ways["big.bmp"] = ["altered", "good"]
    assert_whole(fetch(tiny), server)


@pytest.mark.parametrize("part", [0, 200_000])
def test_a_shorter_file_at_the_source_is_an_altered_one(server, tiny, part):
    server.ways["big.bmp"] = ["short"]
    folder = registry.cache_folder() / "tiny"
    folder.mkdir(parents=True)
    if part:
        (folder / "big.bmp.part").write_bytes(BIG[:part])
    with pytest.raises(ValueError, match=f"big.bmp has {len(BIG) // 2} bytes instead of {len(BIG)}"):
        fetch(tiny)
    assert not (folder / "big.bmp").exists() and (folder / "gt" / "c.png").exists()


def test_a_file_that_is_gone_is_named_once_and_the_others_come(server, tiny):
    server.ways["a.png"] = ["gone"]
    with pytest.raises(ValueError, match=r"1 of 3 files of tiny not as listed: a.png is gone \(404 at http.*Fix:"):
        fetch(tiny)
    assert [path for path, _ in server.asked] == ["a.png", "big.bmp", "c.png"]
    assert (registry.cache_folder() / "tiny" / "gt" / "c.png").exists()


def test_long_lists_of_bad_files_are_cut(server, tiny, monkeypatch):
    monkeypatch.setattr(_download, "_TOLD", 2)
    server.files.clear()
    with pytest.raises(ValueError, match="3 of 3 files.*; and 1 more. Allowed"):
        fetch(tiny)


def test_a_slow_server(server, tiny, monkeypatch):
    monkeypatch.setattr(_download, "TIMEOUT", (1.0, 1.0))
    monkeypatch.setattr(_download, "RETRIES", 1)
    server.ways["a.png"] = ["slow"]
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"0 of 3 files of tiny, then no byte within 1 s.*Allowed: .*Fix: "):
        fetch(tiny)
    assert time.monotonic() - start < 15 and len(server.asked) == 2
    server.ways["a.png"] = ["slow", "good"]
    assert_whole(fetch(tiny), server)


def test_a_server_that_gets_stuck_in_the_middle(server, tiny, monkeypatch):
    monkeypatch.setattr(_download, "TIMEOUT", (1.0, 1.0))
    server.ways["big.bmp"] = ["stuck", "good"]
    assert_whole(fetch(tiny), server)
    first = int(server.asked[-2][1].removeprefix("bytes=").removesuffix("-"))
    assert 0 < first <= CUT, "what had come was kept"


def test_a_busy_server_is_asked_again(server, tiny, monkeypatch):
    server.ways["a.png"] = ["busy", "good"]
    assert_whole(fetch(tiny), server)
    monkeypatch.setattr(_download, "RETRIES", 0)
    (registry.cache_folder() / "tiny" / "a.png").unlink()
    server.ways["a.png"] = ["busy"]
    with pytest.raises(ConnectionError, match="503"):
        fetch(tiny)


def test_offline(server, tiny, monkeypatch, capsys):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match=r"then an error \(Failed to establish.*Connection refused\).*Fix: check the network"):
        fetch(tiny)
    assert main(["data", "get", "tiny"]) == 2
    told = capsys.readouterr()
    assert "license: CC0" in told.out and "Got 0 of 3 files of tiny" in told.err and "Traceback" not in told.err


def test_ctrl_c_keeps_what_has_come(server, tiny, monkeypatch, capsys):
    show = _download._Resumed._show

    def interrupted(self, have):
        if have > 100_000:
            raise KeyboardInterrupt
        show(self, have)

    monkeypatch.setattr(_download._Resumed, "_show", interrupted)
    assert main(["data", "get", "tiny"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    kept = (registry.cache_folder() / "tiny" / "big.bmp.part").read_bytes()
    assert kept and kept == BIG[: len(kept)]
    monkeypatch.setattr(_download._Resumed, "_show", show)
    assert main(["data", "get", "tiny"]) == 0
    assert_whole(registry.cache_folder() / "tiny", server)
    assert server.asked[-2] == ("big.bmp", f"bytes={len(kept)}-")
    assert "3 files, checksums right" in capsys.readouterr().out


def fetching(server, tmp_path, files):
    code = f"""if True:
        from pathlib import Path
        from restorekit import _download, registry
        _download.TIMEOUT = (60, 600)  # a busy machine is no reason to try again
        registry.RAW, _download.cache_folder = {server.url!r}, lambda: Path({str(tmp_path)!r}) / "cache" / "datasets"
        files = [registry.File(*about) for about in {[(f.name, f.bytes, f.sha256, f.source) for f in files]!r}]
        _download.fetch(registry.Entry("tiny", "", "", "", "", (), {{".": 1}}, "", tuple(files)))
    """
    return subprocess.Popen([sys.executable, "-c", code])


def test_a_killed_download_is_completed(server, tiny, tmp_path):
    server.ways["big.bmp"] = ["stuck", "good"]
    process = fetching(server, tmp_path, tiny.files[1:2])
    part = registry.cache_folder() / "tiny" / "big.bmp.part"
    try:
        assert server.half.wait(300)
        end = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size) and time.monotonic() < end:
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert (first := part.stat().st_size) and part.read_bytes() == BIG[:first]
    assert (fetch(tiny) / "big.bmp").read_bytes() == BIG and ("big.bmp", f"bytes={first}-") in server.asked


def test_two_that_fetch_one_set_do_not_disturb_each_other(server, tiny, tmp_path):
    server.ways["big.bmp"] = ["stuck"]
    first = fetching(server, tmp_path, tiny.files)
    try:
        assert server.half.wait(300)
        asked, got = list(server.asked), []
        second = threading.Thread(target=lambda: got.append(fetch(tiny)))
        second.start()
        time.sleep(0.5)
        assert server.asked == asked and not got
    finally:
        server.ways["big.bmp"] = ["good"]
        first.kill()  # and takes over when the first dies
    second.join(60)
    first.wait()
    assert_whole(got[0], server)
    assert [path for path, _ in server.asked] == ["a.png", "big.bmp", "big.bmp", "c.png"]
    assert server.asked[2][1].startswith("bytes="), "it went on where the first had been"


def test_nothing_is_downloaded_for_a_folder_that_the_user_has(server, tiny, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path))
    for name, content in server.contents.items():
        (tmp_path / "Tiny" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "Tiny" / name).write_bytes(content)
    assert main(["data", "get", "tiny"]) == 0 and not server.asked
    assert "already in" in capsys.readouterr().out
    (tmp_path / "Tiny" / "a.png").write_bytes(b"other")
    assert main(["data", "get", "tiny"]) == 2 and not server.asked
    assert "is not sound" in capsys.readouterr().err


def test_a_set_without_files_is_by_hand(tiny, monkeypatch, capsys):
    from dataclasses import replace

    by_hand = replace(tiny, files=(), by_hand="unpack tiny.zip")
    with pytest.raises(ValueError, match="by hand: unpack tiny.zip; source: https://example.org"):
        fetch(by_hand)
    monkeypatch.setattr(registry, "entries", lambda: {"tiny": by_hand})
    assert main(["data", "get", "tiny"]) == 2 and "unpack tiny.zip" in capsys.readouterr().err
    partial = replace(tiny, pictures={".": 9, "gt": 1}, by_hand="copy the other seven")
    monkeypatch.setattr(registry, "entries", lambda: {"tiny": partial})
    assert main(["data", "get", "tiny"]) == 0
    assert "not the whole set: copy the other seven" in capsys.readouterr().out


def test_without_pooch(tiny, monkeypatch, capsys):
    monkeypatch.setattr(_download, "cache_folder", lambda: None)
    monkeypatch.setattr(registry, "cache_folder", lambda: None)
    assert main(["data", "get", "tiny"]) == 2
    assert "pip install 'restorekit[data]'" in capsys.readouterr().err


def test_without_a_terminal_there_is_no_bar(tiny, capsys):
    assert fetch(tiny) and capsys.readouterr().err == ""
