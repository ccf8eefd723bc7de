"""Episode browser: what it carries, what it draws, and what a reader sees of it, checked against the package."""

import gzip
import re

import numpy as np
import pytest
import torch
from mounting import MODEL, line, on_page, page_of
from traitlets import TraitError

from panet_lite import EpisodeSampler, pretrained
from panet_lite.evaluation import score_episode
from panet_lite.widgets.browser import CARRIED, KEYS, EpisodeBrowser

START = {"fold": 0, "class": "mug", "ways": 1, "shots": 1, "seed": 0}
OTHER = {"fold": 1, "class": "donut", "ways": 2, "shots": 1, "seed": 1}
UNCARRIED = {"fold": 2, "class": "fir tree", "ways": 3, "shots": 2, "seed": 17}


@pytest.fixture(scope="module")
def models():
    return {fold: pretrained(fold) for fold in range(4)}


@pytest.fixture(scope="module")
def made(data, models):
    return EpisodeBrowser(data, models)


@pytest.fixture
def widget(made):
    made.selection = dict(START)
    return made


@pytest.fixture
def shown(widget, shown):
    return lambda widget=widget, **options: shown(widget, **options)


def expected(widget):
    scores = [
        f"{name} " + ("neither there nor predicted" if np.isnan(iou) else f"IoU {iou:.2f}")
        for name, iou in zip(widget.names, widget.iou)
    ]
    return ", ".join(scores)


def pick(page, field, value):
    return page.locator("fieldset", has=page.get_by_text(field, exact=True)).locator(
        f'input[value="{value}"]'
    )


def same_on_page(page, widget, selection):
    """Does the page show what Python says about this selection?"""
    widget.selection = dict(selection)
    said = line(
        page,
        f"{selection['ways']}-way {selection['shots']}-shot, seed {selection['seed']}: {widget.names[0]}",
    )
    assert said.endswith(f": {expected(widget)}.")
    assert on_page(page, "selection") == selection
    np.testing.assert_array_equal(on_page(page, "prediction"), widget.prediction)
    assert page.troubles == []


# ---- in Python ----------------------------------------------------------------------------------


@pytest.mark.parametrize("selection", [START, OTHER, UNCARRIED])
def test_the_episode_is_the_samplers_and_the_prediction_the_models(widget, data, models, selection):
    widget.selection = dict(selection)
    sampler = EpisodeSampler(
        data, data.fold(selection["fold"]), selection["ways"], selection["shots"], seed=selection["seed"]
    )
    (label,) = data.labels_of([selection["class"]])
    episode = next(e for i in range(1000) if (e := sampler.episode(i)).classes[0, 0] == label)
    assert torch.equal(widget.episode.query_images, episode.query_images)
    assert torch.equal(widget.episode.support_labels, episode.support_labels)
    model = models[selection["fold"]]
    with torch.inference_mode():
        predicted = model(episode).labels()[0]
    assert (torch.from_numpy(widget.prediction).long() == predicted).float().mean() > 0.9999
    counts = score_episode(model, episode)[0]
    hits = np.diagonal(counts)
    union = counts.sum(0) + counts.sum(1) - hits
    np.testing.assert_allclose(np.nan_to_num(widget.iou), hits[1:] / np.maximum(union[1:], 1), atol=1e-3)


def test_what_the_page_carries(widget, data):
    carried = [tuple(e[k] for k in KEYS) for e in widget.deck["episodes"]]
    assert len(set(carried)) == len(carried) == 20 * sum(seeds for *_, seeds in CARRIED)
    assert {e["class"] for e in widget.deck["episodes"]} == set(data.classes)
    assert len(gzip.compress(page_of(widget).encode())) < 1.3e6
    assert len(widget.deck["images"]) == len(set(widget.deck["numbers"]))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fold": 4}, "no fold 4 here"),
        ({"fold": "0"}, "fold is '0': choose a whole number"),
        ({"class": "die"}, "Fold 0 has no 'die'"),
        ({"ways": 6}, "6 ways"),
        ({"ways": 1.5}, "ways is 1.5"),
        ({"shots": 0}, "shots is 0"),
        ({"ways": 5, "shots": 30}, "use fewer ways or shots"),
        ({"shots": 51}, "shots is 51"),
        ({"seed": -1}, "seed is -1"),
        ({"more": 1}, "A selection holds fold, class, ways, shots, seed"),
    ],
)
def test_a_selection_that_cannot_be_drawn_is_refused(widget, change, sentence):
    before = widget.prediction.copy()
    with pytest.raises(TraitError, match=re.escape(sentence)):
        widget.selection = START | change
    widget.set_state({"selection": START | change})  # as the page would
    assert sentence in widget.message
    assert widget.selection == START
    np.testing.assert_array_equal(widget.prediction, before)
    widget.selection = OTHER
    assert widget.message == ""


def test_a_page_asks_for_any_episode_and_whether_anybody_is_there(widget):
    widget.set_state({"selection": UNCARRIED, "hello": 12345})
    assert widget.echo == 12345
    (episode,) = widget.drawn["episodes"]
    assert {k: episode[k] for k in KEYS} == UNCARRIED
    assert len(episode["supports"]) == 3 and len(widget.drawn["images"]) == 7
    assert widget.names[0] == "fir tree" and len(widget.iou) == 3


@pytest.mark.parametrize(
    "prediction", [np.zeros((1, 9, 9)), np.full((1, 192, 192), 40), np.full((1, 192, 192), 0.5)]
)
def test_a_prediction_that_is_none_is_refused(widget, prediction):
    with pytest.raises(TraitError, match="prediction"):
        widget.prediction = prediction


def test_before_there_is_a_model(data):
    widget = EpisodeBrowser(data, carried=((1, 1, 1),))
    assert widget.prediction is None and widget.iou == [] and "predictions" not in widget.deck
    assert "mug" in widget.alt() and "prediction" not in widget.alt()
    assert len(widget.figure().axes) == 3


def test_too_few_images(data):
    with pytest.raises(ValueError, match="too few images"):
        EpisodeBrowser(data, carried=((9, 1, 1),))


def test_a_model_that_learned_the_folds_classes_is_refused_or_announced(data, models):
    """Fold 1's classes are among those that the model of fold 0 was trained on."""
    with pytest.raises(
        ValueError, match=r"^chess pawn, die, donut, pear, carrot: trained on by fold0.safetensors"
    ):
        EpisodeBrowser(data, {1: models[0]}, ((1, 1, 1),))
    widget = EpisodeBrowser(data, {0: models[0], 1: models[0]}, ((1, 1, 1),), allow_seen=True)
    assert widget.message == ""
    widget.selection = {**widget.selection, "fold": 1, "class": "die"}
    assert widget.message == "This fold's model was trained on chess pawn, die, donut, pear, carrot."
    widget.selection = {**widget.selection, "fold": 0, "class": "mug"}
    assert widget.message == ""


def test_too_few_images_of_one_class(tiny):
    data = tiny()
    counts = {c: len(data.images_of(c, 2048 / 473**2)) for c in data.fold(0)}
    rare = data.classes[min(counts, key=counts.get) - 1]
    assert min(counts.values()) < max(counts.values())
    widget = EpisodeBrowser(data, carried=((1, 1, 1),))
    with pytest.raises(TraitError, match=f"too few images of {rare}"):
        widget.selection = START | {"class": rare, "shots": max(counts.values()) - 1}


def test_the_still_picture_says_the_same(widget):
    widget.selection = dict(OTHER)
    data, metadata = widget._repr_mimebundle_()
    assert 10_000 < len(data["image/png"]) < 300_000
    alt = metadata["image/png"]["alt"]
    assert "fold 1, 2-way 1-shot, seed 1" in alt
    assert all(f"{n} IoU {v:.2f}" in alt for n, v in zip(widget.names, widget.iou) if not np.isnan(v))


# ---- in the page --------------------------------------------------------------------------------


def test_by_mouse(shown, widget):
    page = shown()
    same_on_page(page, widget, START)
    pick(page, "Fold", 1).click()
    pick(page, "Class", "donut").click()
    pick(page, "Ways", 2).click()
    pick(page, "Seed", 1).click()
    same_on_page(page, widget, OTHER)
    assert page.locator("canvas").count() == 5  # two supports, query, truth, prediction


def test_by_touch(shown, widget):
    page = shown(has_touch=True, viewport={"width": 320, "height": 800})
    pick(page, "Class", "candle").tap()
    pick(page, "Shots", 5).tap()
    same_on_page(page, widget, START | {"class": "candle", "shots": 5})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = "[...document.querySelectorAll('.panet button, .panet label')].filter((e) => e.getBoundingClientRect().height < 24)"
    assert page.evaluate(f"{small}.length") == 0


def test_by_keyboard_alone(shown, widget):
    page = shown()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # fold 1
    for key in ("Tab", "ArrowRight", "ArrowRight", "Tab", "ArrowRight"):  # its third class, two ways
        page.keyboard.press(key)
    same_on_page(page, widget, START | {"fold": 1, "class": "donut", "ways": 2})
    pixels = "() => document.querySelectorAll('canvas')[0].toDataURL()"
    before = page.evaluate(pixels)
    for key in ("Tab", "Tab", "Tab", "Space"):  # shots, seed, masks: off
        page.keyboard.press(key)
    page.wait_for_function(f"before => ({pixels})() !== before", arg=before)


def test_what_is_not_carried_says_so_until_a_kernel_answers(shown, widget):
    widget.selection = dict(UNCARRIED)  # leaves the episode in `drawn`, as for a live page
    said = expected(widget)
    page = shown()
    assert line(page, "seed 17").endswith(f": {said}.")
    page.evaluate(f"start => {MODEL}.set('selection', start)", START)
    line(page, "1-way 1-shot, seed 0")
    assert pick(page, "Shots", 10).is_disabled() and not pick(page, "Shots", 5).is_disabled()
    assert page.get_by_text("they need a running notebook").is_visible()
    page.evaluate(f"{MODEL}.set('echo', {MODEL}.get('hello'))")
    assert not pick(page, "Shots", 10).is_disabled()
    assert not page.get_by_text("they need a running notebook").is_visible()
    pick(page, "Shots", 10).click()
    line(page, "Drawing the episode in Python")
    assert on_page(page, "selection") == START | {"shots": 10}
    page.evaluate(
        f"""chosen => {{
        const drawn = {MODEL}.get("drawn");
        {MODEL}.set("drawn", {{ ...drawn, episodes: [{{ ...drawn.episodes[0], seed: 18 }}] }});
        {MODEL}.set("selection", {{ ...chosen, seed: 18 }});
    }}""",
        UNCARRIED,
    )
    line(page, "3-way 2-shot, seed 18")
    assert page.troubles == []


def test_code_moves_the_page(shown, widget):
    page = shown()
    page.evaluate(f"chosen => {MODEL}.set('selection', chosen)", START | {"class": "bowl"})
    page.evaluate(f"""() => {{
        const old = {MODEL}.get("prediction");
        {MODEL}.set("prediction", {{ ...old, data: new DataView(new ArrayBuffer(old.data.byteLength)) }});
    }}""")
    assert "prediction set in Python, bowl IoU 0.00" in line(page, "set in Python")
    page.evaluate(f"{MODEL}.set('message', 'There are too few images.')")
    assert page.get_by_role("alert").inner_text() == "There are too few images."


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda deck: {}, "The episodes are missing"),
        (
            lambda deck: {"labels": deck["labels"] | {"data": deck["labels"]["data"][:99]}},
            "cannot be unpacked",
        ),
        (lambda deck: {"labels": deck["labels"] | {"shape": [1, 1, 1]}}, "The label maps should be uint8"),
        (lambda deck: {"size": [192, 191.5]}, "The images' size"),
        (lambda deck: {"episodes": [deck["episodes"][0] | {"query": 10**6}]}, "A picture's number"),
        (lambda deck: {"episodes": [deck["episodes"][0] | {"classes": [0]}]}, "A class should be"),
        (lambda deck: {"predictions": deck["labels"]}, "The predictions should be"),
        (lambda deck: {"folds": [[0]]}, "The folds are missing"),
    ],
)
def test_a_spoilt_deck_gives_a_sentence(shown, widget, spoil, sentence):
    whole = widget.deck
    try:
        change = spoil(whole)
        widget.deck = whole | change if change else {}
        page = shown()
    finally:
        widget.deck = whole
    assert sentence in page.get_by_role("alert").inner_text()
    assert page.troubles == []


def test_a_picture_that_is_none(shown, widget):
    whole = widget.deck
    try:
        widget.deck = whole | {"images": [b"no picture"] * len(whole["images"])}
        page = shown()
    finally:
        widget.deck = whole
    assert "one of its pictures cannot be read" in page.get_by_role("alert").inner_text()
