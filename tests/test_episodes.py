"""What every draw keeps to, under both presets, and the class index that draws rest on."""

import io
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from panet_lite import Episode, EpisodeSampler, own_episode
from panet_lite.datasets import Pascal, Tabletop, masks
from panet_lite.datasets import voc as datasets
from panet_lite.episodes import PRESETS, episode_labels

settings.register_profile("panet", derandomize=True, max_examples=15, deadline=None, database=None)
settings.load_profile("panet")


@pytest.fixture(scope="module")
def train_set(tiny_voc):
    return Tabletop("train", root=tiny_voc / "tabletop")


@pytest.fixture
def copy(tiny_voc, tmp_path):
    """A copy of the tiny data set that a test may spoil."""
    return shutil.copytree(tiny_voc / "tabletop", tmp_path / "tabletop")


def sampler(dataset, fold=0, **kwargs):
    return EpisodeSampler(dataset, dataset.fold(fold), **kwargs)


# --- draws -------------------------------------------------------------------------------------------


@given(
    preset=st.sampled_from(sorted(PRESETS)),
    fold=st.integers(0, 3),
    ways=st.integers(1, 5),
    shots=st.integers(1, 2),
    queries=st.integers(1, 2),
    seed=st.integers(0, 1000),
    index=st.integers(0, 10**6),
)
@settings(max_examples=80)
def test_every_draw(train_set, preset, fold, ways, shots, queries, seed, index):
    """No image twice; each image shows its way, and enough of it; the classes differ."""
    s = sampler(train_set, fold, ways=ways, shots=shots, queries=queries, seed=seed, preset=preset)
    d = s.draw(index)
    assert d.classes.shape == (ways,) and d.supports.shape == (ways, shots) and d.queries.shape == (queries,)
    assert len(set(d.classes)) == ways and set(d.classes) <= set(train_set.fold(fold))
    images = [*d.supports.ravel(), *d.queries]
    assert len(set(images)) == len(images)
    least = PRESETS[preset].least
    shares = train_set.coverage
    for label, row in zip(d.classes, d.supports):
        assert (shares[row, label] > 0).all() and (shares[row, label] >= least).all()
    for query in d.queries:
        assert any(shares[query, c] > 0 and shares[query, c] >= least for c in d.classes)
    again = sampler(train_set, fold, ways=ways, shots=shots, queries=queries, seed=seed, preset=preset).draw(
        index
    )
    assert all(np.array_equal(a, b) for a, b in zip(d, again))


def test_draws_and_flips_of_a_seed_stay_as_they_are(train_set):
    """Numbers that have been published rest on them: no release may draw others."""
    how = {"ways": 2, "shots": 2, "queries": 3, "seed": 3}
    found = [
        [part.tolist() for part in sampler(train_set, 1, preset=p, **how).draw(4)] for p in sorted(PRESETS)
    ]
    assert found == [
        [[6, 10], [[5, 6], [69, 65]], [90, 25, 9]],  # paper
        [[6, 10], [[108, 5], [69, 89]], [45, 25, 65]],  # standard
    ]
    plain, flipped = (sampler(train_set, seed=1, flip=flip) for flip in (False, True))
    pairs = [(plain.episode(i), flipped.episode(i)) for i in range(8)]
    turned = [
        "".join("-x"[not torch.equal(getattr(a, name), getattr(b, name))] for a, b in pairs)
        for name in ("support_images", "query_images")
    ]
    assert turned == ["---x-x--", "x-x--x-x"]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_any_order_gives_the_same_episodes(train_set, preset):
    a, b = (sampler(train_set, ways=2, seed=3, preset=preset, flip=True) for _ in range(2))
    forth = [a.episode(i) for i in range(6)]
    back = [b.episode(i) for i in reversed(range(6))][::-1]
    for x, y in zip(forth, back):
        assert all(torch.equal(getattr(x, n), getattr(y, n)) for n in vars(x))
    batch = a.batch(range(6))
    assert torch.equal(batch.query_images, torch.cat([e.query_images for e in forth])) and len(batch) == 6
    other = sampler(train_set, ways=2, seed=4, preset=preset)
    assert any(not np.array_equal(other.draw(i).supports, a.draw(i).supports) for i in range(6))
    assert len({a.draw(i).supports.tobytes() for i in range(20)}) > 10


def test_all_classes_and_images_get_their_turn(train_set):
    s = sampler(train_set, 1)
    draws = [s.draw(i) for i in range(300)]
    assert {int(d.classes[0]) for d in draws} == set(train_set.fold(1))
    for label in train_set.fold(1):
        mine = [d for d in draws if d.classes[0] == label]
        for images in ({int(d.supports[0, 0]) for d in mine}, {int(d.queries[0]) for d in mine}):
            assert images <= set(train_set.images_of(label, s.preset.least)) and len(images) > 3


def test_way_that_supplies_the_query(train_set):
    """paper: the same way in every episode of a run; standard: drawn for each."""

    def query_ways(preset, seed):
        s = sampler(train_set, ways=3, preset=preset, seed=seed)
        shares = train_set.coverage
        ways = []
        for d in map(s.draw, range(40)):
            shown = [w for w, c in enumerate(d.classes) if shares[d.queries[0], c] > 0]
            ways.append(set(shown))
        return ways

    for seed in range(3):
        assert set.intersection(*query_ways("paper", seed))
        assert not set.intersection(*query_ways("standard", seed))
    assert len({tuple(set.intersection(*query_ways("paper", s))) for s in range(6)}) > 1


def test_least_share(tiny_voc):
    """standard leaves out objects below 2 * 32 * 32 pixels at 473; paper takes a single pixel."""
    dataset = Tabletop("train", root=tiny_voc / "tabletop")
    small = int(dataset.images_of(1)[0])
    for share in (2048 / 473**2 * 0.999, 1e-9):
        dataset.coverage[small, 1] = share
        assert small not in EpisodeSampler(dataset, [1]).pools[1]
        assert small in EpisodeSampler(dataset, [1], preset="paper").pools[1]
    dataset.coverage[small, 1] = 2048 / 473**2
    assert small in EpisodeSampler(dataset, [1]).pools[1]
    dataset.coverage[small, 1] = 0
    assert small not in EpisodeSampler(dataset, [1], preset="paper").pools[1]


def test_exclude_drops_every_image_that_shows_a_class(train_set):
    base = [c for c in range(1, 21) if c > 5]
    plain, clean = EpisodeSampler(train_set, base), EpisodeSampler(train_set, base, exclude=range(1, 6))
    shows = train_set.coverage[:, 1:6].sum(1) > 0
    assert any(shows[pool].any() for pool in plain.pools.values())
    assert not any(shows[pool].any() for pool in clean.pools.values())
    for label in base:
        assert set(clean.pools[label]) == {i for i in plain.pools[label] if not shows[i]}


# --- pixels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_pixels_and_labels_of_an_episode(train_set, preset):
    """Images in 0..1; the way's pixels are 1..W, others' background; void of a support by the preset."""
    s = sampler(train_set, 2, ways=2, shots=2, queries=2, preset=preset)
    d, e = s.draw(5), s.episode(5)
    assert e.support_images.shape == (1, 2, 2, 3, 64, 64) and e.support_labels.shape == (1, 2, 2, 64, 64)
    assert e.query_images.shape == (1, 2, 3, 64, 64) and e.query_labels.shape == (1, 2, 64, 64)
    assert e.classes.tolist() == [d.classes.tolist()] and (e.ways, e.shots, len(e)) == (2, 2, 1)
    assert e.support_labels.dtype == torch.uint8
    pairs = [
        (d.supports[w, k], e.support_images[0, w, k], e.support_labels[0, w, k], preset == "paper")
        for w in range(2)
        for k in range(2)
    ] + [(d.queries[q], e.query_images[0, q], e.query_labels[0, q], False) for q in range(2)]
    for index, image, labels, void_is_background in pairs:
        raw = train_set.label_map(int(index))
        assert torch.equal((image * 255).round().byte(), train_set.image(int(index)))
        assert torch.equal(labels == 1, raw == d.classes[0]) and torch.equal(labels == 2, raw == d.classes[1])
        assert (raw == 255).any()
        assert torch.equal(labels == 255, torch.zeros_like(raw).bool() if void_is_background else raw == 255)


def test_flips_only_when_asked_and_image_and_labels_together(train_set):
    plain, flipped = sampler(train_set, seed=1), sampler(train_set, seed=1, flip=True)
    turned = 0
    for i in range(24):
        a, b = plain.episode(i), flipped.episode(i)
        assert torch.equal(a.query_images, sampler(train_set, seed=1).episode(i).query_images)
        for image, labels, other, others in (
            (a.query_images, a.query_labels, b.query_images, b.query_labels),
            (a.support_images, a.support_labels, b.support_images, b.support_labels),
        ):
            if torch.equal(image, other):
                assert torch.equal(labels, others)
            else:
                assert torch.equal(image.flip(-1), other) and torch.equal(labels.flip(-1), others)
                turned += 1
    assert 12 < turned < 36  # of 48


@pytest.mark.parametrize("kind", ["scribble", "box", "point"])
def test_weak_annotations_of_the_supports_alone(train_set, kind):
    """The draws, images and queries stay; supports are made from the dense map, once and for all: the
    same image and class give the same map in every episode and run."""
    dense, weak = (sampler(train_set, 0, shots=2, annotation=a) for a in ("dense", kind))
    for i in range(4):
        a, b = dense.episode(i), weak.episode(i)
        for name in ("support_images", "query_images", "query_labels", "classes"):
            assert torch.equal(getattr(a, name), getattr(b, name))
        for index, map_ in zip(dense.draw(i).supports[0], b.support_labels[0, 0]):
            assert torch.equal(map_, weak.support_map(int(index), a.classes[0].tolist()))
        assert not torch.equal(a.support_labels, b.support_labels)
    other = sampler(train_set, 0, shots=2, seed=9, annotation=kind)
    image, classes = int(train_set.images_of(1)[0]), [1]
    mine = weak.support_map(image, classes)
    assert torch.equal(mine, other.support_map(image, classes))
    two = weak.support_map(image, [2, 1])
    assert torch.equal(mine == 1, two == 2) or kind == "box"


def test_paper_maps_void_before_the_weak_annotation(train_set):
    """255 of the data set becomes background first; the 255 of a weak annotation stays."""
    standard, paper = (sampler(train_set, 0, annotation="box", preset=p) for p in ("standard", "paper"))
    image = int(train_set.images_of(1)[0])
    void = train_set.label_map(image) == 255
    a, b = (s.support_map(image, [1]) for s in (standard, paper))
    assert (a[void] == 255).any() and not (a == 0)[void].any() and (b == 0)[void].any()
    strokes = sampler(train_set, 0, annotation="scribble", preset="paper").support_map(image, [1])
    assert (strokes == 255).float().mean() > 0.5
    with pytest.raises(ValueError, match="no annotation 'boxes': choose one of dense"):
        sampler(train_set, annotation="boxes")


def test_a_box_takes_an_instance(copy):
    """Two objects of a class as one instance have one box; the paper's preset takes the largest."""
    labels = np.zeros((64, 64), np.uint8)
    labels[5:15, 5:15] = labels[5:15, 25:30] = labels[40:60, 40:60] = 1
    Image.fromarray(labels).save(copy / "SegmentationClass" / "val_000.png")
    (copy / "SegmentationObject").mkdir()
    dataset, areas = Tabletop("val", root=copy), {preset: set() for preset in PRESETS}
    for one, two in (
        (2, 4),
        (4, 2),
    ):  # drawn by their numbers: now the large one has the lower, now the other
        instances = np.where(labels, one, 0).astype(np.uint8)
        instances[40:60, 40:60] = two
        Image.fromarray(instances).save(copy / "SegmentationObject" / "val_000.png")
        for preset, found in areas.items():
            weak = sampler(dataset, preset=preset, annotation="box").support_map(0, [1])
            found.add(int((weak == 1).sum()))
    assert areas["paper"] == {400} and 400 in areas["standard"] and len(areas["standard"]) == 2


def test_flips_turn_the_annotation_too(train_set):
    plain, flipped = (sampler(train_set, annotation="scribble", flip=f) for f in (False, True))
    turned = 0
    for i in range(12):
        a, b = plain.episode(i), flipped.episode(i)
        same = torch.equal(a.support_images, b.support_images)
        assert torch.equal(a.support_labels if same else a.support_labels.flip(-1), b.support_labels)
        turned += not same
    assert 0 < turned < 12


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_a_gpu_is_not_waited_for():
    raw = torch.randint(0, 21, (64, 64), dtype=torch.uint8, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        labels = episode_labels(raw, np.array([7, 3]))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(labels.cpu(), episode_labels(raw.cpu(), [7, 3]))


def test_own_strokes_without_background():
    image, strokes = torch.rand(3, 4, 5), torch.full((4, 5), 255)
    strokes[1, 1:3] = 1
    with pytest.warns(UserWarning, match="everything unpainted is taken for background"):
        e = own_episode([[(image, strokes)]], [image])
    assert (e.support_labels == 1).sum() == 2 and (e.support_labels == 0).sum() == 18
    strokes[3] = 0
    assert torch.equal(own_episode([[(image, strokes)]], [image]).support_labels[0, 0, 0], strokes.byte())


def test_episode_labels_and_to():
    raw = torch.tensor([[0, 3, 7], [255, 7, 9]], dtype=torch.uint8)
    assert episode_labels(raw, [7, 3]).tolist() == [[0, 2, 1], [255, 1, 0]]
    e = own_episode([[(torch.rand(3, 4, 5), torch.ones(4, 5))]], [torch.rand(3, 4, 5)])
    assert e.to("meta").query_images.device.type == "meta" and e.query_labels.unique().tolist() == [255]
    assert Episode.cat([e, e]).classes.tolist() == [[1], [1]]


def test_own_pictures_may_be_bytes_or_floats():
    image = torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8)
    labels = torch.ones(4, 5, dtype=torch.uint8)
    a, b, c = (own_episode([[(x, labels)]], [x]) for x in (image, image / 255, image.long()))
    assert torch.equal(a.support_images, b.support_images) and torch.equal(a.query_images, c.query_images)
    assert a.query_images.max() <= 1


def test_own_pictures_stay_where_they_were_put():
    """Ways, shots and queries are told apart; bytes and floats may be mixed."""
    pictures = [torch.full((3, 4, 5), value) for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
    maps = [torch.tensor([[0, 1, 255, way, way]] * 4, dtype=torch.uint8) for way in (1, 1, 2, 2)]
    maps[1][0], maps[3][1] = 0, 255
    pairs = list(zip(pictures, maps))
    e = own_episode([pairs[:2], pairs[2:]], [*pictures[4:], torch.full((3, 4, 5), 51, dtype=torch.uint8)])
    assert e.support_images.shape == (1, 2, 2, 3, 4, 5) and e.query_images.shape == (1, 3, 3, 4, 5)
    assert e.support_images[0, :, :, 1, 2, 3].tolist() == pytest.approx(np.array([[0.1, 0.2], [0.3, 0.4]]))
    assert e.query_images[0, :, 2, 3, 4].tolist() == pytest.approx([0.5, 0.6, 0.2])
    assert (
        torch.equal(e.support_labels[0].flatten(0, 1), torch.stack(maps))
        and e.support_labels.dtype == torch.uint8
    )
    assert (e.query_labels == 255).all() and e.query_labels.shape == (1, 3, 4, 5)
    assert e.query_labels.dtype == torch.uint8 and e.classes.tolist() == [[1, 2]]
    one = own_episode([pairs[:1] * 3], pictures[:1])
    assert (e.ways, e.shots, one.ways, one.shots) == (2, 2, 1, 3)


# --- data sets ---------------------------------------------------------------------------------------


def test_folds_and_names(train_set):
    assert [train_set.fold(i) for i in (0, 3)] == [(1, 2, 3, 4, 5), (16, 17, 18, 19, 20)]
    assert train_set.labels_of(["bottle", "mug"]) == (2, 1) and len(train_set) == 120
    assert repr(train_set) == "Tabletop('train', 120 images, 20 classes)"


def test_size_squashes_image_and_labels(tiny_voc):
    dataset = Tabletop("val", size=33, root=tiny_voc / "tabletop")
    assert dataset.image(0).shape == (3, 33, 33) and dataset.label_map(0).shape == (33, 33)
    assert set(dataset.label_map(0).unique().tolist()) <= set(
        Tabletop("val", root=tiny_voc / "tabletop").label_map(0).unique().tolist()
    )  # nearest: no new labels


def test_resized_grey_masks_hold_no_new_labels(tmp_path):
    """Pillow never interpolates a palette; a mask saved as grey shows whether we ask it not to."""
    Image.fromarray(np.kron([[0, 20], [255, 7]], np.ones((9, 9))).astype(np.uint8)).save(
        tmp_path / "grey.png"
    )
    labels = datasets.read_label_map(tmp_path / "grey.png", 13)
    assert labels.shape == (13, 13) and labels.unique().tolist() == [0, 7, 20, 255]


def test_pascal_reads_the_same_layout(tiny_voc, monkeypatch):
    with pytest.warns(UserWarning, match="no trainaug.txt: using train.txt"):
        dataset = Pascal("trainaug", 32, tiny_voc)
    assert dataset.split == "train" and len(dataset) == 120 and dataset.classes[14] == "person"
    monkeypatch.setenv("PANET_VOC_ROOT", str(tiny_voc))
    assert len(Pascal("val")) == 60 and Pascal("val").size == 417


def test_augmented_masks_win(copy):
    shutil.copytree(copy / "SegmentationClass", copy / "SegmentationClassAug")
    mask = copy / "SegmentationClassAug" / "val_000.png"
    Image.fromarray(np.full((64, 64), 20, np.uint8)).save(mask)
    assert Tabletop("val", root=copy).label_map(0).unique().tolist() == [20]


def test_instances(copy):
    dataset = Tabletop("val", root=copy)
    assert dataset.instances(0) is None
    (copy / "SegmentationObject").mkdir()
    Image.fromarray(np.full((64, 64), 2, np.uint8)).save(copy / "SegmentationObject" / "val_000.png")
    assert dataset.instances(0).unique().tolist() == [2] and dataset.instances(1) is None


# --- the class index and its cache -------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch, tmp_path):
    """Counts masks read; the cache is empty at first and lies in tmp_path/cache."""
    seen, read = [], masks.read_values
    monkeypatch.setattr(masks, "read_values", lambda path, *a: seen.append(path) or read(path, *a))
    monkeypatch.setattr(datasets, "user_cache_path", lambda *_: tmp_path / "cache")
    return seen


def test_coverage_is_the_share_of_each_label(train_set):
    for i in (0, 33):
        labels = train_set.label_map(i)
        for value in labels.unique().tolist():
            assert train_set.coverage[i, value] == pytest.approx((labels == value).float().mean().item())
        assert train_set.coverage[i].sum() == pytest.approx(1)
    assert set(train_set.images_of(7)) == {i for i in range(120) if (train_set.label_map(i) == 7).any()}


def test_index_is_read_once_and_again_when_a_file_changes(copy, reads):
    first = Tabletop("val", root=copy)
    assert len(reads) == 60
    again = Tabletop("val", root=copy)
    assert len(reads) == 60 and np.array_equal(first.coverage, again.coverage)
    Image.fromarray(np.full((64, 64), 3, np.uint8)).save(copy / "SegmentationClass" / "val_007.png")
    changed = Tabletop("val", root=copy)
    assert len(reads) == 120 and changed.coverage[7, 3] == 1
    names = (copy / "ImageSets" / "Segmentation" / "val.txt").read_text().split()
    (copy / "ImageSets" / "Segmentation" / "val.txt").write_text("\n".join(names[:9]))
    assert len(Tabletop("val", root=copy).coverage) == 9 and len(reads) == 129


def test_same_size_other_content_is_noticed(copy, reads):
    """A mask rewritten in place: as many bytes, another time."""
    Tabletop("val", root=copy)
    path = copy / "SegmentationClass" / "val_003.png"
    old = path.read_bytes()
    path.write_bytes(old)
    Tabletop("val", root=copy)
    assert len(reads) == 120


other = io.BytesIO()
np.save(other, np.ones((3, 256), np.int64))
OTHER_SHAPE = other.getvalue()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b"",
        lambda b: b[: len(b) // 2],
        lambda b: b[:40],
        lambda b: b"\x80\x04N.",
        lambda b: b"PK\x03\x04oops",
        lambda b: OTHER_SHAPE,
    ],
    ids=["empty", "truncated", "header", "pickle", "zip", "shape"],
)
def test_a_spoilt_cache_file_is_replaced(copy, reads, tmp_path, spoil):
    expected = Tabletop("val", root=copy).coverage
    (cached,) = (tmp_path / "cache").glob("*.npz")
    cached.write_bytes(spoil(cached.read_bytes()))
    assert np.array_equal(Tabletop("val", root=copy).coverage, expected) and len(reads) == 120
    assert np.array_equal(Tabletop("val", root=copy).coverage, expected) and len(reads) == 120


def test_an_unwritable_cache_folder_costs_only_time(copy, reads, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(Tabletop("val", root=copy)) == len(Tabletop("val", root=copy)) == 60
    assert len(reads) == 120


def test_a_full_disk_under_the_cache_costs_only_time(copy, reads, tmp_path, monkeypatch):
    def full(path, **arrays):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets.np, "savez_compressed", full)
    assert len(Tabletop("val", root=copy)) == 60
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".lock"]


def test_two_data_sets_do_not_share_an_index(copy, reads, tmp_path):
    Tabletop("val", root=copy)
    Tabletop("train", root=copy)
    (copy.parent / "VOC2012").symlink_to(copy)
    Pascal("val", root=copy.parent)
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 2  # val and train; Pascal is the same files
    datasets.SegmentationDataset(copy, "val", datasets.TABLETOP_CLASSES + ("cup",))
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 3
