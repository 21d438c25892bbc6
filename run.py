#!/usr/bin/env python3
"""The door to the course: sets everything up and starts it.

    python3 run.py                    set up, copy the pages to work/, open JupyterLab on 00_start_here
    python3 run.py test [ARGS]        set up, then run every test (ARGS go to pytest: -k kernels, -x, tests/test_kernels.py)
    python3 run.py restore PHOTO ...  set up, then restore a photo in the terminal (the rest goes to `python -m restorekit restore`)
    python3 run.py reset PAGE         bring one page in work/ back to the course's version (yours is kept in work/backup)
    python3 run.py sync [PAGE ...]    authors: write notebooks/PAGE.ipynb from notebooks/py/PAGE.py
    python3 run.py execute [PAGE ...] authors: run pages from top to bottom and store clean outputs

Options of the first: --no-browser prints the address only, --port N chooses the port.
Needs Python 3.11 or newer and nothing else; everything is installed into .venv beside this file.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
NOTEBOOKS = ROOT / "notebooks"
WORK = ROOT / "work"
START_PAGE = "00_start_here"
OLDEST_PYTHON = (3, 11)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
STARTED = time.monotonic()


def say(text: str) -> None:
    """Print a line with the time since the start."""
    seconds = int(time.monotonic() - STARTED)
    print(f"[{seconds // 60:2d}:{seconds % 60:02d}] {text}", flush=True)


class Stop(Exception):
    """A step failed; the message says what to do."""


def venv_python(venv: Path = VENV) -> Path:
    """The interpreter inside a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def stamp(root: Path = ROOT) -> str:
    """Hash of all that decides what is installed: the two requirement files, the Python, the place."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {root}".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def works(command: list[str]) -> bool:
    """Whether a command starts and returns 0."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def has_nvidia() -> bool:
    """Whether an NVIDIA GPU with its driver is here."""
    return Path("/proc/driver/nvidia/version").exists() or (shutil.which("nvidia-smi") is not None and works(["nvidia-smi", "-L"]))


def reachable(url: str, seconds: float = 8.0) -> bool:
    """Whether a web address answers; never waits longer than `seconds`, whatever the name server does."""
    answer: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds) as reply:
                answer.append(reply.status < 400)
        except (OSError, ValueError):
            answer.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answer) and answer[0]


def torch_source(system: str, gpu: bool, index_answers: bool) -> list[str]:
    """Extra arguments for pip: on Linux the ordinary torch brings gigabytes of CUDA, so without a GPU take the CPU build."""
    if system == "Linux" and not gpu and index_answers:
        return ["--extra-index-url", CPU_INDEX]
    return []


def follow(title: str, command: list[str], advice: str, log: Path) -> None:
    """Run a long command: show that it lives (last line and time), keep its full output in `log`, explain a failure."""
    say(title)
    with log.open("a", encoding="utf-8") as out:
        out.write(f"\n$ {' '.join(command)}\n")
        out.flush()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
        pause = 3.0
        while True:
            try:
                code = process.wait(timeout=pause)
                break
            except subprocess.TimeoutExpired:
                say(f"  ... {last_line(log)[:100]}")
                pause = 15.0
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                raise
    if code != 0:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise Stop(f"{tail}\n\nThis step failed: {title}\nWhat to do: {advice}\nThe full log is {log}.")


def last_line(log: Path) -> str:
    """The last line with text that a command has written."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def make_venv(log: Path) -> list[str]:
    """Create .venv unless a usable one is there; returns the command that installs into it."""
    inner = str(venv_python())
    if not works([inner, "-c", f"import sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"]):
        advice = "On Debian or Ubuntu: apt-get install python3-venv. Otherwise remove the folder .venv and try again."
        # a bare Debian has pip but not ensurepip: its pip can install into an environment that has none
        bare = [] if works([sys.executable, "-c", "import ensurepip"]) else ["--without-pip"]
        follow("Making the environment .venv", [sys.executable, "-m", "venv", "--clear", *bare, str(VENV)], advice, log)
    if works([inner, "-m", "pip", "--version"]):
        return [inner, "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", inner]


def set_up() -> None:
    """Make .venv and install the package and all tools; instant when nothing has changed."""
    mark, log = VENV / "restorekit.stamp", ROOT / ".setup.log"
    wanted = stamp()
    if mark.exists() and mark.read_text() == wanted and works([str(venv_python()), "-c", "pass"]):
        return
    print("Setting up. This takes a few minutes and about 1.5 GB of disk, once; later starts are instant.", flush=True)
    log.write_text("")
    pip = make_venv(log)
    source: list[str] = []
    if platform.system() == "Linux":
        gpu = has_nvidia()
        source = torch_source("Linux", gpu, not gpu and reachable(f"{CPU_INDEX}/torch/"))
        without = "the CPU build" if source else "whatever build pip finds (its CPU index does not answer)"
        say(f"PyTorch: {'the build with CUDA, for your GPU' if gpu else without}")
    install = [*pip, "install", "--progress-bar", "off", *source, "-c", "constraints.txt", "-e", ".[all]"]
    advice = (
        "Check the network (behind a proxy: set HTTPS_PROXY) and that 3 GB of disk are free, then run the same command again. "
        "'No matching distribution' means that this Python or machine has no such package: use Python 3.11 to 3.13 on 64 bit."
    )
    follow("Installing PyTorch, JupyterLab and the course's package", install, advice, log)
    mark.write_text(wanted)
    say("Set up.")


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def update_work(notebooks: Path = NOTEBOOKS, work: Path = WORK) -> dict[str, list[str]]:
    """Copy the course's pages to work/. A page that the learner changed is kept; returns what became of each page."""
    work.mkdir(exist_ok=True)
    record = work / ".pages.json"
    try:
        copied: dict[str, str] = json.loads(record.read_text())
    except (OSError, ValueError):
        copied = {}
    report: dict[str, list[str]] = {"new": [], "updated": [], "kept": []}
    for page in sorted(notebooks.glob("*.ipynb")):
        mine, current = work / page.name, digest(page)
        if not mine.exists():
            report["new"].append(page.name)
        elif digest(mine) == current:
            copied[page.name] = current
            continue
        elif digest(mine) == copied.get(page.name):
            report["updated"].append(page.name)
        else:
            if copied.get(page.name) != current:
                report["kept"].append(page.name)
            continue
        shutil.copyfile(page, mine)
        copied[page.name] = current
    partial = record.with_suffix(".tmp")
    partial.write_text(json.dumps(copied, indent=1, sort_keys=True))
    partial.replace(record)
    return report


def find_page(name: str, notebooks: Path = NOTEBOOKS) -> Path:
    """The page that a name, a number or a path means."""
    stem = Path(name).name.removesuffix(".ipynb")
    pages = sorted(notebooks.glob("*.ipynb"))
    exact, number = [p for p in pages if p.stem == stem], [p for p in pages if p.stem.startswith(f"{stem}_")]
    found = exact or number or [p for p in pages if p.stem.startswith(stem)]
    if len(found) != 1:
        raise Stop(f"Got page {name!r}. Allowed: {', '.join(p.stem for p in pages)}. Fix: give one of these, or its number.")
    return found[0]


def reset(name: str, notebooks: Path = NOTEBOOKS, work: Path = WORK) -> Path | None:
    """Bring one page in work/ back to the course's version; returns where the learner's version is kept."""
    page = find_page(name, notebooks)
    mine, backup = work / page.name, None
    if mine.exists() and digest(mine) != digest(page):
        folder = work / "backup"
        folder.mkdir(exist_ok=True)
        when = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")
        backup = folder / f"{page.stem}_{when}.ipynb"
        mine.replace(backup)
    update_work(notebooks, work)
    return backup


def free_port(wanted: int | None) -> int:
    """The wanted port if it is free (an error otherwise); without a wish the first free one from 8888."""
    for port in [wanted] if wanted else range(8888, 8988):
        with socket.socket() as test:
            test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0 if os.name == "nt" else 1)
            try:
                test.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise Stop(f"Got port {wanted or '8888 to 8987'}: in use. Allowed: a free port. Fix: python3 run.py --port 9000, or leave --port out.")


def answers(url: str) -> bool:
    """Whether the server on this machine answers; a proxy in the environment does not apply to it."""
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def start(port: int | None, browser: bool) -> int:
    """Open JupyterLab on the first page; returns when it ends."""
    port, token = free_port(port), secrets.token_hex(16)
    command = [str(venv_python()), "-m", "jupyterlab", "--no-browser", "--log-level=WARN", f"--ServerApp.port={port}"]
    command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={WORK}", "--ServerApp.answer_yes=True"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    say("Starting JupyterLab")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, take the server along
    # the token by environment, since other users can read a command line
    process = subprocess.Popen(command, cwd=WORK, env={**os.environ, "JUPYTER_TOKEN": token})
    try:
        while not answers(f"http://127.0.0.1:{port}/api"):
            if process.poll() is not None:
                raise Stop("JupyterLab ended at once. What to do: read its message above; then remove the folder .venv and start again.")
            time.sleep(0.2)
        address = f"http://127.0.0.1:{port}/lab/tree/{START_PAGE}.ipynb?token={token}"
        say("Ready. Your pages are in work/; what you change there is yours and is kept when the course is updated.")
        print(f"\n    {address}\n\nIf no browser opens, copy this address into one. Ctrl-C here ends the course.\n", flush=True)
        if browser:
            webbrowser.open(address)
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


def inside(*command: str, cwd: Path | None = None, **settings: str) -> int:
    """Run the environment's Python, by default in the caller's folder; `settings` are defaults for environment variables."""
    return subprocess.call([str(venv_python()), *command], cwd=cwd, env={**settings, **os.environ})


def pytest_command(arguments: list[str]) -> list[str]:
    """All tests and all pages, two at a time; arguments that name tests or pages replace the choice."""
    command = ["-m", "pytest", "-rs", "-n", "2", "--dist", "loadscope", "--no-loadscope-reorder"]
    command += ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "300", "--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
    chosen = any(a.startswith(("tests", "notebooks")) for a in arguments)
    return [*command, *arguments] if chosen else [*command, *arguments, "notebooks", "tests"]


def run_tests(arguments: list[str]) -> int:
    """Style, types, unit tests, pages, widgets and the live browser in one pytest run, whose last line counts them all."""
    return inside(*pytest_command(arguments), cwd=ROOT, RESTOREKIT_SIZE="quick", OMP_NUM_THREADS="1")


def dispatch(argv: list[str]) -> int:
    """Run one command."""
    command = argv[0] if argv and not argv[0].startswith("-") else None
    if command in ("test", "restore", "sync", "execute"):
        set_up()
        if command == "test":
            return run_tests(argv[1:])
        if command == "restore":
            return inside("-m", "restorekit", *argv)
        return inside("-m", "restorekit.teach.build", *argv, RESTOREKIT_SIZE="quick", OMP_NUM_THREADS="1")
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    if command == "reset":
        parser.add_argument("command")
        parser.add_argument("page", help="a page: its name, its number or its path")
        backup = reset(parser.parse_args(argv).page)
        say("Restored." + (f" Your version is kept in {backup}" if backup else " There was nothing of yours to keep."))
        return 0
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.add_argument("--port", type=int, help="the port of JupyterLab (default: the first free one from 8888)")
    options = parser.parse_args(argv)
    set_up()
    for page in update_work()["kept"]:
        say(f"{page}: the course has a newer version; yours is kept. To take the new one: python3 run.py reset {page.split('_')[0]}")
    return start(options.port, not options.no_browser)


def main(argv: list[str]) -> int:
    """Entry point: turns a failed step into its message and exit status 1."""
    if sys.version_info < OLDEST_PYTHON:
        print(f"Got Python {platform.python_version()}. Allowed: 3.11 or newer. Fix: install it and run, for example, python3.11 run.py")
        return 1
    try:
        return dispatch(argv)
    except Stop as problem:
        print(f"\n{problem}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
