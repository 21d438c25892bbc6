"""Widgets: every control moved to its ends changes the picture, errors are escaped, a static copy stands beside the widget."""

import base64
from datetime import UTC, datetime

import ipywidgets as widgets
import pytest
import torch
from matplotlib.figure import Figure

from restorekit.teach import Control, Trace, canvas, drive_all, explore, live_widgets, paint, picture, rasterize, show, stepper, upload
from restorekit.teach.painting import default_strokes

ALT = "a curve that follows the control"


@pytest.fixture(autouse=True)
def no_other_widgets():
    for panel in live_widgets():
        panel.close()
    yield
    for panel in live_widgets():
        panel.close()


def level(brightness=0.5, **_):
    return show(torch.full((1, 1, 4, 4), float(brightness)), alt=f"A gray square of brightness {brightness}.")


def test_explore_draws_each_stop():
    seen = []

    def draw(width, padding, ring):
        seen.append((width, padding, ring))
        return level(width / 10 + (0.3 if padding == "zero" else 0) + (0.2 if ring else 0))

    panel = explore(draw, width=(1, 5, 1, 2), padding=["circular", "zero"], ring=False, question="What is <wide>?")
    assert [type(c).__name__ for c in panel.controls.values()] == ["IntSlider", "Dropdown", "Checkbox"]
    assert "&lt;wide&gt;" in panel.children[0].value
    assert drive_all() == 8
    assert {1, 5} <= {s[0] for s in seen} and {"zero"} <= {s[1] for s in seen} and True in {s[2] for s in seen}
    assert panel.values == {"width": 2, "padding": "circular", "ring": False}


def test_drive_finds_a_dead_control_and_an_error():
    dead = explore(lambda a, b: level(a), a=(0.0, 1.0, 0.1), b=(0.0, 1.0, 0.1))
    with pytest.raises(AssertionError, match="did not change when b"):
        list(dead.drive())
    dead.close()
    explore(lambda a: level(a) if a < 0.9 else 1 / 0, a=(0.0, 1.0, 0.1))
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        drive_all()


def test_errors_are_escaped_and_the_picture_stays():
    def draw(a):
        if a > 0.5:
            raise ValueError("<script>alert(1)</script>")
        return level(a)

    panel = explore(draw, a=(0.0, 1.0, 0.1))
    before = panel.frame
    panel.controls["a"].value = 1.0
    assert "&lt;script&gt;" in panel.message.value and "<script>" not in panel.message.value
    assert panel.frame == before and panel.error.startswith("ValueError")
    panel.children[1].click()
    assert panel.controls["a"].value == 0.0 and panel.message.value == "" and panel.error == ""


def test_first_drawing_must_work():
    with pytest.raises(ZeroDivisionError):
        explore(lambda a: 1 / 0, a=(0.0, 1.0, 0.1))
    with pytest.raises(TypeError, match="drawing function"):
        explore(lambda a: "text", a=(0.0, 1.0, 0.1))
    assert live_widgets() == []


def test_bare_figures_need_alt():
    def draw(a):
        figure, ax = canvas()
        ax.plot([0, a])
        return figure

    assert isinstance(draw(1), Figure)
    with pytest.raises(TypeError, match="what the figure shows"):
        explore(draw, a=(0, 5, 1))
    panel = explore(draw, a=(0, 5, 1), alt=ALT)
    assert panel.alt == ALT and len(list(panel.drive())) == 2
    assert explore(lambda a: picture(draw(a), alt=f"{ALT} at {a}"), a=(0, 5, 1)).alt == f"{ALT} at 0"


def test_mimebundle_is_static_too():
    panel = explore(level, brightness=(0.0, 1.0, 0.1, 0.5))
    data, metadata = panel._repr_mimebundle_()
    assert data["text/plain"] == "Explorer of brightness" and "application/vnd.jupyter.widget-view+json" in data
    assert base64.b64decode(data["image/png"]) == panel.frame and len(metadata["image/png"]["alt"]) >= 15
    assert panel.alt in panel.spoken.value and panel.image.tooltip is None, "a tooltip breaks the Image view of JupyterLab"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (Control(1e-3, 10, default=0.1, log=True, label="rho"), widgets.FloatLogSlider),
        (Control(0.5, 5, 0.5, 2, "width", "px"), widgets.FloatSlider),
        ({"none": 0, "much": 1}, widgets.Dropdown),
        (True, widgets.Checkbox),
    ],
)
def test_kinds_of_control(given, kind):
    panel = explore(lambda c: level(float(c) / 10), c=given)
    assert isinstance(panel.controls["c"], kind)
    assert len(list(panel.drive())) >= 2


def test_labels_have_units():
    assert explore(lambda w: level(w / 10), w=Control(1, 5, 1, 2, "width", "px")).controls["w"].description == "width (px)"


@pytest.mark.parametrize("bad", [{"a": (1.0, 0.0, 0.1)}, {"a": (0, 1, 1, 7)}, {"a": [1]}, {}, dict.fromkeys("abcd", (0, 1, 1))])
def test_bad_controls(bad):
    with pytest.raises(ValueError, match="Fix"):
        explore(lambda **_: level(), **bad)
    with pytest.raises(TypeError, match="Fix"):
        explore(lambda **_: level(), a="wide")


def test_slow_drawings_wait_for_the_slider():
    import time

    slow = explore(lambda a: time.sleep(0.15) or level(a), a=(0.0, 1.0, 0.1))
    assert slow.controls["a"].continuous_update is False
    assert explore(level, brightness=(0.0, 1.0, 0.1), slow=False).controls["brightness"].continuous_update is True


def stepping():
    trace = Trace(fields=("x",))
    for i in range(1, 6):
        trace(10 * i, type("S", (), {"x": torch.full((1, 1, 4, 4), i / 6)})())
    return stepper(trace, lambda s: show(s.x, alt=f"The picture after step {s.step}"), question="When does it stop?")


def test_stepper_moves_by_buttons_play_and_slider():
    panel = stepping()
    prev, nxt, play, reset, place = panel.children[2].children
    prev.click()
    assert panel.state.step == 10, "stops at the first"
    nxt.click()
    assert panel.state.step == 20 and place.value == "step 20 of 50" and panel.alt == "The picture after step 20"
    play.value = 4
    assert panel.controls["state"].value == 4 and panel.state.step == 50
    nxt.click()
    assert panel.state.step == 50, "stops at the last"
    reset.click()
    assert panel.state.step == 10 and play.value == 0
    assert [value for _, value in panel.drive()] == [4, 0]
    with pytest.raises(ValueError, match="2 or more"):
        stepper(panel.states[:1], level)


def test_rasterize_invariants():
    size = (20, 30)
    stroke = {"points": [[5, 6], [14, 9], [20, 4]], "radius": 3.0, "value": 0.2}
    field = rasterize([stroke], size)
    assert field.shape == (1, 1, 20, 30) and field.unique().tolist() == pytest.approx([0.0, 0.2])
    assert torch.equal(field, rasterize([{**stroke, "points": stroke["points"][::-1]}], size)), "direction does not matter"
    moved = rasterize([{**stroke, "points": [[x + 4, y + 7] for x, y in stroke["points"]]}], size)
    assert torch.equal(moved[..., 7:, 4:], field[..., :-7, :-4]), "moves with its points"
    assert (rasterize([{**stroke, "radius": 4.0}], size) >= field).all(), "a wider brush covers more"
    halves = rasterize([{**stroke, "points": stroke["points"][:2]}, {**stroke, "points": stroke["points"][1:]}], size)
    assert torch.equal(halves, field), "a stroke is the union of its segments"
    over = rasterize([stroke, {"points": [[10, 10]], "radius": 50, "value": 0.1}], size, background=0.05)
    assert (over == 0.1).all() and (rasterize([], size, background=0.05) == 0.05).all()


def test_rasterize_is_the_disk():
    y, x = torch.meshgrid(torch.arange(9) + 0.5, torch.arange(9) + 0.5, indexing="ij")
    disk = ((x - 4) ** 2 + (y - 5) ** 2 <= 2.5**2).float()
    assert torch.equal(rasterize([{"points": [(4, 5)], "radius": 2.5, "value": 1}], (9, 9))[0, 0], disk)


@pytest.mark.parametrize(
    "stroke",
    [
        {},
        {"points": [], "radius": 1, "value": 1},
        {"points": [[1, 2, 3]], "radius": 1, "value": 1},
        {"points": [[1, 2]], "radius": 0, "value": 1},
    ]
    + [{"points": [[1, float("nan")]], "radius": 1, "value": 1}, {"points": "abc", "radius": 1, "value": 1}],
)
def test_malformed_strokes(stroke):
    with pytest.raises(ValueError, match="points"):
        rasterize([stroke], (4, 4))


def test_painter_follows_the_browser():
    x = torch.full((1, 1, 24, 32), 0.5)
    maps = []
    panel = paint(x, lambda m: maps.append(m) or show(x + m, alt="The picture with its noise added"), top=0.3, radius=4)
    assert torch.equal(panel.map, rasterize(default_strokes((24, 32), 0.3), (24, 32))), "without a browser: the default strokes"
    panel.canvas.strokes = [{"points": [[3, 3]], "radius": 2, "value": 0.3}]  # what the browser sends on pointer-up
    assert torch.equal(maps[-1], panel.map) and panel.map[0, 0, 3, 3] == pytest.approx(0.3)
    panel.controls["brush"].value = 6.0
    assert panel.canvas.radius == 6.0
    panel.canvas.strokes = [{"points": "<b>"}]
    assert "&lt;b&gt;" in panel.message.value
    assert len(list(panel.drive())) == 4 and panel.canvas.radius == 4
    assert "image/png" in panel._repr_mimebundle_()[0] and panel.canvas.picture.startswith("data:image/png")


def test_painter_shows_its_map_by_default_and_checks_input():
    assert len(list(paint(torch.rand(1, 3, 16, 16)).drive())) == 4
    with pytest.raises(ValueError, match="one picture"):
        paint(torch.rand(2, 1, 16, 16))


def test_upload_choice_file_and_errors(tmp_path):
    from restorekit import bundled, save_image

    panel = upload(default="cat", side=32)
    assert panel.value.shape == (1, 3, 32, 32) and "the middle of" in panel.notice.value
    own = tmp_path / "own.png"
    save_image(torch.full((1, 1, 10, 12), 0.25), own)
    panel.file.value = (
        {"name": "own.png", "type": "image/png", "size": 1, "content": memoryview(own.read_bytes()), "last_modified": datetime.now(UTC)},
    )
    assert panel.value.shape[-2:] == (10, 12) and panel.value.mean() == pytest.approx(0.25, abs=1 / 255) and panel.error == ""
    shown, value = panel.frame, panel.value
    panel.take(b"<html>not a picture</html>")
    assert panel.error and panel.frame == shown and torch.equal(panel.value, value), "a bad file changes nothing"
    panel.reset()
    assert panel.value.shape == (1, 3, 32, 32) and panel.error == ""
    assert torch.equal(panel.value, bundled("cat")[..., 134:166, 209:241])


def test_upload_limits_and_drive():
    panel = upload(default="coins", gray=True, side=24, max_mb=0.001)
    panel.take(bytes(2000))
    assert "at most 0" in panel.error and panel.value.shape == (1, 1, 24, 24)
    panel.controls["picture"].value = "my own picture"
    assert "Open a file" in panel.error
    assert len(list(panel.drive())) > 5
    with pytest.raises(ValueError, match="bundled"):
        upload(default="nobody")
