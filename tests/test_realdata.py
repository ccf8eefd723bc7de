"""Real photographs: PASCAL-5i episodes from genuine VOC files, where PANET_VOC_ROOT names them."""

import json
import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from panet_lite import EpisodeSampler, PANet
from panet_lite.__main__ import main
from panet_lite.backbones import vgg16
from panet_lite.datasets import Pascal
from panet_lite.evaluation import evaluate
from panet_lite.training import LAPTOP, train
from panet_lite.training.loop import base_classes

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(
        not os.environ.get("PANET_VOC_ROOT"),
        reason="PANET_VOC_ROOT is not set: no real photographs to test on",
    ),
]

FOLDS = {
    1: ("cat", "chair", "cow"),
    2: ("dog", "horse", "person"),
}  # classes with images enough in any subset
NARROW = 1 / 8


@pytest.fixture(scope="module")
def val():
    return Pascal("val", 241)


def narrow():
    torch.manual_seed(0)
    return PANet(vgg16(width=NARROW))


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("preset", ["standard", "paper"])
def test_episodes_of_pascal(val, fold, preset):
    classes = val.labels_of(FOLDS[fold])
    assert set(classes) <= set(val.fold(fold))
    sampler = EpisodeSampler(val, classes, ways=2, shots=1, preset=preset)
    assert sampler.missing == ()
    for i in range(2):
        draw, e = sampler.draw(i), sampler.episode(i)
        assert e.support_images.shape == (1, 2, 1, 3, 241, 241) and e.query_labels.shape == (1, 1, 241, 241)
        assert 0 <= e.query_images.min() < 0.2 < 0.8 < e.query_images.max() <= 1
        for way, label in enumerate(draw.classes, start=1):
            raw = val.label_map(int(draw.supports[way - 1, 0]))
            labels = e.support_labels[0, way - 1, 0]
            assert torch.equal(labels == way, raw == label) and (raw == label).any()
            assert torch.equal(labels == 255, (raw == 255) & (preset == "standard"))
        assert set(e.query_labels.unique().tolist()) <= {0, 1, 2, 255}
        assert torch.equal(e.query_labels[0, 0] == 255, val.label_map(int(draw.queries[0])) == 255)


def test_classes_without_photos_are_named_not_divided_by_zero(val):
    """Where every class has photos (the whole of VOC), one is taken away."""
    clean, kept = Pascal("val", 241), val.labels_of(FOLDS[2])
    away = [c for c in clean.fold(2) if c not in kept]
    clean.coverage[:, away] = 0
    with pytest.warns(UserWarning, match=r"left out of the episodes.*diningtable \(0\), motorbike \(0\)"):
        result = evaluate(narrow(), clean, 2, runs=1, episodes=2)
    assert result.test_classes == kept and np.isfinite(result.mean_iou)


def test_trainaug_falls_back_to_train(val):
    if (val.root / "ImageSets" / "Segmentation" / "trainaug.txt").is_file():
        pytest.skip("this copy of VOC has a trainaug.txt")
    with pytest.warns(UserWarning, match="no trainaug.txt: using train.txt instead"):
        dataset = Pascal("trainaug", 97)
    assert dataset.split == "train" and len(dataset) > 0


def test_a_few_steps_on_photos_lower_their_loss():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # thin classes are named, trainaug may be missing
        dataset = Pascal("train", 97)
        sampler = EpisodeSampler(
            dataset, base_classes(dataset, 2), exclude=dataset.fold(2), preset="standard"
        )
    one = sampler.batch(range(2))
    sampler.batch = lambda indices: one  # the same two episodes again and again
    model, log = narrow(), []
    before = model.loss(one).item()
    train(model, sampler, replace(LAPTOP, iterations=12, learning_rate=3e-3), log.append)
    after = model.loss(one).item()
    assert np.isfinite(log[-1]["seg"]) and after < 0.9 * before


@pytest.mark.parametrize("fold", FOLDS)
def test_evaluate_on_photos(val, fold):
    classes = val.labels_of(FOLDS[fold])
    result = evaluate(narrow(), val, fold, shots=2, runs=1, episodes=10, classes=classes)
    assert result.test_classes == classes and set(result.classes.ravel()) <= set(classes)
    assert 0 < result.mean_iou < 1 and 0 < result.binary_iou < 1
    low, high = result.interval()
    assert 0 <= low <= high <= 1


def test_the_command_line_trains_and_scores_on_photos(tmp_path, capsys):
    common = ["--dataset", "pascal", "--size", "97", "--fold", "2", "--width", str(NARROW), "--device", "cpu"]
    with warnings.catch_warnings():
        options = ["--weights", "random", "--iterations", "2", "--out", str(tmp_path)]
        assert main(["train", *common, *options]) == 0
        options = ["--weights", str(tmp_path / "checkpoint.safetensors"), "--runs", "2", "--episodes", "4"]
        options += ["--shots", "1", "--classes", *FOLDS[2], "--out", str(tmp_path / "numbers.json")]
        assert main(["evaluate", *common, *options]) == 0
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert 0 <= numbers["1-way 1-shot"]["mean_iou"] <= 1
    assert "person" in capsys.readouterr().out.splitlines()[-1]
