"""Scribbles, boxes and points: what holds for every mask, and what a hand would draw."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import dijkstra
from skimage.morphology import medial_axis

from panet_lite.annotations import (
    KINDS,
    annotate,
    axis_and_depth,
    box,
    complete_strokes,
    longest_path,
    objects,
    point,
    scribble,
)
from panet_lite.datasets import VOID

settings.register_profile("panet", derandomize=True, max_examples=30, deadline=None, database=None)
settings.load_profile("panet")
WEAK = [kind for kind in KINDS if kind != "dense"]


@st.composite
def label_maps(draw, ways=3, side=24):
    """Rectangles, lines, rings and single pixels of classes 0..ways and void, one over the other."""
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    labels = np.full((height, width), draw(st.sampled_from([0, 0, 0, 1])), np.uint8)
    for _ in range(draw(st.integers(0, 6))):
        value = draw(st.sampled_from([0, *range(1, ways + 1), VOID]))
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        bottom, right = draw(st.integers(top, height - 1)), draw(st.integers(left, width - 1))
        kind = draw(st.sampled_from(["rectangle", "ring", "line", "pixel", "noise"]))
        inside = np.zeros_like(labels, bool)
        if kind == "line":
            for t in np.linspace(0, 1, 2 * side):
                inside[round(top + t * (bottom - top)), round(left + t * (right - left))] = True
        elif kind == "pixel":
            inside[top, left] = True
        elif kind == "noise":
            inside = np.random.default_rng(top * side + left).random(labels.shape) < 0.3
        else:
            inside[top : bottom + 1, left : right + 1] = True
            if kind == "ring":
                inside[top + 1 : bottom, left + 1 : right] = False
        labels[inside] = value
    return torch.from_numpy(labels)


def marks(weak):
    return {int(v) for v in weak.unique()} - {VOID}


# --- what holds for every label map --------------------------------------------------------------------


@pytest.mark.slow
@given(label_maps(), st.sampled_from(WEAK), st.integers(0, 99))
def test_every_class_is_marked_and_nothing_else(labels, kind, seed):
    before = labels.clone()
    weak = annotate(labels, kind, seed=seed)
    assert weak.dtype == labels.dtype and weak.shape == labels.shape and torch.equal(labels, before)
    assert marks(weak) - {0} == marks(labels) - {0}
    assert torch.equal(weak, annotate(labels, kind, seed=seed))


@pytest.mark.slow
@given(label_maps(), st.sampled_from(["scribble", "point"]), st.integers(0, 99), st.integers(1, 6))
def test_strokes_and_clicks_stay_inside_one_object(labels, kind, seed, size):
    weak = annotate(labels, kind, seed=seed, width=size, radius=size)
    assert marks(weak) == marks(labels)  # the background as well, wherever there is any
    assert (weak == labels)[weak != VOID].all()
    thin = annotate(labels, kind, seed=seed, width=1, radius=0)
    assert (weak == thin)[thin != VOID].all()
    for way in marks(labels) - {0}:
        assert sum((thin.numpy() == way)[o].any() for o in objects(labels.numpy() == way)) == 1


@given(label_maps(ways=1), st.integers(0, 99), st.booleans())
def test_box_of_one_class(labels, seed, largest_box):
    """Told twice: the box is that of one object, the background lies outside the boxes of all."""
    weak = annotate(labels, "box", seed=seed, largest_box=largest_box).numpy()
    dense, parts = labels.numpy(), objects(labels.numpy() == 1)
    inside = np.zeros_like(dense, bool)
    corners = []
    for part in parts:
        ys, xs = np.nonzero(part)
        place = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
        inside[place] = True
        corners.append((len(ys), place))
    assert np.array_equal(weak == 0, (dense == 0) & ~inside)
    if parts:
        equal = []
        for area, place in corners:
            this = np.zeros_like(dense, bool)
            this[place] = True
            equal += [area] if np.array_equal(weak == 1, this) else []
        assert equal and (not largest_box or max(a for a, _ in corners) in equal)


@pytest.mark.slow
@given(label_maps(), st.sampled_from(WEAK), st.integers(0, 99))
def test_numbers_and_company_do_not_matter(labels, kind, seed):
    """A class's mark is the same under another number, and (strokes, clicks) when others are background."""
    table = torch.arange(256, dtype=torch.uint8)
    table[[1, 2, 3]] = torch.tensor([3, 1, 2], dtype=torch.uint8)
    weak, renamed = (annotate(m, kind, seed=seed) for m in (labels, table[labels.long()]))
    if kind == "box":  # two boxes of one size may change places
        assert torch.equal(renamed == 0, weak == 0) and torch.equal(renamed == VOID, weak == VOID)
        return
    assert torch.equal(table[weak.long()], renamed)
    for way in (1, 2, 3):
        alone = annotate(torch.where((labels == way) | (labels == VOID), labels, 0), kind, seed=seed)
        assert torch.equal(alone == way, weak == way)


@given(label_maps(ways=1), st.integers(0, 9))
def test_dense_is_what_it_was(labels, seed):
    assert annotate(labels, "dense", seed=seed) is labels


@given(label_maps(ways=1, side=16))
def test_longest_path(labels):
    """Neighbouring pixels of the skeleton; as long as the longest of all shortest ways, on a tree, and
    at least half as long anywhere (two sweeps)."""
    if not (labels == 1).any():
        return
    part = np.pad(max(objects(labels.numpy() == 1), key=np.count_nonzero), 1)
    axis = medial_axis(part, rng=0)
    assert len(objects(axis)) == 1
    path = longest_path(axis)
    steps = np.abs(np.diff(path, axis=0)).max(1)
    assert axis[tuple(path.T)].all() and (steps == 1).all() and len({*map(tuple, path)}) == len(path)
    pixels = np.argwhere(axis)
    apart = np.abs(pixels[:, None] - pixels[None])
    lengths = np.where(apart.max(-1) == 1, np.hypot(*np.moveaxis(apart, -1, 0)), 0)
    between = dijkstra(lengths, directed=False)
    length = np.hypot(*np.diff(path, axis=0).T).sum()
    edges = (lengths > 0).sum() // 2
    assert length >= between.max() / 2 - 1e-9
    if edges == len(pixels) - 1:
        assert length == pytest.approx(between.max())


# --- what a hand would draw ----------------------------------------------------------------------------


def disc(side, radius, hole=0.0):
    distance = np.hypot(*(np.mgrid[:side, :side] - side // 2))
    return (distance <= radius) & (distance >= hole)


def test_a_bar_is_stroked_along_its_middle():
    mask = np.zeros((40, 80), bool)
    mask[15:26, 10:70] = True
    rows, columns = np.nonzero(scribble(mask, width=1))
    assert rows.min() >= 18 and rows.max() <= 22 and columns.max() - columns.min() > 40
    assert columns.min() > 11 and columns.max() < 68  # not into the corners
    wide = scribble(mask, width=7)
    assert 6 <= wide[:, 40].sum() <= 8
    rows, columns = np.nonzero(scribble(np.ones((40, 60), bool), width=1))
    assert rows.min() > 3 and rows.max() < 36 and columns.max() - columns.min() > 30


def test_the_frame_is_an_edge():
    depth = axis_and_depth(np.ones((5, 9), bool))[1]
    assert depth[2].tolist() == [1, 2, 3, 3, 3, 3, 3, 2, 1] and depth[0].tolist() == [1] * 9


def test_a_ring_is_stroked_about_half_round():
    ring = disc(81, 36, hole=20)
    line = scribble(ring, width=1)
    rows, columns = np.nonzero(line)
    sectors = np.unique(np.degrees(np.arctan2(rows - 40, columns - 40)) // 10)
    assert 16 <= len(sectors) <= 20  # of 36
    assert not (scribble(ring, 3) & ~ring).any()


@pytest.mark.parametrize("width", [1, 3, 9])
def test_masks_that_leave_no_room(width):
    """A pixel, a thin line, a full image, a checkerboard, a frame along the border."""
    single, line, full = (np.zeros((20, 30), bool) for _ in range(3))
    single[19, 0], line[7, :], full[:] = True, True, True
    board, frame = np.indices((20, 30)).sum(0) % 2 == 0, ~np.pad(np.ones((18, 28), bool), 1)
    for mask in (single, line, full, board, frame):
        for mark in (scribble(mask, width), point(mask, 3, width)):
            assert mark.any() and not (mark & ~mask).any()
    assert scribble(line, 1)[7, 5:25].all()
    frame_line = scribble(frame, 1)
    assert frame_line.sum() > 30


def test_opening_takes_away_the_handle():
    """A mug: the stroke stays in the body, though the handle would make a longer path."""
    mask = np.zeros((60, 60), bool)
    mask[20:40, 5:25] = True
    mask[29:31, 25:58] = True
    assert not scribble(mask)[:, 26:].any() and scribble(mask, radius=0)[:, 30:].any()


def test_a_click_lands_well_inside_and_not_always_on_one_spot():
    mask = np.zeros((40, 40), bool)
    mask[5:16, 2:38], mask[16:40, 18:20] = True, True  # a T: the stem is shallow
    spots = [np.argwhere(point(mask, seed, radius=0)) for seed in range(30)]
    assert all(len(s) == 1 for s in spots)
    rows = [int(s[0, 0]) for s in spots]
    assert 7 <= min(rows) and max(rows) <= 16 and len({tuple(s[0]) for s in spots}) > 5
    assert point(disc(41, 18), radius=3).sum() == disc(41, 3).sum()


def test_objects_are_drawn_at_random_or_the_largest():
    labels = torch.zeros(30, 60, dtype=torch.uint8)
    labels[5:10, 5:10] = labels[5:25, 20:35] = labels[12:16, 50:58] = 1
    for kind in WEAK:
        weak = torch.stack([annotate(labels, kind, seed=s) for s in range(20)])
        drawn = torch.stack([(weak == 1)[..., a:b].any((1, 2)) for a, b in ((5, 10), (20, 35), (50, 58))])
        assert (drawn.sum(0) == 1).all() and (drawn.sum(1) > 0).all()
    largest = annotate(labels, "box", seed=5, largest_box=True)
    assert (largest[5:25, 20:35] == 1).all() and (largest == 1).sum() == 300
    assert (largest[5:10, 5:10] == VOID).all() and largest[0, 0] == 0  # another one: neither this nor that


def test_instances_say_which_parts_belong_together():
    labels = torch.zeros(20, 40, dtype=torch.uint8)
    labels[5:15, 5:35] = 1
    labels[:, 18:22] = 2  # stands before it, and cuts it in two
    instances = torch.where(labels > 0, labels + 6, 0)
    instances[5, 5] = VOID
    whole = annotate(labels, "box", instances)
    assert (whole[5:15, 5:18] == 1).all() and (whole[5:15, 22:35] == 1).all()
    parts = annotate(labels, "box")
    assert (parts[5:15, 5:18] == 1).all() != (parts[5:15, 22:35] == 1).all()
    unknown = annotate(labels, "box", torch.full_like(labels, VOID))  # tells nothing
    assert torch.equal(unknown, parts)


def test_small_boxes_lie_over_large_ones_and_none_is_buried():
    labels = torch.zeros(20, 20, dtype=torch.uint8)
    labels[range(2, 18), range(2, 18)] = 1
    labels[12, 4] = labels[13, 5] = 2
    weak = annotate(labels, "box")
    assert (weak == 2).sum() == 4 and (weak == 1).sum() == 16 * 16 - 4 and (weak[12:14, 4:6] == 2).all()
    labels[range(2, 18), range(17, 1, -1)] = 3  # the same box again
    weak = annotate(labels, "box")
    assert marks(weak) == {0, 1, 2, 3}


def test_void_is_no_background_outside_a_box():
    labels = torch.tensor([[255, 0, 0, 0], [0, 1, 0, 0], [0, 255, 1, 0]], dtype=torch.uint8)
    assert annotate(labels, "box").tolist() == [[255, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]]
    assert np.array_equal(box(np.eye(2, dtype=bool)), np.ones((2, 2), bool))


def test_the_box_of_an_object_in_parts_has_no_gap():
    """An instance behind a leg of a table lies in parts; the box is drawn round all of them."""
    mask = np.zeros((6, 7), bool)
    mask[1, 1:3] = mask[4, 4:6] = True
    wanted = np.zeros_like(mask)
    wanted[1:5, 1:6] = True
    assert np.array_equal(box(mask), wanted) and not box(np.zeros_like(mask)).any()
    weak = annotate(
        torch.from_numpy(mask.astype(np.uint8)), "box", torch.from_numpy(3 * mask.astype(np.uint8))
    )
    assert np.array_equal(weak.numpy(), wanted)


# --- bad input, own strokes ----------------------------------------------------------------------------


def test_bad_input_is_named():
    labels = torch.zeros(4, 5, dtype=torch.uint8)
    with pytest.raises(ValueError, match="no annotation 'boxes': choose one of dense, scribble, box, point"):
        annotate(labels, "boxes")
    with pytest.raises(ValueError, match=r"instances of its size, not \[\(4, 5\), \(5, 4\)\]"):
        annotate(labels, "box", torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"label map \(H, W\).*not \[\(1, 4, 5\)\]"):
        annotate(labels[None], "point")


def test_strokes_without_background_take_the_rest():
    strokes = torch.tensor([[1, 255], [255, 2]], dtype=torch.uint8)
    with pytest.warns(UserWarning) as said:
        assert complete_strokes(strokes).tolist() == [[1, 0], [0, 2]]
    assert str(said[0].message) == (
        "No stroke marks the background: everything unpainted is taken for background. Stroke over some of it for a "
        "better answer."
    )
    assert strokes[0, 1] == 255  # the reader's own map stays as it was


@pytest.mark.parametrize("strokes", [[[1, 0], [255, 255]], [[255, 255]], [[0, 255]], [[1, 1]], [[1, 0]]])
def test_other_strokes_are_left_alone(strokes):
    strokes = torch.tensor(strokes, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert complete_strokes(strokes) is strokes
