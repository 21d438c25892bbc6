"""Format, lint and types as tests, so that one summary line counts everything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def report(*command: str) -> str:
    """The output of a tool that found something, else nothing."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    return (done.stdout + done.stderr) if done.returncode else ""


@pytest.mark.parametrize("command", [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"]], ids=["format", "lint", "types"])
def test_style(command):
    found = report(*command)
    assert not found, f"{' '.join(command)}:\n{found}"


def test_the_linter_sees_pages(tmp_path):
    page = '{"cells": [{"cell_type": "code", "execution_count": null, "metadata": {}, "outputs": [], "source": ["x = undefined_name"]}],'
    (tmp_path / "bad.ipynb").write_text(page + ' "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 4}')
    assert "undefined_name" in report("ruff", "check", "--isolated", "--select", "F", str(tmp_path))
