"""Embedding space: what it measures, what it draws, and what a reader does to it, checked against the package."""

import gzip

import numpy as np
import pytest
import torch
from matplotlib.path import Path
from mounting import MODEL, on_page, page_of
from torch.nn.functional import normalize
from traitlets import TraitError

from panet_lite import EpisodeSampler, PANet, pretrained
from panet_lite.alignment import prototype_distance
from panet_lite.datasets import VOID, Tabletop
from panet_lite.widgets.scenes import class_iou, packed
from panet_lite.widgets.space import EmbeddingSpace, cell_labels, embedded, principal_axes, turn_onto

SIDE = np.array([760, 620])  # of the cloud's canvas, as in cloud.js
CLOUD = "canvas[aria-label*=points]"
QUERY = "canvas[aria-label^=Query]"


@pytest.fixture(scope="module")
def models():
    return {"before": pretrained(0, "init"), "after": pretrained(0)}


@pytest.fixture(scope="module")
def episode():
    val = Tabletop("val")
    return EpisodeSampler(val, val.fold(0), ways=1, shots=2, seed=0).episode(3)


@pytest.fixture(scope="module")
def made(episode, models):
    return EmbeddingSpace(episode, models, ["thing"])


@pytest.fixture
def widget(made):
    """Nothing selected, the first space shown; what a test breaks is mended after it."""
    spaces, scene = made.spaces, made.scene
    made.selection, made.shown, made.colour_by = np.zeros(made.truth.shape), "before", "truth"
    yield made
    made.spaces, made.scene, made.message = spaces, scene, ""


@pytest.fixture
def shown(widget, shown):
    options = {"viewport": {"width": 900, "height": 1400}, "reduced_motion": "reduce"}
    return lambda **more: shown(widget, **options | more)


def selected(page, count):
    """The page's selection, once its sentence counts so many."""
    text = f"{count} cells selected" if count else "No cell is selected"
    page.wait_for_function(
        "text => document.querySelector('.panet-line').textContent.startsWith(text)", arg=text
    )
    return on_page(page, "selection")


def row(page, name):
    """A row of a table: the texts of its cells."""
    return page.locator("tr", has=page.get_by_role("rowheader", name=name)).locator("td").all_inner_texts()


def space_row(widget, name):
    space = widget._spaces[name]
    return [
        f"{space['aligned'][0]:.0f}°", f"{space['apart'][0]:.0f}°", f"{widget.iou(name)[0]:.2f}",
        f"{100 * space['share']:.0f} %",
    ]  # fmt: skip


def places(widget, name, yaw=0.45, pitch=0.3):
    """Where the points lie on the cloud's canvas, x and y, in the first view; written anew, not copied."""
    every = np.stack([space["points"].numpy().reshape(-1, 3) for space in widget._spaces.values()])
    low, high = every.min((0, 1)), every.max((0, 1))
    x, y, z = (widget._spaces[name]["points"].numpy().reshape(-1, 3) - (low + high) / 2).T
    reach = ((high - low) / 2).max()
    x, z = np.cos(yaw) * x + np.sin(yaw) * z, np.cos(yaw) * z - np.sin(yaw) * x
    y, z = np.cos(pitch) * y - np.sin(pitch) * z, np.sin(pitch) * y + np.cos(pitch) * z
    scale = 0.46 * SIDE[1] / reach * 4 / (4 - z / reach)
    return SIDE / 2 + np.stack([x * scale, -y * scale], 1), z / reach


def on_screen(page, points):
    box = page.locator(CLOUD).bounding_box()
    return [
        (box["x"] + x / SIDE[0] * box["width"], box["y"] + y / SIDE[1] * box["height"]) for x, y in points
    ]


def drag(page, points):
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def middle_of(page, canvas, grid, row, column):
    box = page.locator(canvas).bounding_box()
    return box["x"] + (column + 0.5) / grid[1] * box["width"], box["y"] + (row + 0.5) / grid[0] * box[
        "height"
    ]


def pixels(page):
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate(f"document.querySelector('{CLOUD}').toDataURL()")


# ---- Python --------------------------------------------------------------------------------------


def test_measures_what_the_model_does(widget, episode, models):
    for name, model in models.items():
        widget.shown = name
        with torch.inference_mode():
            prediction = model(episode)
        cosines = torch.from_numpy(widget.cosines)
        assert torch.allclose(20 * cosines[2:], prediction.logits[0], atol=1e-3)
        assert torch.equal(torch.from_numpy(widget.prediction).long(), prediction.labels()[0])
        assert widget.iou() == class_iou(prediction.labels()[0], episode.query_labels[0], 1)
        chord = prototype_distance(
            prediction.features.support, episode.support_labels, prediction.features.query,
            episode.query_labels, normalised=True,
        )  # fmt: skip
        angle = torch.deg2rad(torch.tensor(widget.spaces[list(models).index(name)]["aligned"][0]))
        assert torch.allclose(2 * torch.sin(angle / 2), chord[0, 1], atol=1e-4)
    assert 0 < widget.wrong.sum() < widget.truth.size / 2
    assert not (widget.wrong & (widget.truth == VOID)).any()


def test_points_are_principal_components_of_directions(episode, models):
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    middle, axes, share = principal_axes(x)
    values = torch.linalg.svdvals(x - x.mean(0)).square()
    assert share == pytest.approx((values[:3].sum() / values.sum()).item())
    assert torch.allclose(((x - middle) @ axes).square().sum(0), values[:3])
    assert principal_axes(x[:, :2])[1].shape == (2, 3) and principal_axes(x[:, :2])[2] == pytest.approx(1)
    space = embedded(episode, models["after"])
    with torch.inference_mode():
        features = models["after"].features(episode)
    cells = torch.cat([features.support[0, 0], features.query[0]]).permute(0, 2, 3, 1).flatten(0, 2)
    _, axes, _ = principal_axes(normalize(cells.double(), dim=1))
    lengths = (normalize(cells.double(), dim=1) @ axes).std(0)
    assert torch.allclose(space["points"].flatten(0, 2).std(0), lengths, atol=1e-6)


def test_spaces_face_alike(episode, models):
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(turn_onto(points, points @ turn), turn, atol=1e-5)
    twice = EmbeddingSpace(episode, {"one": models["after"], "two": models["after"]})._spaces
    assert torch.allclose(twice["one"]["points"], twice["two"]["points"], atol=1e-6)
    both = EmbeddingSpace(episode, models)._spaces
    stars = both["before"]["prototypes"][0]
    assert (stars[1] >= stars[0]).all()
    first, second = (both[name]["points"].flatten(0, 2) for name in models)
    for signs in torch.cartesian_prod(*[torch.tensor([1.0, -1.0], dtype=torch.float64)] * 3):
        assert (second - first).norm() <= (second * signs - first).norm() + 1e-9
    alone = embedded(episode, models["after"])["points"].flatten(0, 2)
    assert torch.allclose(
        torch.cdist(second[::50], second[::50]), torch.cdist(alone[::50], alone[::50]), atol=1e-6
    )


def test_labels_of_cells_are_read_in_their_middle():
    labels = torch.arange(12 * 18).view(1, 12, 18)
    assert torch.equal(cell_labels(labels, (3, 3)), labels[:, 2::4, 3::6])
    assert torch.equal(cell_labels(labels, (12, 18)), labels)
    assert cell_labels(labels, (5, 7)).shape == (1, 5, 7)


def test_two_ways_and_a_class_that_no_query_shows(models):
    val = Tabletop("val")
    episode = EpisodeSampler(val, val.fold(0), ways=2, shots=1, queries=2, seed=1).episode(0)
    for way in (1, 2):
        episode.query_labels[episode.query_labels == way] = 0 if way == 2 else 1
    widget = EmbeddingSpace(episode, {"after": models["after"]}, ["seen", "absent"])
    assert widget.cosines.shape == (4, 3, 24, 24) and widget.spaces[0]["prototypes"]["shape"] == [2, 3, 3]
    assert widget.spaces[0]["known"] == [[True, True, True], [True, True, False]]
    assert len(widget.figure().axes[1].lines) == 3 + 5  # a line for each class, a mark for each prototype
    assert widget.spaces[0]["apart"][0] > 0 and widget.spaces[0]["apart"][1] is None
    assert "nan" not in widget.alt() and "seen, absent" in widget.alt()


def test_bad_models_are_refused(episode, models):
    with pytest.raises(ValueError, match="at least one model"):
        EmbeddingSpace(episode, {})
    with pytest.raises(ValueError, match="match by cosine"):
        EmbeddingSpace(episode, {"far": PANet(models["after"].backbone, distance="euclidean").eval()})

    class Halved(torch.nn.Module):
        preprocess = staticmethod(models["after"].backbone.preprocess)

        def forward(self, x):
            return torch.nn.functional.avg_pool2d(models["after"].backbone(x), 2)

    with pytest.raises(ValueError, match=r"different sizes.*12.*24"):
        EmbeddingSpace(episode, {**models, "half": PANet(Halved()).eval()})


@pytest.mark.parametrize(
    "trait, value, words",
    [
        ("selection", np.zeros((3, 24, 23), "uint8"), "should be"),
        ("selection", np.full((3, 24, 24), 2, "uint8"), "holds 2"),
        ("shown", "nowhere", "choose one of before, after"),
        ("colour_by", "mood", "choose one of truth, prediction"),
    ],
)
def test_bad_values_are_refused_from_code_and_from_the_page(widget, trait, value, words):
    before = getattr(widget, trait)
    with pytest.raises(TraitError, match=words):
        setattr(widget, trait, value)
    widget.set_state({trait: packed(value) if trait == "selection" else value})
    assert words in widget.message
    assert np.array_equal(getattr(widget, trait), before)


def test_a_selection_may_be_any_array_of_zeros_and_ones(widget):
    for same in (widget.wrong, torch.from_numpy(widget.wrong), widget.wrong.tolist(), widget.wrong * 1.0):
        widget.selection = np.zeros(widget.truth.shape)
        widget.selection = same
        assert widget.selection.dtype == np.uint8 and widget.selection.sum() == widget.wrong.sum()
    with pytest.raises(TraitError, match="do not fit"):
        widget.selection = widget.wrong * 0.5
    widget.set_state({"selection": packed(np.ones(widget.truth.shape, "uint8"))})
    assert widget.selection.all() and widget.message == ""


def test_still_picture_and_words(widget):
    assert "2 support and 1 query images (thing)" in widget.alt()
    assert f"before: query's object {widget.spaces[0]['aligned'][0]:.0f}°" in widget.alt()
    assert f"IoU {widget.iou('after')[0]:.2f}" in widget.alt()
    data, metadata = widget._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == widget.alt() and 5_000 < len(data["image/png"]) < 150_000
    figure = widget.figure()
    points = sum(len(c.get_offsets()) for c in figure.axes[1].collections)
    assert points == (widget.truth != VOID).sum() and len(figure.axes) == 3


def test_what_it_adds_to_a_page_is_bounded(widget):
    assert len(gzip.compress(page_of(widget).encode())) < 250_000


# ---- the page ------------------------------------------------------------------------------------


def test_pointing_at_a_cell_and_at_a_point(widget, shown):
    page = shown()
    assert row(page, "before") == space_row(widget, "before")
    assert row(page, "after") == space_row(widget, "after")
    n, r, c = np.argwhere(widget.wrong)[-1]
    page.mouse.move(*middle_of(page, QUERY, (24, 24), r, c))
    page.get_by_text(f"Query, row {r + 1}, column {c + 1}: ").first.wait_for()
    assert "wrong" in page.inner_text(".panet-beside caption")
    logits = 20 * torch.from_numpy(widget.cosines[n, :, r, c])
    for j, name in enumerate(("background", "thing")):
        assert row(page, name) == [f"{logits[j] / 20:.2f}", f"{logits.softmax(0)[j]:.2f}"]

    page.get_by_label("after").check()
    widget.shown = "after"
    logits = 20 * torch.from_numpy(widget.cosines[n, :, r, c])
    assert row(page, "thing")[1] == f"{logits.softmax(0)[1]:.2f}"
    assert page.evaluate(f"{MODEL}.get('shown')") == "after"
    spots, near = places(widget, "after")
    gaps = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1)) + 1e3 * np.eye(len(spots))
    alone = int(gaps.min(1).argmax())
    page.mouse.move(*on_screen(page, [spots[alone]])[0])
    image, r, c = np.unravel_index(alone, widget.truth.shape)
    name = "Query" if image == 2 else f"Support {image + 1}: thing"
    page.get_by_text(f"{name}, row {r + 1}, column {c + 1}: ").first.wait_for()
    assert page.troubles == []


def test_a_line_round_points_selects_them(widget, shown):
    page = shown()
    page.get_by_role("radio", name="Select").check()
    corners = np.array([[300, 200], [480, 190], [500, 420], [310, 400]])
    drag(page, on_screen(page, corners))
    spots, _ = places(widget, "before")
    inside = [Path(corners).contains_points(spots, radius=r) for r in (-3, 3)]
    smallest, largest = np.sort([part.sum() for part in inside])
    page.wait_for_function("document.querySelector('.panet-line').textContent.includes('cells selected')")
    found = on_page(page, "selection").astype(bool).ravel()
    sure = inside[0] == inside[1]
    assert 20 < smallest <= found.sum() <= largest < spots.shape[0] / 2
    assert np.array_equal(found[sure], inside[0][sure])
    page.get_by_role("button", name="wrong").click()
    assert np.array_equal(selected(page, widget.wrong.sum()).astype(bool), widget.wrong)
    page.get_by_label("Prediction").check()
    page.get_by_role("button", name="thing", exact=True).click()
    predicted = widget.cosines.argmax(1) == 1
    assert np.array_equal(selected(page, predicted.sum()).astype(bool), predicted)
    page.get_by_role("button", name="nothing").click()
    assert not selected(page, 0).any()
    drag(page, [middle_of(page, QUERY, (24, 24), 5, c) for c in (3, 4, 5, 6)])
    assert np.argwhere(selected(page, 4)).tolist() == [[2, 5, c] for c in (3, 4, 5, 6)]
    drag(page, [middle_of(page, QUERY, (24, 24), 5, c) for c in (4, 5)])  # from a selected cell: leaves out
    assert np.argwhere(selected(page, 2)).tolist() == [[2, 5, c] for c in (3, 6)]
    assert page.troubles == []


def test_dragging_turns_and_the_wheel_zooms(shown):
    page = shown()
    start, end = on_screen(page, [(300, 300), (420, 340)])
    page.mouse.move(*start)  # which marks a cell
    first = pixels(page)
    drag(page, [start, end])
    assert (turned := pixels(page)) != first
    page.mouse.wheel(0, -200)  # the cloud has the focus since the drag
    assert pixels(page) != turned
    page.get_by_role("button", name="First view").click()
    assert pixels(page) == first
    assert not on_page(page, "selection").any()


def test_fingers(widget, shown):
    page = shown(has_touch=True, viewport={"width": 320, "height": 2200})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    action = f"getComputedStyle(document.querySelector('{QUERY}')).touchAction"
    assert page.evaluate(action) == "manipulation"  # a finger on an image scrolls the page
    page.touchscreen.tap(*middle_of(page, QUERY, (24, 24), 7, 9))
    page.get_by_text("Query, row 8, column 10: ").first.wait_for()
    client, first = page.context.new_cdp_session(page), pixels(page)

    def touch(kind, *points):
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]})  # fmt: skip

    for half in (60, 90, 140):
        pair = on_screen(page, [(380 - half, 300), (380 + half, 300)])
        touch("touchStart" if half == 60 else "touchMove", *pair)
    touch("touchEnd")
    assert pixels(page) != first
    page.get_by_role("button", name="First view").tap()
    assert pixels(page) == first
    page.get_by_role("radio", name="Select").tap()
    assert page.evaluate(action) == "none"  # and now it selects
    line = on_screen(page, [(250, 200), (500, 200), (500, 450), (250, 450)])
    touch("touchStart", line[0])
    for point in line[1:]:
        touch("touchMove", point)
    touch("touchEnd")
    page.wait_for_function("document.querySelector('.panet-line').textContent.includes('cells selected')")
    spots, _ = places(widget, "before")
    clearly = ((spots > [255, 205]) & (spots < [495, 445])).all(1)
    found = on_page(page, "selection").astype(bool).ravel()
    assert clearly.sum() > 20 and found[clearly].all() and found.sum() < 1.2 * clearly.sum()
    assert page.troubles == []


def test_keyboard_alone(widget, shown):
    page = shown()
    first = pixels(page)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{MODEL}.get('shown')") == "after"
    page.keyboard.press("ArrowLeft")
    page.locator(CLOUD).focus()
    page.keyboard.press("ArrowRight")
    assert (turned := pixels(page)) != first
    page.keyboard.press("+")
    assert pixels(page) != turned
    page.keyboard.press("0")
    assert pixels(page) == first
    page.locator(QUERY).focus()
    mark = page.inner_text(".panet-beside caption")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".panet-beside caption") != mark
    words = page.inner_text(".panet-beside caption").replace(",", " ").replace(":", " ").split()
    r, c = int(words[2]) - 1, int(words[4]) - 1
    page.keyboard.press("Space")
    assert np.argwhere(selected(page, 1)).tolist() == [[2, r, c]]
    page.keyboard.press("Space")
    assert not selected(page, 0).any()
    page.get_by_label("Ball round the marked cell").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    points = widget._spaces["before"]["points"].numpy()
    every = np.concatenate([s["points"].numpy().reshape(-1, 3) for s in widget._spaces.values()])
    radius = 0.2 * (np.ptp(every, axis=0) / 2).max()
    near = np.linalg.norm(points - points[2, r, c], axis=-1) <= radius
    assert 1 < near.sum() < near.size / 2
    assert np.array_equal(selected(page, near.sum()).astype(bool), near)
    assert page.troubles == []


def test_code_changes_the_page(widget, shown):
    page = shown()
    page.evaluate(f"""() => {{
        const bytes = new Uint8Array(3 * 24 * 24);
        bytes.fill(1, 0, 7);
        {MODEL}.set("selection", {{ dtype: "uint8", shape: [3, 24, 24], data: new DataView(bytes.buffer) }});
        {MODEL}.set("shown", "after");
        {MODEL}.set("colour_by", "prediction");
    }}""")
    assert page.locator("tr[aria-current] th").inner_text() == "▸ after"
    assert page.get_by_label("after").is_checked() and page.get_by_label("Prediction").is_checked()
    page.get_by_role("button", name="wrong").focus()
    page.locator(QUERY).focus()
    page.keyboard.press("Space")
    assert selected(page, 8).ravel()[:7].all()


def test_the_space_moves_unless_motion_is_reduced(shown):
    frames = "document.querySelector('.panet').repaints.length"
    for motion, several in (("no-preference", True), ("reduce", False)):
        page = shown(reduced_motion=motion)
        before, count = pixels(page), page.evaluate(frames)
        page.get_by_label("after").check()
        if several:
            page.wait_for_function(f"{frames} > {count + 3}")
        else:
            assert pixels(page) != before and page.evaluate(frames) <= count + 2


def broken(space, key, change):
    array = dict(space[key])
    array["data"] = change(array["data"])
    return {**space, key: array}


NAN = np.float32(np.nan).tobytes()
DAMAGES = {
    "too few points": (lambda s: broken(s, "points", lambda data: data[:-4]), "The points of before has"),
    "a cosine that is no number": (lambda s: broken(s, "cosines", lambda data: NAN + data[4:]), "not finite"),
    "prototypes of another shape": (
        lambda s: {**s, "prototypes": packed(np.zeros((2, 3, 3), "float32"))},
        "should be",
    ),
    "no alpha": (lambda s: {**s, "alpha": None}, "alpha of before"),
    "angles amiss": (lambda s: {**s, "aligned": []}, "should be 1 angles"),
    "prototypes unsaid": (lambda s: {**s, "known": [[True]]}, "which prototypes before has"),
    "channels amiss": (lambda s: {**s, "channels": "many"}, "number of channels"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_space_is_a_sentence(widget, shown, damage):
    change, words = DAMAGES[damage]
    widget.spaces = [change(widget.spaces[0]), *widget.spaces[1:]]
    page = shown()
    alarm = page.get_by_role("alert").inner_text()
    assert alarm.startswith("This widget cannot be drawn") and words in alarm
    assert not [line for line in page.troubles if "uncaught" in line]


def test_damage_while_it_is_open_is_a_sentence(widget, shown):
    truth = np.frombuffer(widget.scene["truth"]["data"], np.uint8).copy()
    truth[0] = 77
    whole, widget.scene = widget.scene, {**widget.scene, "truth": packed(truth.reshape(1, 192, 192))}
    assert "holds 77" in shown().get_by_role("alert").inner_text()
    widget.scene = whole
    page = shown()
    for trait, value, words in (
        ("shown", "'nowhere'", "There is no space nowhere"),
        (
            "selection",
            "{ dtype: 'uint8', shape: [3, 24, 24], data: new DataView(new ArrayBuffer(5)) }",
            "5 bytes",
        ),
        (
            "selection",
            "{ dtype: 'uint8', shape: [3, 24, 24], data: new DataView(new Uint8Array(1728).fill(9).buffer) }",
            "0 and 1",
        ),
    ):
        page.evaluate(f"() => {MODEL}.set('{trait}', {value})")
        assert words in page.get_by_role("alert").inner_text()
    page.evaluate(f"{MODEL}.set('shown', 'after'), {MODEL}.set('shown', 'before')")
    assert page.get_by_role("alert").count() == 0  # mended
    page.get_by_role("button", name="wrong").click()
    assert np.array_equal(selected(page, widget.wrong.sum()).astype(bool), widget.wrong)
