"""Distance and temperature: what the reader turns is what the package computes."""

import base64
import gzip
import io
import math
import re

import numpy as np
import pytest
import torch
from mounting import MODEL, on_page, page_of
from PIL import Image
from traitlets import TraitError

from panet_lite import EpisodeSampler
from panet_lite.matching import segmentation_loss
from panet_lite.widgets.distance import DistanceAndTemperature
from panet_lite.widgets.scenes import CHANNELS, packed, segment


@pytest.fixture
def widget(data, model):
    return DistanceAndTemperature(EpisodeSampler(data, data.fold(0), seed=4).episode(31), model, ["mug"])


def agrees(page, widget, alpha, distance):
    """The page's traits, label map and numbers are Python's for this alpha and distance."""
    page.wait_for_function(f"Math.abs({MODEL}.get('alpha') - {alpha}) < 1e-9")
    assert page.evaluate(f"{MODEL}.get('distance')") == distance
    widget.alpha, widget.distance = alpha, distance
    ours, theirs = widget.prediction, on_page(page, "prediction")
    assert ours.shape == theirs.shape and (ours != theirs).mean() < 1e-4  # ties may fall either way
    said = f"{'Cosine' if distance == 'cosine' else 'Squared Euclidean'}, alpha {alpha:g}:"
    page.wait_for_function(
        "said => document.querySelector('.panet-voice').textContent.startsWith(said)", arg=said
    )
    voice = page.locator(".panet-voice").inner_text()
    iou, bits, loss = map(float, re.search(r"IoU ([\d.]+).* ([\d.]+) bits, loss ([\d.]+)\.$", voice).groups())
    assert iou == pytest.approx(widget.iou[0], abs=0.006)
    assert bits == pytest.approx(widget.entropy, abs=0.006)
    assert loss == pytest.approx(widget.loss, rel=0.006)
    return voice


# ---- Python -------------------------------------------------------------------------------------


def test_it_begins_with_the_papers_setting(widget):
    assert (widget.alpha, widget.distance) == (20, "cosine")
    expected = segment(widget.scene, widget.label_map).labels()[0]
    assert np.array_equal(widget.prediction, expected) and 0 < expected.float().mean() < 1


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_alpha_changes_the_sureness_and_not_the_labels(widget, distance):
    widget.distance = distance
    labels, bits, losses = widget.prediction, [], []
    for alpha in (0.1, 1, 5, 20, 100):
        widget.alpha = alpha
        assert (widget.prediction != labels).mean() < 1e-3
        bits.append(widget.entropy)
        losses.append(widget.loss)
    assert bits == sorted(bits, reverse=True) and bits[0] < 1
    if distance == "cosine":
        assert 0 < np.argmin(losses) < 4  # neither the smallest nor the largest alpha has the lowest loss


def test_code_sets_the_distance_or_the_masks_and_the_prediction_follows(widget):
    before = widget.prediction
    widget.distance = "euclidean"
    assert not np.array_equal(widget.prediction, before)
    widget.distance = "cosine"
    assert np.array_equal(widget.prediction, before)
    widget.label_map = np.roll(widget.label_map, 60, axis=2)
    assert not np.array_equal(widget.prediction, before)


def test_numbers_are_those_of_the_package(widget, data):
    widget.alpha = 7.5
    prediction = segment(widget.scene, widget.label_map, alpha=7.5)
    chances = prediction.probabilities().double()
    assert widget.loss == pytest.approx(float(segmentation_loss(prediction.logits, widget.truth[None])))
    assert widget.entropy == pytest.approx(float(-(chances * chances.log2()).sum(2).mean()), rel=1e-4)


def test_the_first_query_is_shown_of_many(data, model):
    episode = EpisodeSampler(data, data.fold(0), ways=2, shots=2, queries=3, seed=1).episode(0)
    widget = DistanceAndTemperature(episode, model)
    assert widget.prediction.shape == (1, *episode.query_labels.shape[-2:]) and len(widget.iou) == 2
    assert torch.equal(widget.truth[0], episode.query_labels[0, 0])


@pytest.mark.parametrize("alpha", [0, -1, math.nan, math.inf, "20"])
def test_a_bad_alpha_is_refused(widget, alpha):
    with pytest.raises(TraitError, match="alpha"):
        widget.alpha = alpha
    assert widget.alpha == 20


@pytest.mark.parametrize(
    "state", [{"alpha": math.nan}, {"alpha": -3}, {"distance": "manhattan"}, {"alpha": None}]
)
def test_a_pages_bad_value_is_refused_with_a_sentence(widget, state):
    widget.set_state(state)
    assert (widget.alpha, widget.distance) == (20, "cosine")
    assert next(iter(state)) in widget.message


def test_what_the_page_computed_is_taken_over(widget):
    theirs = np.zeros_like(widget.prediction)
    widget.set_state({"alpha": 3.0, "prediction": packed(theirs)})
    assert widget.alpha == 3 and not widget.prediction.any()


@pytest.mark.parametrize("ways", [1, 2])
def test_still_picture_and_its_words(data, model, ways):
    widget = DistanceAndTemperature(EpisodeSampler(data, data.fold(0), ways=ways, seed=4).episode(31), model)
    bundle, metadata = widget._repr_mimebundle_()
    png = base64.b64decode(bundle["image/png"])
    assert len(png) < 150_000 and np.asarray(Image.open(io.BytesIO(png)).convert("L")).std() > 20
    assert metadata["image/png"]["alt"] == widget.alt() and f"{widget.iou[0]:.2f}" in widget.alt()


def test_state_is_small(widget):
    assert len(gzip.compress(page_of(widget).encode())) < 150_000


# ---- in a browser -------------------------------------------------------------------------------


def test_by_mouse(widget, shown):
    page = shown(widget)
    page.get_by_role("radio", name="Squared Euclidean").click()
    page.get_by_role("button", name="Alpha 1 (the default)").click()
    agrees(page, widget, 1, "euclidean")
    page.get_by_role("button", name="Alpha of the lowest loss").click()
    best = page.evaluate(f"{MODEL}.get('alpha')")
    voice = agrees(page, widget, best, "euclidean")
    lowest = widget.loss
    for alpha in (best / 1.3, best * 1.3):
        widget.alpha = alpha
        assert widget.loss > lowest
    assert "no pixels have another label than at alpha 1" in voice
    assert page.troubles == []


def test_by_keyboard_alone(widget, shown):
    page = shown(widget)
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    agrees(page, widget, 0.0001, "cosine")
    page.keyboard.press("End")
    agrees(page, widget, 100, "cosine")
    page.keyboard.press("ArrowLeft")
    agrees(page, widget, 90, "cosine")
    for _ in range(3):  # over both buttons to the distance
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    agrees(page, widget, 90, "euclidean")


def test_by_touch_on_a_phone(widget, shown):
    page = shown(widget, has_touch=True, viewport={"width": 320, "height": 700})
    page.get_by_role("radio", name="Squared Euclidean").tap()
    agrees(page, widget, 20, "euclidean")
    page.get_by_role("button", name="Alpha 1 (the default)").tap()
    agrees(page, widget, 1, "euclidean")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def colours(page):
    """How many colours the query's picture has, coarsely."""
    return page.evaluate("""() => {
        const canvas = document.querySelector(".panet canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const seen = new Map();
        for (let i = 0; i < data.length; i += 4) {
            const key = [data[i] >> 4, data[i + 1] >> 4, data[i + 2] >> 4].join();
            seen.set(key, (seen.get(key) ?? 0) + 1);
        }
        return Object.fromEntries(seen);
    }""")


def test_the_views_differ(widget, shown):
    page = shown(widget)
    page.wait_for_function("document.querySelector('.panet svg')?.childElementCount > 0")
    seen = [colours(page)]
    for view in ("Entropy", "Labels"):
        page.get_by_role("radio", name=view).click()
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        seen.append(colours(page))
    assert seen[0] != seen[1] != seen[2] != seen[0]


def test_python_changes_alpha_and_the_page_follows(widget, shown):
    page = shown(widget)
    page.evaluate(f"{MODEL}.set('alpha', 7.3)")
    page.wait_for_function("document.querySelector('.panet').textContent.includes('at alpha 7.3 (disc)')")
    assert page.locator("input[type=range]").get_attribute("aria-valuetext") == "7.3"
    page.evaluate(f"{MODEL}.set('distance', 'euclidean')")
    page.wait_for_function("document.querySelector('input[value=euclidean]').checked")


def test_python_changes_the_masks_and_the_page_follows(widget, shown):
    page = shown(widget)
    page.evaluate(f"""() => {{
        const {{ dtype, shape, data }} = {MODEL}.get("label_map");
        const bytes = new Uint8Array(data.buffer.slice(0)).map((v) => (v === 255 ? v : 1 - v));
        {MODEL}.set("label_map", {{ dtype, shape, data: new DataView(bytes.buffer) }});
    }}""")
    widget.label_map = np.where(widget.label_map == 255, 255, 1 - widget.label_map)
    page.locator("input[type=range]").press("End")
    agrees(page, widget, 100, "cosine")
    assert widget.iou[0] < 0.1  # object and background changed places


@pytest.mark.parametrize(("name", "value"), [("alpha", -3), ("alpha", "much"), ("distance", "manhattan")])
def test_a_bad_trait_gives_a_sentence(widget, shown, name, value):
    page = shown(widget)
    page.evaluate(f"([name, value]) => {MODEL}.set(name, value)", [name, value])
    alarm = page.locator(".panet-alarm")
    alarm.wait_for()
    assert name in alarm.inner_text() and page.locator(".panet canvas").count() == 1


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("scale", packed(np.full(CHANNELS, np.nan, np.float32)), "not finite"),
        ("truth", packed(np.full((1, 192, 192), 9, np.uint8)), "holds 9"),
        ("features", packed(np.zeros((2, CHANNELS, 24, 23), np.int8)), "features"),
        ("images", [], "pictures"),
    ],
)
def test_a_malformed_scene_gives_a_sentence(widget, shown, key, value, words):
    text = widget.alt()
    widget.alt = lambda: text  # Python would not compute with such a scene
    widget.scene = {**widget.scene, key: value}
    page = shown(widget)
    assert words in page.locator(".panet-alarm").inner_text()
    assert page.locator(".panet canvas").count() == 0 and page.troubles == []
