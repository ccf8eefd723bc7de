"""Alignment, step by step: the page's walk there and back is the package's, whatever is done to the masks."""

import base64
import gzip
import io
import re

import numpy as np
import pytest
import torch
from mounting import MODEL, on_page, page_of
from PIL import Image
from scipy.ndimage import maximum_filter
from traitlets import TraitError

from panet_lite import EpisodeSampler
from panet_lite.alignment import alignment_loss
from panet_lite.datasets import VOID
from panet_lite.widgets.scenes import CHANNELS, features_of, packed, segment
from panet_lite.widgets.steps import AlignmentSteps

FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
SPOILT = {
    "Shifted": lambda m: np.roll(m, (16, 16), (1, 2)),
    "On another region": lambda m: np.roll(m, (96, 96), (1, 2)),
    "Grown": lambda m: np.where(square(m == 1), 1, m),
    "Shrunk": lambda m: np.where((m == 1) & square(m != 1), 0, m),
    "Object and background swapped": lambda m: np.where(m == VOID, VOID, 1 - m),
}


def square(masks, radius=16):
    """True where something of a mask (N, H, W') lies within a square around the pixel."""
    size = (1, 2 * radius + 1, 2 * radius + 1)
    return maximum_filter(masks.astype(np.uint8), size, mode="constant").astype(bool)


@pytest.fixture
def make(data, model):
    """`make(ways, shots)`; of six episodes the one that is segmented best, where spoiling shows."""

    def make(ways=1, shots=1, queries=1, **kwargs):
        sampler = EpisodeSampler(
            data, data.fold(1), ways, shots, queries, seed=3
        )  # classes the model has seen
        made = [AlignmentSteps(sampler.episode(i), model, **kwargs) for i in range(6)]
        return max(made, key=lambda w: np.nan_to_num(w.numbers()[0]).min())

    return make


def table(page):
    """The numbers before and now: {row: (as annotated, now)}, each a list."""
    page.evaluate(FRAME)
    rows = [row.split("\t") for row in page.locator(".panet table").inner_text().splitlines()]
    return {
        r[0]: [[float(v.replace("–", "nan")) for v in text.split(", ")] for text in r[1:]]
        for r in rows
        if "." in r[1]
    }


def agrees(page, widget):
    """The page's masks, handed to Python, give the page's prediction, IoU and L_PAR."""
    masks = on_page(page, "label_map")
    ious, loss = widget.numbers(masks)
    clean, clean_loss = widget.numbers(widget.annotated)
    expected = segment(widget.scene, masks).labels()[0].numpy()
    assert (on_page(page, "prediction") != expected).mean() < 1e-4
    numbers = table(page)
    before, now = numbers["Query IoU (truth)"]
    assert before == pytest.approx(clean, abs=0.006, nan_ok=True) and now == pytest.approx(
        ious, abs=0.006, nan_ok=True
    )
    before, now = numbers["L_PAR"]
    assert before == pytest.approx([clean_loss], abs=0.002) and now == pytest.approx([loss], abs=0.002)
    return masks


# ---- Python -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ways", "shots"), [(1, 1), (1, 3), (2, 2)])
def test_numbers_are_those_of_the_package(make, ways, shots):
    widget = make(ways, shots, queries=2)
    support, query = features_of(widget.scene)
    labels = torch.from_numpy(widget.annotated).unflatten(0, (ways, shots))[None]
    prediction = segment(widget.scene, widget.annotated)
    assert query.shape[1] == 1  # the first of the two queries
    ious, loss = widget.numbers()
    assert loss == pytest.approx(float(alignment_loss(query, prediction.logits, support, labels)))
    assert len(ious) == ways and np.array_equal(widget.prediction, prediction.labels()[0])


def test_swapping_object_and_background_leaves_the_loss_and_ruins_the_prediction(make):
    widget = make()
    (iou,), loss = widget.numbers()
    widget.label_map = SPOILT["Object and background swapped"](widget.label_map)
    (swapped,), as_before = widget.numbers()
    assert iou > 0.5 and swapped < 0.2
    assert as_before == pytest.approx(loss, abs=1e-3)
    assert np.array_equal(widget.prediction, segment(widget.scene, widget.label_map).labels()[0])


def test_a_mask_without_object_predicts_nothing_and_costs_nothing(make):
    widget = make()
    (iou,), loss = widget.numbers(np.zeros_like(widget.label_map))
    assert loss == 0 and iou == 0


@pytest.mark.parametrize("step", [0, 7, "3"])
def test_a_bad_step_is_refused(make, step):
    widget = make()
    with pytest.raises(TraitError):
        widget.step = step
    widget.set_state({"step": step})
    assert widget.step == 1 and "step" in widget.message


@pytest.mark.parametrize(
    "value", [packed(np.full((1, 192, 192), 7, np.uint8)), packed(np.zeros((2, 3), np.uint8)), {"shape": [1]}]
)
def test_a_pages_bad_mask_is_refused_with_a_sentence(make, value):
    widget = make()
    widget.set_state({"label_map": value})
    assert np.array_equal(widget.label_map, widget.annotated) and widget.message


def test_what_the_page_computed_is_taken_over(make):
    widget = make()
    empty = packed(np.zeros_like(widget.prediction))
    widget.set_state({"label_map": packed(np.zeros_like(widget.label_map)), "prediction": empty, "step": 4})
    assert widget.step == 4 and not widget.prediction.any() and not widget.label_map.any()


def test_still_picture_and_its_words(make):
    widget = make()
    bundle, metadata = widget._repr_mimebundle_()
    png = base64.b64decode(bundle["image/png"])
    assert len(png) < 250_000 and np.asarray(Image.open(io.BytesIO(png)).convert("L")).std() > 20
    (iou,), loss = widget.numbers()
    assert metadata["image/png"]["alt"] == widget.alt()
    assert f"{iou:.2f}" in widget.alt() and f"L_PAR {loss:.2f}" in widget.alt()


def test_state_is_small(make):
    assert len(gzip.compress(page_of(make(shots=3)).encode())) < 250_000


# ---- in a browser -------------------------------------------------------------------------------


@pytest.mark.parametrize(("ways", "shots"), [(1, 3), (2, 2)])
def test_more_ways_and_shots(make, shown, ways, shots):
    widget = make(ways, shots)
    assert min(widget.numbers()[0]) > 0  # every way is found, and counts in L_PAR
    page = shown(widget)
    page.get_by_role("radio", name="Shifted").check()
    masks = agrees(page, widget)
    assert np.array_equal(masks, SPOILT["Shifted"](widget.annotated))
    page.get_by_role("group", name="Support shown").get_by_role("radio", name="2").check()
    page.evaluate(FRAME)
    assert page.locator("canvas[role=application]").evaluate_all("all => all.map((c) => c.hidden)")[:2] == [
        True,
        False,
    ]
    assert page.troubles == []


def test_every_way_of_spoiling_by_mouse(make, shown):
    widget = make()
    page = shown(widget)
    for name, spoil in SPOILT.items():
        page.get_by_role("radio", name=name).check()
        assert np.array_equal(agrees(page, widget), spoil(widget.annotated)), name
    before, now = table(page)["L_PAR"]  # the last was the swap
    assert now == pytest.approx(before, abs=2e-3)
    page.get_by_role("radio", name="As annotated").check()
    assert np.array_equal(agrees(page, widget), widget.annotated)
    assert page.troubles == []


def test_painting_by_mouse_and_undo(make, shown):
    widget = make()
    page = shown(widget)
    page.get_by_role("radio", name="Background", exact=True).check()
    box = page.locator("canvas[role=application]").bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 10, box["y"] + box["height"] / 2, steps=6)
    page.mouse.up()
    masks = agrees(page, widget)
    assert (masks[0, 96, 20:170] == 0).all() and not np.array_equal(masks, widget.annotated)
    page.get_by_role("button", name="Undo").click()
    assert np.array_equal(agrees(page, widget), widget.annotated)


def test_by_touch_on_a_phone(make, shown):
    widget = make()
    page = shown(widget, has_touch=True, viewport={"width": 320, "height": 700})
    page.get_by_role("radio", name="Background", exact=True).tap()
    page.locator("canvas[role=application]").tap()
    masks = agrees(page, widget)
    assert masks[0, 96, 96] == 0
    page.get_by_role("radio", name="Grown").tap()
    agrees(page, widget)
    page.get_by_role("button", name="Next").tap()
    page.wait_for_function(f"{MODEL}.get('step') === 2")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_by_keyboard_alone(make, shown):
    widget = make()
    page = shown(widget)
    page.keyboard.press("Tab")  # the steps
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{MODEL}.get('step') === 3")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # back
    page.wait_for_function(f"{MODEL}.get('step') === 2")
    for _ in range(3):  # next, play, the masks
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert np.array_equal(agrees(page, widget), SPOILT["Shifted"](widget.annotated))
    page.keyboard.press("Tab")  # the amount
    page.keyboard.press("ArrowRight")
    assert np.array_equal(agrees(page, widget), np.roll(widget.annotated, (18, 18), (1, 2)))
    page.keyboard.press("Tab")  # the picture
    assert page.evaluate("document.activeElement.getAttribute('role')") == "application"
    for key in ("0", "Space", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    masks = agrees(page, widget)
    assert (masks[0, 96, 92:96] == 0).all()


def blank(page):
    """For each figure, whether it is still ahead."""
    page.evaluate(FRAME)
    return page.locator(".panet figure").evaluate_all(
        "all => all.map((f) => f.classList.contains('panet-ahead'))"
    )


def test_steps_uncover_the_pictures_one_after_the_other(make, shown):
    page = shown(make())
    assert blank(page) == [False] + 5 * [True]
    assert page.get_by_role("button", name="Back").is_disabled()
    for step in range(2, 7):
        page.get_by_role("button", name="Next").click()
        assert blank(page) == step * [False] + (6 - step) * [True]
    assert page.get_by_role("button", name="Next").is_disabled()
    page.wait_for_function("document.querySelector('.panet-voice').textContent.startsWith('Step 6')")
    assert re.search(r"L_PAR \d\.\d{3}$", page.locator(".panet-voice").inner_text())


def test_play_steps_by_itself_and_pauses(make, shown):
    page = shown(make())
    page.clock.install()
    page.get_by_role("button", name="Play").click()
    assert page.evaluate(f"{MODEL}.get('step')") == 2
    page.clock.run_for(4100)
    assert page.evaluate(f"{MODEL}.get('step')") == 4
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(10_000)
    assert page.evaluate(f"{MODEL}.get('step')") == 4
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(10_000)
    assert page.evaluate(f"{MODEL}.get('step')") == 6
    assert page.get_by_role("button", name="Play").is_visible()


def test_with_reduced_motion_play_jumps_to_the_end(make, shown):
    page = shown(make(), reduced_motion="reduce")
    page.get_by_role("button", name="Play").click()
    assert page.evaluate(f"{MODEL}.get('step')") == 6
    assert page.get_by_role("button", name="Pause").count() == 0


def test_python_changes_a_mask_or_the_step_and_the_page_follows(make, shown):
    widget = make()
    page = shown(widget)
    page.evaluate(f"""() => {{
        const {{ dtype, shape, data }} = {MODEL}.get("label_map");
        const bytes = new Uint8Array(data.buffer.slice(0)).map((v) => (v === 255 ? v : 1 - v));
        {MODEL}.set("label_map", {{ dtype, shape, data: new DataView(bytes.buffer) }});
        {MODEL}.set("step", 5);
    }}""")
    assert blank(page) == 5 * [False] + [True]
    assert table(page)["Query IoU (truth)"][1] == pytest.approx(
        widget.numbers(SPOILT["Object and background swapped"](widget.annotated))[0], abs=0.006
    )
    assert not page.locator("input[value=none]").is_checked()


@pytest.mark.parametrize(
    ("name", "value"), [("step", 9), ("step", "x"), ("label_map", None), ("label_map", {"dtype": "uint8"})]
)
def test_a_bad_trait_gives_a_sentence(make, shown, name, value):
    page = shown(make())
    page.evaluate(f"([name, value]) => {MODEL}.set(name, value)", [name, value])
    alarm = page.locator(".panet-alarm")
    alarm.wait_for()
    assert name in alarm.inner_text() and page.locator(".panet figure").count() == 6


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("scale", packed(np.full(CHANNELS, np.nan, np.float32)), "not finite"),
        ("truth", packed(np.full((1, 192, 192), 9, np.uint8)), "holds 9"),
        ("starts", {}, "dense"),
        ("shots", 40, "pictures"),
    ],
)
def test_a_malformed_scene_gives_a_sentence(make, shown, key, value, words):
    widget = make()
    text = widget.alt()
    widget.alt = lambda: text  # Python would not compute with such a scene
    widget.scene = {**widget.scene, key: value}
    page = shown(widget)
    assert words in page.locator(".panet-alarm").inner_text()
    assert page.locator(".panet canvas").count() == 0 and page.troubles == []
