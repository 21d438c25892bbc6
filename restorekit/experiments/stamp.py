"""Where and with what a number was made, and where made numbers are kept."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any


def environment() -> dict[str, Any]:
    """The machine and the software: CPU model, cores, threads, operating system, versions, git commit if there is one."""
    import numpy
    import torch

    from .. import __version__

    return {
        "restorekit": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": os.cpu_count() or 1,
        "threads": 1,  # run_cells gives each cell one
        "commit": commit(),
    }


def now() -> str:
    """The time in UTC, to the second, in ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def cpu_model() -> str:
    """The processor's name as its maker writes it, or the architecture where the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    if sys.platform == "darwin" and (name := _say("sysctl", "-n", "machdep.cpu.brand_string")):
        return name
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """The git commit of the package's checkout, with "+" if files differ from it; None outside a checkout."""
    root = str(_checkout())
    if not (_checkout() / ".git").exists() or not (name := _say("git", "-C", root, "rev-parse", "--short=12", "HEAD")):
        return None
    return name + ("+" if _say("git", "-C", root, "status", "--porcelain", "--untracked-files=no") else "")


def data_folder(*parts: str) -> Path:
    """The folder data/<parts> of the project: the checkout that holds the package, else the nearest one above the working folder."""
    for base in (_checkout(), Path.cwd(), *Path.cwd().parents):
        if (base / "pyproject.toml").exists() and (base / "data").is_dir():
            return base.joinpath("data", *parts)
    return Path.cwd().joinpath("data", *parts)


def _checkout() -> Path:
    return Path(__file__).resolve().parents[2]


def _say(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
