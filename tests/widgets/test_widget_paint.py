"""Paint and segment: in Python, and in a browser by mouse, touch and keyboard."""

import base64
import copy

import numpy as np
import pytest
import torch
import traitlets
from mounting import numbers

from panet_lite import EpisodeSampler
from panet_lite.annotations import annotate
from panet_lite.datasets import VOID
from panet_lite.widgets import PaintAndSegment
from panet_lite.widgets.scenes import CHANNELS, packed, segment


@pytest.fixture(scope="module")
def episode(data):
    return EpisodeSampler(data, data.fold(0), seed=0).episode(5)


@pytest.fixture(scope="module")
def three(data):
    return EpisodeSampler(data, data.fold(0), shots=3, seed=0).episode(1)


@pytest.fixture
def widget(episode, model):
    return PaintAndSegment(episode, model, ["cup"])


def expected(widget, label_map, active=None):
    """What Python says about these label maps."""
    return segment(widget.scene, label_map, active).labels()[0].numpy()


# ---- Python ------------------------------------------------------------------------------------------


def test_starts(episode, model):
    dense = episode.support_labels[0].flatten(0, 1)
    for start in ("dense", "scribble", "box", "point"):
        widget = PaintAndSegment(episode, model, start=start)
        assert np.array_equal(widget.label_map[0], annotate(dense[0], start).numpy())
        assert np.array_equal(widget.prediction, expected(widget, widget.label_map))
    assert (PaintAndSegment(episode, model, start="empty").label_map == VOID).all()
    with pytest.raises(ValueError, match="choose one of dense, scribble, box, point or empty"):
        PaintAndSegment(episode, model, start="outline")


def test_python_paints_and_the_prediction_follows(widget):
    labels = np.full_like(widget.label_map, VOID)
    labels[0, 20:60, 20:60], labels[0, 150:, :] = 1, 0
    before = widget.prediction
    widget.label_map = labels
    assert np.array_equal(widget.prediction, expected(widget, labels))
    assert not np.array_equal(widget.prediction, before)
    widget.prediction = np.ones_like(before)
    assert (widget.prediction == 1).all()  # code may show its own


def test_what_the_page_computed_is_not_computed_again(widget):
    labels, own = np.zeros_like(widget.label_map), np.ones_like(widget.prediction)
    widget.set_state({"label_map": packed(labels), "prediction": packed(own), "active": [True]})
    assert (widget.label_map == 0).all() and (widget.prediction == 1).all()


def test_shots_can_be_switched_off(three, model):
    widget = PaintAndSegment(three, model)
    widget.active = [True, False, False]
    assert np.array_equal(widget.prediction, expected(widget, widget.label_map, [True, False, False]))
    assert widget.episode.shots == 1
    with pytest.raises(traitlets.TraitError, match="3 values"):
        widget.active = [True]


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (lambda m: m[:, :10], "should be"),
        (lambda m: m[0], "should be"),
        (lambda m: np.full_like(m, 2), "holds 2, which is no class"),
        (lambda m: m + 0.5, "do not fit into uint8"),
    ],
)
def test_a_bad_label_map_is_refused(widget, spoil, sentence):
    before = widget.label_map.copy()
    with pytest.raises(traitlets.TraitError, match=sentence):
        widget.label_map = spoil(before)
    widget.set_state({"label_map": packed(np.asarray(spoil(before), np.uint8)[..., :5])})
    assert "should be" in widget.message and np.array_equal(widget.label_map, before)


def test_the_episode_as_painted_goes_to_any_model(widget, model):
    labels = np.full_like(widget.label_map, VOID)
    labels[0, 80:120, 20:50] = 1  # no stroke on the background
    widget.label_map = labels
    painted = widget.episode
    assert painted.support_labels.unique().tolist() == [0, 1]  # completed
    with torch.inference_mode():
        full = model(painted).labels()[0].numpy()
    assert (full == widget.prediction).mean() > 0.97


def test_a_picture_where_no_javascript_runs(widget):
    data, metadata = widget._repr_mimebundle_()
    picture = base64.b64decode(data["image/png"])
    assert picture.startswith(b"\x89PNG") and 5_000 < len(picture) < 200_000
    assert metadata["image/png"]["alt"] == widget.alt() and widget.alt() in data["text/plain"]
    assert "cup: IoU" in widget.alt() and "0x" not in repr(widget)
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id


def test_the_truth_may_be_unknown(episode, model):
    nothing = torch.full_like(episode.query_labels, VOID)
    unknown = type(episode)(*(getattr(episode, f) if f != "query_labels" else nothing for f in episode.__dataclass_fields__))  # fmt: skip
    assert "IoU unknown" in PaintAndSegment(unknown, model).alt()


# ---- in the page -------------------------------------------------------------------------------------

STATE = """(element) => {
  const model = (element ?? document.querySelector(".widget-host")).model;
  const of = (name) => new Uint8Array(model.get(name).data.buffer).join();
  return { label_map: of("label_map"), prediction: of("prediction"), active: model.get("active"),
    line: document.querySelector(".panet-line").textContent };
}"""


def read(page, widget):
    """The page's label maps and prediction as arrays; all changes have come to rest."""
    state = page.evaluate(STATE, None)
    for name in ("label_map", "prediction"):
        state[name] = numbers(state[name]).reshape(getattr(widget, name).shape)
    return state


def check(page, widget, active=None):
    """What the page says is what Python says about the same strokes; up to two ties."""
    state = read(page, widget)
    python = expected(widget, state["label_map"], active)
    assert (state["prediction"] != python).sum() <= 2
    assert page.troubles == []
    return state["label_map"]


def canvas(page, number=0):
    view = page.locator("canvas[role=application]").nth(number)
    view.scroll_into_view_if_needed()
    return view, view.bounding_box()


def test_mouse(shown, widget):
    page = shown(widget)
    page.get_by_role("button", name="Clear").click()
    assert (check(page, widget) == VOID).all()
    assert "Nothing is marked as cup" in read(page, widget)["line"]
    view, box = canvas(page)
    at = lambda x, y: (box["x"] + x * box["width"] / 192, box["y"] + y * box["height"] / 192)  # noqa: E731
    page.mouse.move(*at(20, 90))
    page.mouse.down()
    page.mouse.move(*at(60, 90), steps=7)
    page.mouse.up()
    painted = check(page, widget)[0]
    assert (painted[90, 20:60] == 1).all() and painted[110, 40] == VOID and painted[90, 80] == VOID
    page.get_by_role("radio", name="Background").check()
    page.mouse.click(*at(150, 170))
    painted = check(page, widget)[0]
    assert painted[170, 150] == 0 and painted[90, 40] == 1
    page.get_by_role("radio", name="Eraser").check()
    page.mouse.click(*at(40, 90))
    assert check(page, widget)[0, 90, 40] == VOID
    page.get_by_role("button", name="Undo").click()
    assert check(page, widget)[0, 90, 40] == 1
    for name, kind in (("Mask", "dense"), ("Box", "box"), ("Scribble", "scribble"), ("Point", "point")):
        page.get_by_role("button", name=name, exact=True).click()
        start = np.frombuffer(widget.scene["starts"][kind]["data"], np.uint8)
        assert np.array_equal(check(page, widget).ravel(), start)


def test_touch(shown, widget):
    page = shown(widget, has_touch=True, viewport={"width": 360, "height": 740})
    page.get_by_role("button", name="Clear").tap()
    view, box = canvas(page)
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    painted = check(page, widget)[0]
    assert painted[48, 96] == 1 and 100 < (painted == 1).sum() < 400
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing juts out of a phone


def test_keyboard_alone(shown, widget):
    page = shown(widget)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Clear":
            break
    page.keyboard.press("Enter")
    assert (read(page, widget)["label_map"] == VOID).all()
    page.keyboard.press("Tab")
    assert (
        page.evaluate("document.activeElement.getAttribute('aria-label')") == "Support 1: paint the cup here"
    )
    page.keyboard.press("Space")
    for _ in range(5):
        page.keyboard.press("Shift+ArrowLeft")
    painted = check(page, widget)[0]
    assert (painted[96, 76:100] == 1).all()
    page.keyboard.press("0")
    for _ in range(10):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("]")
    page.keyboard.press("Space")
    painted = check(page, widget)[0]
    assert painted[136, 76] == 0 and painted[136, 85] == 0 and painted[116, 76] == VOID
    page.keyboard.press("Control+z")
    assert check(page, widget)[0, 136, 76] == VOID
    page.keyboard.press("e")
    for _ in range(10):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    assert check(page, widget)[0, 96, 76] == VOID


def test_supports_are_switched_in_the_page(shown, three, model):
    widget = PaintAndSegment(three, model, ["cup"], start="scribble")
    page = shown(widget)
    page.get_by_role("button", name="Support 2 counts").click()
    assert read(page, widget)["active"] == [True, False, True]
    check(page, widget, [True, False, True])
    assert (read(page, widget)["prediction"] != expected(widget, widget.label_map)).any()


def test_python_s_changes_arrive(shown, widget):
    """What the kernel would send: a label map, and then a prediction of its own."""
    page = shown(widget)
    put = """([name, bytes, shape]) => document.querySelector(".widget-host").model.set(name,
      { dtype: "uint8", shape, data: new DataView(Uint8Array.from(bytes).buffer) })"""
    labels = np.full_like(widget.label_map, VOID)
    labels[0, 100:, :], labels[0, 80:120, 20:50] = 0, 1
    page.evaluate(put, ["label_map", labels.ravel().tolist(), list(labels.shape)])
    line = page.locator(".panet-line")
    widget.label_map = labels
    line.filter(has_text=f"cup: IoU {widget.iou[0]:.2f}").wait_for()
    truth = np.frombuffer(widget.scene["truth"]["data"], np.uint8)
    page.evaluate(put, ["prediction", truth.tolist(), list(widget.prediction.shape)])
    line.filter(has_text="Prediction set in Python. cup: IoU 1.00").wait_for()
    assert page.troubles == []


def test_nothing_is_offered_that_would_do_nothing(shown, episode, model):
    """One's own picture: nothing is marked, so there is nothing to start from; its truth is unknown."""
    fields = {name: getattr(episode, name) for name in episode.__dataclass_fields__}
    blank = {name: torch.full_like(fields[name], VOID) for name in ("support_labels", "query_labels")}
    page = shown(PaintAndSegment(type(episode)(**fields | blank), model, ["thing"], start="empty"))
    for name in ("Mask", "Box", "Scribble", "Point", "Show the truth"):
        assert page.get_by_role("button", name=name, exact=True).count() == 0
    assert page.get_by_role("button", name="Clear").count() == 1 and page.troubles == []


def spoilt(scene, **changes):
    scene = copy.deepcopy(scene)
    for name, change in changes.items():
        scene[name] = change(scene[name]) if callable(change) else change
    return scene


SPOILT = {
    "wrong byte count": (lambda f: {**f, "data": f["data"][:-3]}, "features", "bytes where"),
    "no number of channels": (lambda n: 10**9, "channels", "number of channels"),
    "size of another picture": (lambda s: [191, 192], "size", "shape"),
    "an endless size": (lambda s: [1e12, 1], "size", "image's size"),
    "NaN in the scale": (lambda s: packed(np.full(CHANNELS, np.nan, np.float32)), "scale", "not finite"),
    "no alpha": (lambda a: "20", "alpha", "alpha"),
    "an unknown distance": (lambda d: "constructor", "distance", "distance"),
    "pictures missing": (lambda p: p[:1], "images", "pictures"),
    "a broken picture": (lambda p: [b"no picture", *p[1:]], "images", "cannot be read"),
    "a label that is no class": (lambda t: {**t, "data": b"\7" * len(t["data"])}, "truth", "no class"),
    "truth of another shape": (lambda t: {**t, "shape": [1, 2, 3]}, "truth", "truth"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_malformed_state_gives_a_sentence(shown, widget, name):
    change, key, sentence = SPOILT[name]
    widget.alt = lambda: "spoilt"
    widget.set_trait("scene", spoilt(widget.scene, **{key: change}))
    page = shown(widget)
    alarm = page.locator(".panet-alarm")
    assert (
        alarm.is_visible() and "cannot be drawn" in alarm.text_content() and sentence in alarm.text_content()
    )
    assert page.troubles == []


def test_a_spoilt_change_leaves_the_widget_alive(shown, widget):
    page = shown(widget)
    page.evaluate(
        "document.querySelector('.widget-host').model.set('label_map', {dtype: 'uint8', shape: [1], data: 5})"
    )
    assert "cannot go on" in page.locator(".panet-alarm").text_content()
    page.get_by_role("button", name="Box", exact=True).click()
    check(page, widget)
    assert page.locator(".panet-alarm").is_hidden()


def test_names_are_text(shown, episode, model):
    page = shown(PaintAndSegment(episode, model, ["<img src=x onerror=alert(1)>"]))
    assert page.locator(".panet img").count() == 0 and page.troubles == []
    assert "<img src=x" in page.locator(".panet figcaption").first.text_content()
