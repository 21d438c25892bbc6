"""Order of the tests, the cost of pages, and what the machine offers."""

from __future__ import annotations

import os
from functools import partial

import hypothesis
import psutil
import pytest
import torch

# fixed examples: a run that failed once fails again
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=25)
hypothesis.settings.load_profile("fixed")

FOLDERS = ("RESTOREKIT_DATA", "RESTOREKIT_WEIGHTS", "RESTOREKIT_BENCH")
PAGE_LIMIT, CELL_LIMIT = 240.0, 60.0  # CPU seconds in quick size, after the pages' pattern


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def few_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start from the spectrum with a tenth of the kernels: it is most of the cost of a small net."""
    from restorekit.methods import mlmc
    from restorekit.methods.spectral import spectral_prior

    monkeypatch.setattr(mlmc, "spectral_prior", partial(spectral_prior, n=40))


class PageCost:
    """Fails the cell of a page with which the page's kernel has used more CPU time than a page may."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        if not item.nodeid.partition("::")[0].endswith(".ipynb") or os.environ.get("RESTOREKIT_SIZE") == "full":
            return (yield)
        before = _cpu(item.parent.kernel)
        result = yield
        after = _cpu(item.parent.kernel)
        assert after - before <= CELL_LIMIT, f"this cell took {after - before:.0f} CPU seconds, at most {CELL_LIMIT:.0f}"
        assert after <= PAGE_LIMIT, f"up to this cell the page took {after:.0f} CPU seconds, at most {PAGE_LIMIT:.0f}"
        return result


def _cpu(kernel) -> float:
    times = psutil.Process(kernel.km.provisioner.pid).cpu_times()
    return times.user + times.system


def pytest_configure(config):
    # registered, since hooks of a conftest reach only the tests below it and pages live elsewhere
    if getattr(config.option, "nbval", False):
        config.pluginmanager.register(PageCost())


def pytest_report_header():
    return [f"{name}: {os.environ.get(name) or 'not set, its tests skip'}" for name in FOLDERS]


def pytest_collection_modifyitems(items):
    """Long ones first, so that two workers end together."""

    def rank(item) -> int:
        if item.nodeid.partition("::")[0].endswith(".ipynb"):
            return 0
        return 1 if item.get_closest_marker("browser") or item.get_closest_marker("slow") else 2

    items.sort(key=rank)
