"""A page in a live JupyterLab in Chromium: run it, move a slider with the keyboard, see the picture change."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from restorekit.teach import build

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[1]
PAGE = "01_degradation_modelling"
PATIENCE = 180_000  # milliseconds; only a failure waits that long
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# news and update checks would cover the page with a dialog; windowing leaves out the cells below the screen
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


def chromium() -> str:
    """The browser on this machine; skips without one, fails where RESTOREKIT_REQUIRE_BROWSER=1 promises it."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = "no Chromium here: apt-get install chromium"
        if os.environ.get("RESTOREKIT_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def up_to_first_explorer(path: Path):
    """A page up to its first explorer: enough to prove that widgets live, without the long cells below."""
    notebook = nbformat.read(path, as_version=4)
    last = next(i for i, c in enumerate(notebook.cells) if c.cell_type == "code" and re.search(r"\bexplore\(", c.source))
    notebook.cells = notebook.cells[: last + 1]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


@pytest.fixture
def lab(tmp_path):
    """A running JupyterLab with the start of PAGE: (address, token)."""
    work = tmp_path / "work"
    work.mkdir()
    for extension, settings in SETTINGS.items():
        path = tmp_path / "settings" / "@jupyterlab" / f"{extension}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings))
    nbformat.write(up_to_first_explorer(build.NOTEBOOKS / f"{PAGE}.ipynb"), work / "page.ipynb")
    spec = importlib.util.spec_from_file_location("restorekit_run", ROOT / "run.py")
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    port, token = run.free_port(None), secrets.token_hex(8)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.root_dir={work}", f"--ServerApp.port={port}"]
    command += [
        "--ServerApp.port_retries=0",
        "--ServerApp.ip=127.0.0.1",
        *(["--allow-root"] if os.name != "nt" and os.geteuid() == 0 else []),
    ]
    places = {"JUPYTERLAB_SETTINGS_DIR": tmp_path / "settings", "JUPYTERLAB_WORKSPACES_DIR": tmp_path / "spaces"}
    environment = {**os.environ, "JUPYTER_TOKEN": token, "RESTOREKIT_SIZE": "smoke", **{name: str(place) for name, place in places.items()}}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=work, env=environment, stdout=log, stderr=log)
        try:
            until(lambda: run.answers(f"http://127.0.0.1:{port}/api"), "JupyterLab does not answer")
            yield f"http://127.0.0.1:{port}", token
        finally:
            process.terminate()
            process.wait(timeout=30)


def until(ready, problem: str) -> None:
    """Poll until ready() is true; never a fixed sleep."""
    end = time.monotonic() + PATIENCE / 1000
    while not ready():
        assert time.monotonic() < end, problem
        time.sleep(0.2)


def kernel_is_idle(address: str, token: str) -> bool:
    """Whether the page's kernel is idle and the browser is connected to it: Run All before that runs nothing."""
    request = urllib.request.Request(f"{address}/api/sessions", headers={"Authorization": f"token {token}"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as reply:
        kernels = [session["kernel"] for session in json.load(reply)]
    return any(kernel["execution_state"] == "idle" and kernel["connections"] > 0 for kernel in kernels)


def test_a_slider_moved_in_the_browser_changes_the_picture(lab, tmp_path):
    browser_path = chromium()
    from playwright.sync_api import sync_playwright

    address, token = lab
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1300, "height": 2600})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/lab/tree/page.ipynb?token={token}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.get_by_text("Python 3 (ipykernel)", exact=False).first.wait_for()
        until(lambda: kernel_is_idle(address, token), "the kernel did not become idle")
        page.click(".jp-Notebook .jp-CodeCell .cm-content >> nth=0")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        picture = page.locator(".jp-Notebook .widget-vbox .widget-image").last
        picture.wait_for()
        page.wait_for_function(
            "() => ![...document.querySelectorAll('.jp-InputPrompt')].some(p => p.textContent.includes('[*]'))"
            " && [...document.querySelectorAll('.widget-image')].every(i => i.complete && i.naturalWidth > 0)"
        )
        assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        before = picture.get_attribute("src")
        handle = page.locator(
            ".widget-vbox:has(> .widget-image) .widget-slider .noUi-handle, .widget-vbox .widget-slider [role=slider]"
        ).last
        handle.focus()
        handle.press("End")
        until(lambda: picture.get_attribute("src") != before, "the picture did not change after the slider moved")
        page.screenshot(path=str(tmp_path / "page.png"))
        browser.close()
