"""The painter's JavaScript in Chromium, with a model that stands in for the kernel: pointer, keyboard, one message a stroke."""

import shutil
from pathlib import Path

import pytest
import torch

from restorekit.teach import painting, rasterize

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
HARNESS = """<!doctype html><body><script type="module">
SOURCE
const state = {width: 40, height: 30, top: 0.2, radius: 4, level: 0.2, strokes: [], picture: "PICTURE"};
const listeners = {};
window.sent = [];
window.model = {
  get: (name) => state[name],
  set: (name, value) => { state[name] = value; (listeners["change:" + name] || []).forEach((f) => f()); },
  on: (name, f) => (listeners[name] ||= []).push(f),
  save_changes: () => window.sent.push(structuredClone(state.strokes)),
};
painter.render({ model: window.model, el: document.body });
window.ready = true;
</script></body>"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    source = Path(painting.__file__).with_name("painter.js").read_text(encoding="utf-8").replace("export default", "const painter =")
    page = tmp_path_factory.mktemp("painter") / "painter.html"
    page.write_text(
        HARNESS.replace("SOURCE", source).replace("PICTURE", painting._address(torch.full((1, 1, 30, 40), 0.5))), encoding="utf-8"
    )
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(page.as_uri())
        tab.wait_for_function("window.ready")
        yield tab
        browser.close()


@pytest.mark.browser
def test_a_drag_is_one_stroke_sent_on_release(tab):
    box = tab.locator("canvas").bounding_box()
    at = lambda x, y: (box["x"] + x / 40 * box["width"], box["y"] + y / 30 * box["height"])  # noqa: E731
    before = tab.locator("canvas").screenshot()
    tab.mouse.move(*at(10, 10))
    tab.mouse.down()
    tab.mouse.move(*at(20, 15), steps=5)
    assert tab.evaluate("window.sent.length") == 0 and tab.locator("canvas").screenshot() != before, "drawn here, not sent yet"
    tab.mouse.up()
    assert tab.evaluate("window.sent.length") == 1
    (stroke,) = tab.evaluate("window.sent[0]")
    assert len(stroke["points"]) == 6 and stroke["points"][0] == pytest.approx([10, 10], abs=0.2) and stroke["radius"] == 4
    field = rasterize([stroke], (30, 40))
    assert field[0, 0, 12, 15] == pytest.approx(0.2) and field[0, 0, 28, 38] == 0


@pytest.mark.browser
def test_the_keyboard_paints_too_and_the_kernel_can_clear(tab):
    count = tab.evaluate("window.sent.length")
    tab.locator("canvas").focus()
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowLeft", "Space"):
        tab.keyboard.press(key)
    assert tab.evaluate("window.sent.length") == count + 1
    painted = tab.locator("canvas").screenshot()
    tab.evaluate("window.model.set('strokes', [])")
    assert tab.locator("canvas").screenshot() != painted
