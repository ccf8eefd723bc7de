"""Segmenter: a few marked pictures of any size and kind in, others out at their own size; one pass a picture."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from panet_lite import Episode, PANet, Segmenter
from panet_lite.backbones import vgg16
from panet_lite.backbones.vgg import Backbone

RED, GREEN, GREY = (220, 30, 30), (30, 200, 60), (120, 120, 120)


def scene(height=96, width=128, box=(20, 30, 60, 80), colour=RED, other=None):
    """A coloured box on grey, as a picture and a mask, and maybe a second one in the corner, as class 2."""
    picture, mask = np.full((height, width, 3), GREY, np.uint8), np.zeros((height, width), np.uint8)
    top, left, bottom, right = box
    picture[top:bottom, left:right], mask[top:bottom, left:right] = colour, 1
    if other:
        picture[-16:, -16:], mask[-16:, -16:] = other, 2
    return picture, mask


class Colours(Backbone):
    """Its features are the means of 8 x 8 pixels, minus grey: it sees colours and nothing else."""

    name, channels = "colours", 3

    def __init__(self):
        super().__init__((120 / 255,) * 3, (1.0,) * 3)
        self.calls = 0
        self.pool = nn.AvgPool2d(8, ceil_mode=True)

    def forward(self, images):
        self.calls += len(images)
        return torch.cat([self.pool(images), torch.full_like(self.pool(images[:, :1]), 0.2)], 1)


@pytest.fixture
def segmenter():
    return Segmenter(PANet(Colours()))


def iou(labels, mask, label=1):
    a, b = np.asarray(labels) == label, mask == label
    return (a & b).sum() / (a | b).sum()


def test_one_marked_picture_is_enough_at_every_size(segmenter):
    assert segmenter.fit(*([x] for x in scene())) is segmenter
    pictures = [
        scene(200, 100, (50, 20, 120, 70)),
        scene(64, 300, (8, 100, 48, 200)),
        scene(400, 500, (90, 90, 300, 350)),
    ]
    results = segmenter.predict([picture for picture, _ in pictures])
    for result, (_, mask) in zip(results, pictures, strict=True):
        assert result.labels.shape == mask.shape and result.labels.dtype == torch.uint8
        assert iou(result.labels, mask) > 0.8
        assert result.probabilities.shape == (2, *mask.shape)
        torch.testing.assert_close(result.probabilities.sum(0), torch.ones(mask.shape))
        assert torch.equal(result.probabilities.argmax(0).to(torch.uint8), result.labels)


def test_several_classes_and_pictures(segmenter):
    first, second = scene(other=GREEN), scene(colour=GREEN, box=(10, 10, 40, 40))
    second[1][second[1] == 1] = 2
    segmenter.fit([first[0], second[0]], [first[1], second[1]], ["tomato", "pea"])
    (result,) = segmenter.predict([scene(120, 90, other=GREEN)[0]])
    mask = scene(120, 90, other=GREEN)[1]
    assert (
        list(result.scores) == ["tomato", "pea"]
        and iou(result.labels, mask) > 0.7
        and iou(result.labels, mask, 2) > 0.4
    )


def test_it_is_panet(segmenter):
    """Pictures of one size, K of each class: the same prototypes and logits as an episode's."""
    torch.manual_seed(0)
    model = PANet(vgg16(width=1 / 16)).eval()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 64, 80, 3), np.uint8)
    labels = (rng.random((4, 64, 80)) < 0.3).astype(np.uint8) * np.array([1, 1, 2, 2], np.uint8)[
        :, None, None
    ]
    labels[:, :5] = 255
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    query = torch.rand(1, 1, 3, 64, 80)
    episode = Episode(
        tensors.unflatten(0, (2, 2))[None], torch.from_numpy(labels).unflatten(0, (2, 2))[None], query,
        torch.zeros(1, 1, 64, 80, dtype=torch.uint8), torch.tensor([[1, 2]]),
    )  # fmt: skip
    query = (query * 255).round() / 255
    with torch.inference_mode():
        expected = model(
            Episode(
                episode.support_images, episode.support_labels, query, episode.query_labels, episode.classes
            )
        )
    own = Segmenter(model).fit(list(images), list(labels))
    torch.testing.assert_close(own.prototypes, expected.prototypes[0], rtol=1e-4, atol=1e-5)
    (result,) = own.predict([query[0, 0]])
    torch.testing.assert_close(result.logits, expected.logits[0, 0], rtol=1e-4, atol=1e-3)
    assert torch.equal(result.labels, expected.labels()[0, 0].to(torch.uint8))


def test_each_picture_passes_the_network_once(segmenter):
    calls = segmenter.model.backbone
    picture, mask = scene()
    query = scene(box=(40, 40, 90, 90))[0]
    segmenter.fit([picture], [mask])
    segmenter.predict([query, query, picture])
    assert calls.calls == 2
    segmenter.fit([picture], [{"1": (30, 20, 79, 59)}]).predict([query])
    segmenter.fit([Image.fromarray(picture)], [{"1": [(50, 40)], "background": [(5, 5)]}])
    assert calls.calls == 2


@pytest.mark.parametrize(
    "mark",
    [{"a": (30, 20, 79, 59)}, {"a": [(50, 40)], "background": [(5, 5), (120, 90)]}, "mask", "scribble"],
)
def test_every_kind_of_mark_finds_the_object(segmenter, mark):
    picture, mask = scene()
    if mark == "scribble":
        mark = np.full(mask.shape, 255)
        mark[40, 40:70], mark[80, 10:100] = 1, 0
    (result,) = segmenter.fit([picture], [mask if isinstance(mark, str) else mark]).predict(
        [scene(box=(5, 5, 50, 60))[0]]
    )
    assert iou(result.labels, scene(box=(5, 5, 50, 60))[1]) > 0.7


def test_a_thin_stroke_on_a_large_picture_is_not_lost(segmenter):
    picture, mask = scene(1500, 2000, (300, 400, 900, 1200))
    thin = np.full(mask.shape, 255, np.uint8)
    thin[600, 500:1100], thin[1200, 100:1900] = 1, 0
    (result,) = segmenter.fit([picture], [thin]).predict([picture])
    assert iou(result.labels, mask) > 0.95


def test_strokes_alone_take_the_rest_for_background_and_say_so(segmenter):
    picture, _ = scene()
    with pytest.warns(UserWarning, match="No stroke marks the background"):
        segmenter.fit([picture], [{"a": [(50, 40)]}])


def test_the_score_tells_whether_it_is_there(segmenter):
    picture, mask = scene()
    segmenter.fit([picture], [mask], ["box"])
    there, elsewhere = segmenter.predict([scene(box=(10, 10, 50, 50))[0], scene(colour=GREY)[0]])
    assert there.scores["box"] > 0.9 > 0.5 > elsewhere.scores["box"]


def test_the_score_is_the_cosine_of_means(segmenter):
    """Of what was marked and what was found, cell by cell; nothing found is 0."""
    picture, mask = scene()
    segmenter.fit([picture], [mask], ["box"])
    (result,) = segmenter.predict([scene(box=(10, 10, 50, 50))[0]])
    features = segmenter.features(segmenter.picture(scene(box=(10, 10, 50, 50))[0])[0])
    cells = features.flatten(1).T[result.logits.argmax(0).flatten() == 1]
    vectors = cells.mean(0).numpy(), segmenter.prototypes[1].numpy()
    cosine = np.dot(*vectors) / np.prod([np.linalg.norm(v) for v in vectors])
    assert result.scores == {"box": pytest.approx(cosine, abs=1e-5)}
    segmenter.prototypes = torch.stack([segmenter.prototypes[0], segmenter.prototypes[0] * -1])
    assert segmenter.predict([picture])[0].scores == {"box": 0}


def test_tiles_see_what_the_whole_picture_shows():
    torch.manual_seed(0)
    model = PANet(Colours())
    picture, mask = scene(700, 900, (200, 300, 520, 660))
    picture = picture + np.random.default_rng(0).integers(0, 20, picture.shape, np.uint8)
    tiled, whole = Segmenter(model, 256, tiled=True), Segmenter(model, 900)
    features = tiled.fit([picture], [mask]).features(tiled.picture(picture)[0])
    torch.testing.assert_close(features, whole.fit([picture], [mask]).features(whole.picture(picture)[0]))
    assert iou(tiled.predict([picture])[0].labels, mask) > iou(Segmenter(model, 192).fit([picture], [mask]).predict([picture])[0].labels, mask)  # fmt: skip


def test_one_pixel_and_very_many(segmenter):
    segmenter.fit(*([x] for x in scene()))
    pictures = [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((1, 3000, 3), np.uint8),
        np.full((10_000, 10_000, 3), RED, np.uint8),
    ]
    one, line, large = segmenter.predict(pictures)
    assert one.labels.shape == (1, 1) and line.labels.shape == (1, 3000) and large.logits.shape[-1] == 40
    assert large.labels.shape == (10_000, 10_000) and large.labels.float().mean() == 1


def test_no_more_pictures_are_kept_than_said(segmenter, monkeypatch):
    monkeypatch.setattr("panet_lite.segmenter.KEPT", 3)
    segmenter.fit(*([x] for x in scene()))
    segmenter.predict([scene(box=(n, n, 50, 50))[0] for n in range(10)])
    assert len(segmenter.kept) == 3


def test_bad_input_is_one_sentence(segmenter):
    picture, mask = scene()
    with pytest.raises(ValueError, match="call fit"):
        segmenter.predict([picture])
    for images, maps, names, why in [
        ([], [], None, "0 images"), ([picture], [], None, "1 images and 0"), ([picture], [mask[:-1]], None, "one size"),
        ([picture], [mask * 0], None, "marks no object"), ([picture], [mask * 0 + 1], None, "shows the background"),
        ([picture], [mask], ["a", "b"], "No picture shows 'b'"), ([picture], [mask * 3], ["a", "b"], "'3' is marked"),
        ([picture], [{"c": mask}], ["a"], "'c' is marked"), ([picture] * 2, [mask, mask.T], None, "one size"),
        ([picture] * 2, [mask, mask[::-1]], None, "Pictures 1 and 2 are one"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=why):
            segmenter.fit(images, maps, names)
    many = [{f"class {n}": (30, 20, 79, 59)} for n in range(255)]
    with pytest.raises(ValueError, match="255 classes are marked"):
        segmenter.fit([picture] * 255, many)
    for alone in (picture, torch.zeros(3, 8, 8), "one.jpg", Image.fromarray(picture)):
        for call in (
            lambda x: segmenter.fit(x, [mask]),
            lambda x: segmenter.fit([picture], [mask]).predict(x),
        ):
            with pytest.raises(ValueError, match="A list of pictures is wanted"):
                call(alone)
    segmenter.model.backbone.patch = 14
    with pytest.raises(ValueError, match="Tiles are for convolutional networks"):
        Segmenter(segmenter.model, tiled=True).fit([picture], [mask])
    with pytest.raises(ValueError, match="too small"):
        Segmenter(segmenter.model, 100)
    with pytest.raises(ValueError, match="no device"):
        Segmenter(segmenter.model, device="abacus")


def test_one_picture_at_two_sizes_is_no_contradiction(segmenter):
    """What the network sees may be the same; the marks are then of two sizes, and are not compared."""
    small = np.full((240, 320, 3), GREY, np.uint8)
    maps = [np.zeros((n * 240, n * 320), np.uint8) for n in (1, 2)]
    maps[0][:50], maps[1][:100] = 1, 1
    segmenter.fit([small, np.full((480, 640, 3), GREY, np.uint8)], maps)
    assert len(segmenter.kept) == 1


def test_a_failed_fit_loses_nothing(segmenter):
    picture, mask = scene()
    before = segmenter.fit([picture], [mask], ["box"]).predict([picture])[0]
    with pytest.raises(ValueError):
        segmenter.fit([picture], [mask * 0 + 1], ["other"])
    after = segmenter.predict([picture])[0]
    assert list(after.scores) == ["box"] and torch.equal(before.logits, after.logits)


def test_numbers_are_sorted_and_names_are_as_they_come(segmenter):
    picture, mask = scene(other=GREEN)
    assert segmenter.fit([picture], [np.where(mask == 1, 10, mask)]).names == ("2", "10")
    assert segmenter.fit([picture], [{"z": (30, 20, 79, 59), "a": (112, 80, 127, 95)}]).names == ("z", "a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert segmenter.fit([picture], [mask]).names == ("1", "2")
