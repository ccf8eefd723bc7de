"""Annotation ladder: in Python, and in a browser by mouse, touch and keyboard."""

import gzip

import numpy as np
import pytest
import torch
from mounting import MODEL, line, on_page, page_of, spoil
from traitlets import TraitError

from panet_lite import EpisodeSampler
from panet_lite.annotations import KINDS, annotate
from panet_lite.datasets import VOID
from panet_lite.widgets.ladder import RUNGS, AnnotationLadder
from panet_lite.widgets.scenes import CHANNELS, class_iou, packed, segment


@pytest.fixture(scope="module")
def episode(data):
    return EpisodeSampler(data, data.fold(0), seed=0).episode(1)


@pytest.fixture(scope="module")
def large(data):
    """Two ways, two shots, two queries, two tasks."""
    return EpisodeSampler(data, data.fold(0), ways=2, shots=2, queries=2, seed=0).batch([0, 1])


@pytest.fixture
def widget(episode, model):
    return AnnotationLadder(episode, model, ["cup"])


@pytest.fixture
def shown(widget, shown):
    return lambda widget=widget, **options: shown(widget, **options)


def expected(widget, label_map):
    """What Python says about these label maps: prediction and IoU."""
    predicted = segment(widget.scene, label_map).labels()[0].to(torch.uint8)
    truth = widget._episode.query_labels[0]
    return predicted.numpy(), class_iou(predicted, truth, widget.scene["ways"])[0]


def rung(page, name):
    return page.locator(".panet-rung", has_text=name)


def canvas(page):
    return page.locator('canvas[role="application"]').first


def agrees(page, widget):
    """Does the page show what Python makes of the strokes on the page? Returns those."""
    labels = on_page(page, "label_map")
    predicted, iou = expected(widget, labels)
    assert (on_page(page, "prediction") == predicted).mean() > 0.9999
    line(page, f"Yours: IoU {iou:.2f};")
    assert f"IoU {iou:.2f}" in rung(page, "Yours").inner_text()
    assert page.troubles == []
    return labels


# ---- Python -------------------------------------------------------------------------------------


def test_each_rung_is_an_annotation_of_the_masks(large, model):
    widget = AnnotationLadder(large, model)
    dense = large.support_labels[0].flatten(0, 1)
    for kind in KINDS:
        assert np.array_equal(widget.maps(kind), torch.stack([annotate(m, kind) for m in dense]).numpy())
        widget.selection = kind
        predicted = segment(widget.scene, widget.maps(kind)).labels()[0]
        assert torch.equal(torch.from_numpy(widget.prediction).long(), predicted)
        assert predicted.shape == (1, *dense.shape[1:])  # the first query alone
        assert torch.equal(widget.episode.support_labels.flatten(0, 2), torch.from_numpy(widget.maps(kind)))
        with torch.inference_mode():  # the scene is rounded to int8
            assert (model(widget.episode).labels()[0] == predicted).float().mean() > 0.97
    assert (widget.label_map == VOID).all() and set(widget.iou) == set(KINDS)
    assert [len(ious) for ious in widget.iou.values()] == [2] * 4


def test_the_readers_rung_in_code(widget):
    labels = np.full_like(widget.label_map, VOID)
    labels[0, 60:100, 60:100], labels[0, 170:] = 1, 0
    widget.label_map = labels
    assert widget.selection == "dense" and np.array_equal(
        widget.prediction, expected(widget, widget.maps("dense"))[0]
    )
    widget.selection = "yours"
    predicted, iou = expected(widget, labels)
    assert np.array_equal(widget.prediction, predicted)
    assert widget.iou["yours"] == [iou] and tuple(widget.iou) == RUNGS
    assert f"yours cup {iou:.2f}" in widget.alt()
    labels[0, 170:] = VOID  # no stroke on the background: all the rest is
    widget.label_map = labels
    assert (widget.episode.support_labels == 0).sum() == labels.size - 1600


def test_what_the_page_computed_is_not_computed_again(widget):
    own = np.ones_like(widget.prediction)
    widget.set_state({"selection": "point", "prediction": packed(own)})
    assert widget.selection == "point" and (widget.prediction == 1).all()


def test_what_makes_no_sense_is_refused(widget):
    with pytest.raises(TraitError, match="no rung 'outline'"):
        widget.selection = "outline"
    with pytest.raises(TraitError, match="label_map is"):
        widget.label_map = np.zeros((1, 9, 9))
    with pytest.raises(TraitError, match="label_map holds 2"):
        widget.label_map = np.full_like(widget.label_map, 2)
    widget.set_state({"selection": "outline"})
    assert widget.selection == "dense" and "no rung 'outline'" in widget.message


def test_the_still_picture_and_the_weight(widget):
    data, metadata = widget._repr_mimebundle_()
    assert 10_000 < len(data["image/png"]) < 300_000
    alt = metadata["image/png"]["alt"]
    assert all(f"{kind} cup {ious[0]:.2f}" in alt for kind, ious in widget.iou.items())
    assert len(widget.figure().axes) == 8
    assert len(gzip.compress(page_of(widget).encode())) < 300_000


# ---- in the page --------------------------------------------------------------------------------


def test_by_mouse(shown, widget):
    page = shown()
    names = {"dense": "Mask", "box": "Box", "scribble": "Scribble", "point": "Point"}
    for kind, name in names.items():
        predicted, iou = expected(widget, widget.maps(kind))
        rung(page, name).click()
        assert f"{name}: IoU {iou:.2f}" in line(page, f"{name}:")
        assert f"IoU {iou:.2f}" in rung(page, name).inner_text()
        assert (on_page(page, "prediction") == predicted).mean() > 0.9999
        assert page.evaluate(f"{MODEL}.get('selection')") == kind
        assert rung(page, name).get_attribute("aria-pressed") == "true"
        assert not canvas(page).is_visible()
    rung(page, "Yours").click()
    assert "nothing painted yet" in line(page, "Yours:")
    box = canvas(page).bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    page.mouse.up()
    first = agrees(page, widget)
    assert (first[0, 96, 70:120] == 1).all() and not (first == 0).any()
    line(page, "Everything unpainted counts as background")
    page.get_by_label("Background", exact=True).click()
    canvas(page).click(position={"x": 20, "y": 20})
    assert (agrees(page, widget) == 0).any()
    assert "unpainted" not in page.inner_text(".panet-line")
    page.get_by_role("button", name="Undo").click()
    assert np.array_equal(agrees(page, widget), first)
    page.get_by_role("button", name="Clear").click()
    line(page, "nothing painted yet")
    assert (on_page(page, "label_map") == VOID).all()


def test_go_on_from_a_rung(shown, widget):
    page = shown()
    rung(page, "Scribble").click()
    page.get_by_role("button", name="Go on painting from this one").click()
    assert np.array_equal(agrees(page, widget), widget.maps("scribble"))
    page.keyboard.press("Control+z")  # the picture has the focus
    line(page, "nothing painted yet")


def test_by_touch(shown, widget):
    page = shown(has_touch=True, viewport={"width": 320, "height": 800})
    rung(page, "Yours").tap()
    canvas(page).scroll_into_view_if_needed()
    box = canvas(page).bounding_box()
    page.touchscreen.tap(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    assert agrees(page, widget)[0, 96, 96] == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_by_keyboard_alone(shown, widget):
    page = shown()
    for _ in range(5):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the fifth rung
    line(page, "Yours")
    while not page.evaluate("document.activeElement.matches('canvas')"):
        page.keyboard.press("Tab")
    for key in ("Space", "Shift+ArrowRight", "0", *["ArrowUp"] * 12, "Space"):
        page.keyboard.press(key)
    labels = agrees(page, widget)
    assert labels[0, 96, 96] == 1 and labels[0, 48, 100] == 0


def test_code_moves_the_page(shown, widget):
    page = shown()
    labels = np.full_like(widget.label_map, VOID)
    labels[0, 60:100, 60:100], labels[0, 170:] = 1, 0
    page.evaluate(
        f"""bytes => {{
        const old = {MODEL}.get("label_map");
        {MODEL}.set("label_map", {{ ...old, data: new DataView(Uint8Array.from(bytes).buffer) }});
        {MODEL}.set("selection", "yours");
    }}""",
        labels.ravel().tolist(),
    )
    line(page, f"Yours: IoU {expected(widget, labels)[1]:.2f};")
    page.evaluate(
        f"""() => {{
        const old = {MODEL}.get("prediction");
        {MODEL}.set("prediction", {{ ...old, data: new DataView(new ArrayBuffer(old.data.byteLength)) }});
    }}"""
    )
    assert "prediction set in Python, IoU 0.00" in line(page, "set in Python")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"label_map": {"dtype": "uint8", "shape": [1, 192, 192], "data": b"short"}},
            "label_map has 5 bytes",
        ),
        ({"label_map": packed(np.full((1, 192, 192), 77, np.uint8))}, "label_map holds 77"),
        ({"selection": "outline"}, "There is no rung outline"),
        ({"scene": {}}, "The number of ways"),
        ({"scene": {"starts": {}}}, "The annotation dense, box, scribble, point is missing"),
        ({"scene": {"scale": packed(np.full(CHANNELS, np.nan, np.float32))}}, "is not finite"),
        ({"scene": {"alpha": "20"}}, "alpha that is a number"),
    ],
)
def test_malformed_state_gives_a_sentence(shown, widget, change, sentence, monkeypatch):
    spoil(widget, change, monkeypatch)
    page = shown()
    assert sentence in page.get_by_role("alert").inner_text()
    assert page.troubles == []


def test_a_wrong_map_later_on_gives_a_sentence_and_the_rest_goes_on(shown, widget):
    page = shown()
    page.evaluate(
        f"{MODEL}.set('label_map', {{ dtype: 'uint8', shape: [1, 192, 192], data: new DataView(new ArrayBuffer(3)) }})"
    )
    assert "label_map has 3 bytes" in page.get_by_role("alert").inner_text()
    rung(page, "Box").click()
    line(page, "Box:")
    assert page.troubles == []


def test_two_ways_and_two_shots(shown, large, model):
    widget = AnnotationLadder(large, model, ["first", "second"])
    page = shown(widget)
    rung(page, "Box").click()
    ious = widget.iou["box"]
    told = [f"{n} IoU {'–' if np.isnan(v) else f'{v:.2f}'}" for n, v in zip(("first", "second"), ious)]
    assert ", ".join(told) in line(page, "Box:")
    rung(page, "Yours").click()
    page.wait_for_function("document.querySelectorAll('canvas[role=application]').length === 4")
    page.locator('canvas[role="application"]').nth(3).click()
    labels = on_page(page, "label_map")
    assert labels[3, 96, 96] == 2 and (labels[:3] == VOID).all()
    assert (on_page(page, "prediction") == expected(widget, labels)[0]).mean() > 0.9999
