"""Counting, IoU under both presets by hand, the bootstrap, and the feature bank against the plain way."""

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from panet_lite import EpisodeSampler, PANet
from panet_lite.evaluation import FeatureBank, Result, confusion, evaluate, score_episode
from panet_lite.model import upsample


class Twin(nn.Module):
    """A small backbone that counts the images it sees."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1)
        )
        self.seen = []

    def preprocess(self, images):
        return images - 0.5

    def forward(self, images):
        self.seen += [hash(image.numpy().tobytes()) for image in images]
        return self.layers(images)


@pytest.fixture
def model():
    return PANet(Twin()).eval()


# --- counting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [2, 4])
def test_confusion_equals_loops(labels):
    rng = np.random.default_rng(labels)
    predicted = rng.integers(0, labels, (3, 5, 7))
    target = rng.choice([*range(labels), 255], (3, 5, 7)).astype(np.uint8)
    expected = np.zeros((3, labels, labels), int)
    for n, y, x in np.ndindex(target.shape):
        if target[n, y, x] != 255:
            expected[n, target[n, y, x], predicted[n, y, x]] += 1
    counts = confusion(torch.from_numpy(predicted), torch.from_numpy(target), labels)
    assert counts.dtype == torch.int64 and np.array_equal(counts, expected)
    assert not confusion(torch.zeros(1, 2, 2), torch.full((1, 2, 2), 255), 2).any()


def result(confusions, classes, test_classes, preset):
    return Result(np.array(confusions), np.array(classes), tuple(test_classes), preset)


def test_one_way_iou_by_hand():
    """Sums over the episodes of a run first, then IoU, then classes, then runs."""
    confusions = [
        [[[90, 10], [5, 15]], [[80, 0], [10, 10]]],  # run 0: an episode of class 6, one of class 9
        [[[50, 50], [0, 10]], [[60, 10], [20, 10]]],  # run 1: class 6, class 9
    ]
    for preset in ("standard", "paper"):
        r = result(confusions, [[[6], [9]], [[6], [9]]], (6, 9), preset)
        runs = [[15 / 30, 10 / 20], [10 / 60, 10 / 40]]
        np.testing.assert_allclose(r.run_class_iou, runs)
        np.testing.assert_allclose(r.class_iou, [(15 / 30 + 10 / 60) / 2, (10 / 20 + 10 / 40) / 2])
        assert r.mean_iou == pytest.approx((0.5 + (10 / 60 + 10 / 40) / 2) / 2)
        assert r.mean_iou_std == pytest.approx((0.5 - (10 / 60 + 10 / 40) / 2) / 2)
        background = [(170 / 195), (110 / 190)]
        foreground = [25 / 50, 20 / 100]  # classes pooled, not averaged
        np.testing.assert_allclose(r.binary_class_iou, [np.mean(background), np.mean(foreground)])
        assert r.binary_iou == pytest.approx(np.mean([background, foreground]))
        halves = (background[0] + foreground[0]) / 2, (background[1] + foreground[1]) / 2
        assert r.binary_iou_std == pytest.approx(abs(halves[0] - halves[1]) / 2)


def test_classes_are_averaged_within_a_run_and_runs_after_that():
    """Run 0 draws classes 6 and 9, run 1 only class 6: another order would weigh one of the three more."""
    one, two, three = ([[90, 0], [10 - hits, hits]] for hits in (8, 2, 5))
    r = result([[one, two], [three, three]], [[[6], [9]], [[6], [6]]], (6, 9), "standard")
    assert r.mean_iou == pytest.approx(((0.8 + 0.2) / 2 + 0.5) / 2) == 0.5
    assert r.class_iou.tolist() == pytest.approx([(0.8 + 0.5) / 2, 0.2])
    four = result([[one, two], [one, one]], [[[6], [9]], [[6], [6]]], (6, 9), "standard")
    assert four.mean_iou == pytest.approx(((0.8 + 0.2) / 2 + 0.8) / 2)


def test_same_class_in_several_episodes_is_summed_not_averaged():
    r = result([[[[0, 0], [0, 90]], [[0, 10], [0, 0]]]], [[[3], [3]]], (3,), "standard")
    assert r.mean_iou == pytest.approx(90 / 100)


# Two ways; the query shows class 4 only. 20 of its pixels are taken for class 7, and so are 10 of the background.
ABSENT = ([[[[60, 0, 10], [0, 10, 20], [0, 0, 0]]]], [[[4, 7]]], (4, 7))


def test_false_positives_of_an_absent_class():
    """standard: 30 pixels wrongly called 7 are its false positives. paper: nobody looks."""
    standard = result(*ABSENT, "standard")
    assert standard.class_iou.tolist() == pytest.approx([10 / 30, 0.0])
    assert standard.mean_iou == pytest.approx((10 / 30) / 2)
    present = ([[*ABSENT[0][0], [[50, 0, 0], [0, 0, 0], [10, 0, 40]]]], [[*ABSENT[1][0], [4, 7]]], (4, 7))
    assert result(*present, "standard").class_iou.tolist() == pytest.approx([10 / 30, 40 / 80])
    assert result(*present, "paper").class_iou.tolist() == pytest.approx([10 / 30, 40 / 50])
    pixel = result([[[[60, 0, 30], [0, 10, 0], [0, 0, 1]]]], *ABSENT[1:], "paper")  # one pixel shows a class
    assert pixel.class_iou.tolist() == pytest.approx([1, 1 / 31])


def test_binary_merged_or_summed():
    """standard: 4 taken for 7 is still foreground. paper: confusing two classes is an error."""
    standard, paper = result(*ABSENT, "standard"), result(*ABSENT, "paper")
    assert standard.binary_class_iou.tolist() == pytest.approx([60 / 70, 30 / 40])
    # paper: background TP 60, FP 0, FN 10; foreground: class 4 alone, TP 10, FN 20
    assert paper.binary_class_iou.tolist() == pytest.approx([60 / 70, 10 / 30])
    both = result([[[[60, 0, 10], [5, 10, 20], [0, 5, 15]]]], *ABSENT[1:], "paper")
    assert both.binary_class_iou[1] == pytest.approx(25 / (25 + 5 + 30 + 25 + 5))  # FP 5 + 30, FN 25 + 5


def test_classes_are_filed_under_their_own_label_whatever_their_way():
    c = np.array([[60, 3, 4], [5, 10, 6], [7, 8, 20]])
    swapped = c[[0, 2, 1]][:, [0, 2, 1]]
    a = result([[c, c]], [[[4, 7], [4, 7]]], (4, 7), "standard")
    b = result([[c, swapped]], [[[4, 7], [7, 4]]], (4, 7), "standard")
    assert np.array_equal(a.run_class_iou, b.run_class_iou) and a.binary_iou == b.binary_iou


@pytest.mark.parametrize("preset", ["standard", "paper"])
def test_a_class_that_no_episode_drew_does_not_spoil_the_mean(preset):
    r = result([[[[90, 10], [5, 15]]], [[[80, 0], [10, 10]]]], [[[6]], [[9]]], (6, 9, 11), preset)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert r.class_iou[:2].tolist() == pytest.approx([15 / 30, 10 / 20]) and np.isnan(r.class_iou[2])
        assert r.mean_iou == pytest.approx(0.5)
        low, high = r.interval()
        assert low <= r.mean_iou <= high
        json.dumps(r.summary(), allow_nan=False)


def test_all_numbers_of_a_summary():
    """The episodes of `ABSENT`, by hand as above; classes under their labels, as JSON wants them."""
    found = result(*ABSENT[:2], (4, 7, 9), "standard").summary()
    low, high = found.pop("interval_95")
    assert low == high == pytest.approx(10 / 60)
    assert found.pop("class_iou") == {"4": pytest.approx(10 / 30), "7": 0.0, "9": None}
    assert found == {
        "mean_iou": pytest.approx(10 / 60), "mean_iou_std": 0.0, "binary_iou": pytest.approx((60 / 70 + 30 / 40) / 2),
        "binary_iou_std": 0.0, "runs": 1, "episodes": 1, "preset": "standard",
    }  # fmt: skip


# --- bootstrap --------------------------------------------------------------------------------------


def noisy_result(episodes, seed=0):
    rng = np.random.default_rng(seed)
    hits = rng.integers(20, 80, (2, episodes))
    counts = np.stack([np.full_like(hits, 300), np.full_like(hits, 20), 100 - hits, hits], -1)
    return Result(counts.reshape(2, episodes, 2, 2), rng.integers(1, 3, (2, episodes, 1)), (1, 2), "standard")


def test_interval_contains_the_point_and_shrinks():
    few, many = noisy_result(20), noisy_result(320)
    for r in (few, many):
        low, high = r.interval()
        assert 0 < low < r.mean_iou < high < 1
        inner = r.interval(0.5)
        assert low < inner[0] < inner[1] < high
        assert r.interval() == (low, high) and r.interval(seed=1) != (low, high)
    ratio = np.diff(few.interval()) / np.diff(many.interval())
    assert 2.5 < ratio < 6.5  # sqrt(16) = 4
    same = Result(np.repeat(few.confusions[:1, :1], 9, 1), np.ones((1, 9, 1), int), (1,))
    assert same.interval() == pytest.approx((same.mean_iou, same.mean_iou))


# --- evaluate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["standard", "paper"])
@pytest.mark.parametrize(
    "shape", [(1, 1, "dense"), (3, 1, "dense"), (1, 5, "dense"), (1, 2, "scribble"), (2, 1, "box")]
)
def test_the_bank_equals_the_plain_way(tiny, model, preset, shape):
    dataset = tiny("train")
    ways, shots, kind = shape
    r = evaluate(model, dataset, 1, ways, shots, 2, 6, preset, seed=4, annotation=kind)
    assert r.confusions.shape == (2, 6, ways + 1, ways + 1) and r.preset == preset
    for run in range(2):
        sampler = EpisodeSampler(dataset, dataset.fold(1), ways, shots, 1, 4 + run, preset, annotation=kind)
        for i in range(6):
            assert np.array_equal(score_episode(model, sampler.episode(i))[0], r.confusions[run, i])
            assert np.array_equal(sampler.draw(i).classes, r.classes[run, i])
    assert 0 < r.mean_iou < 1


def test_the_bank_follows_the_models_alpha_and_distance(tiny):
    dataset = tiny()
    results = [
        evaluate(PANet(Twin(), distance=d), dataset, 0, runs=1, episodes=4).confusions
        for d in ("cosine", "euclidean")
    ]
    sampler = EpisodeSampler(dataset, dataset.fold(0), seed=0)
    plain = score_episode(PANet(Twin(), distance="euclidean"), sampler.batch(range(4)))
    assert np.array_equal(results[1][0], plain) and not np.array_equal(*results)


def test_each_image_passes_the_backbone_once(tiny, model):
    dataset = tiny()
    evaluate(model, dataset, 0, 1, 2, runs=3, episodes=20)
    seen = model.backbone.seen
    assert len(seen) == len(set(seen)) <= len(dataset)
    samplers = [EpisodeSampler(dataset, dataset.fold(0), 1, 2, 1, seed) for seed in range(3)]
    draws = [s.draw(i) for s in samplers for i in range(20)]
    assert len(seen) == len({int(i) for d in draws for i in (*d.supports.ravel(), *d.queries)})


def test_repeatable_and_runs_differ(tiny, model):
    dataset = tiny()
    a, b = (evaluate(model, dataset, 2, runs=3, episodes=8, seed=5) for _ in range(2))
    assert np.array_equal(a.confusions, b.confusions) and np.array_equal(a.classes, b.classes)
    assert a.summary() == b.summary()
    runs = [a.confusions[r].tobytes() for r in range(3)]
    assert len(set(runs)) == 3
    later = evaluate(model, dataset, 2, runs=1, episodes=8, seed=6)
    assert np.array_equal(later.confusions[0], a.confusions[1])


def test_classes_filter(tiny, model):
    dataset = tiny()
    r = evaluate(model, dataset, 1, runs=1, episodes=12, classes=dataset.labels_of(["donut", "pear"]))
    assert r.test_classes == (8, 9) and set(r.classes.ravel()) == {8, 9} and len(r.class_iou) == 2


def test_classes_without_images_are_named_and_left_out(tiny, model):
    dataset = tiny()
    dataset.coverage[:, [6, 9]] = 0
    with pytest.warns(UserWarning, match=r"fewer than 2 images: chess pawn \(0\), pear \(0\)"):
        r = evaluate(model, dataset, 1, runs=1, episodes=12)
    assert r.test_classes == (7, 8, 10) and np.isfinite(r.mean_iou)
    with pytest.raises(ValueError, match=r"1 ways of 1 shots .* 0 of 1 classes.*pear \(0\)"):
        evaluate(model, dataset, 1, runs=1, episodes=2, classes=[9])


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"episodes": 0}])
def test_nothing_to_evaluate_is_one_sentence(tiny, model, wrong):
    with pytest.raises(ValueError, match="at least 1 run and 1 episode"):
        evaluate(model, tiny(), 0, **wrong)


def test_images_of_different_sizes_are_one_sentence(tiny, model, tmp_path):
    dataset = tiny()
    read = dataset.image
    dataset.image = lambda i: read(i)[:, : 64 - i % 2]
    with pytest.raises(ValueError, match="different sizes.*size="):
        FeatureBank(model, dataset).add(range(4))


def test_evaluation_leaves_no_gradient_and_eval_mode(tiny, model):
    model.train()
    evaluate(model, tiny(), 0, runs=1, episodes=2)
    assert not model.training and all(p.grad is None for p in model.parameters())


def test_scored_at_label_size(tiny, model):
    """Logits are upsampled before the arg max, every valid pixel counts once."""
    dataset = tiny()
    sampler = EpisodeSampler(dataset, dataset.fold(0))
    episode = sampler.episode(0)
    prediction = model(episode)
    by_hand = upsample(prediction.logits, (64, 64)).argmax(2)
    counts = score_episode(model, episode)[0]
    assert counts.sum() == (episode.query_labels != 255).sum()
    truth = episode.query_labels
    assert counts[1, 1] == ((truth == 1) & (by_hand == 1)).sum()
    assert counts[0, 1] == ((truth == 0) & (by_hand == 1)).sum()
