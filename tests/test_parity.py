"""Equal to the authors' implementation on fixed tensors (tests/golden/README.md), values and gradients."""

from pathlib import Path

import numpy as np
import pytest
import torch

from panet_lite.alignment import alignment_loss
from panet_lite.backbones import vgg16
from panet_lite.evaluation import Result, confusion
from panet_lite.matching import match, segmentation_loss, upsample
from panet_lite.prototypes import support_prototypes

GOLDEN = Path(__file__).parent / "golden"
HEADS = sorted(path.name for path in GOLDEN.glob("head_*.npz"))


def test_all_heads_are_there():
    assert len(HEADS) == 10


@pytest.mark.parametrize("name", HEADS)
def test_head(name):
    """Prototypes and logits to 1e-4, losses to 1e-5, gradients to 1e-6."""
    golden = {k: torch.from_numpy(v) for k, v in np.load(GOLDEN / name).items()}
    support = golden["support_features"][None].requires_grad_()  # (1, W, K, C, h, w)
    query = golden["query_features"][None].requires_grad_()  # (1, 1, C, h, w)
    labels = golden["support_labels"][None]
    if "_void" in name:
        labels = torch.where(labels == 255, 0, labels)
    prototypes = support_prototypes(support, labels)
    logits = match(query, prototypes)
    seg = segmentation_loss(logits, golden["query_labels"][None])
    par = alignment_loss(query, logits, support, labels)
    (seg + par).backward()
    gradient = torch.cat([support.grad.flatten(0, 2), query.grad.flatten(0, 1)])

    def near(ours, theirs, tolerance):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < tolerance

    near(prototypes[0], golden["prototypes"], 1e-4)
    near(upsample(logits, labels.shape[-2:])[0], golden["query_logits"], 1e-4)
    near(seg, golden["seg_loss"], 1e-5)
    near(par, golden["par_loss"], 1e-5)
    near(gradient, golden["feature_grad"], 1e-6)


def test_vgg16_encoder():
    """The paper's VGG-16, weights drawn as tests/golden/README.md says, to 1e-4."""
    golden = np.load(GOLDEN / "vgg16_encoder.npz")
    rng = np.random.default_rng(int(golden["seed"]))
    backbone = vgg16()
    state = {
        key: torch.from_numpy(
            (
                rng.standard_normal(value.shape)
                * (np.sqrt(2 / (value.shape[1] * 9)) if value.ndim == 4 else 0.01)
            ).astype(np.float32)
        )
        for key, value in backbone.state_dict().items()
    }
    backbone.load_state_dict(state)
    with torch.no_grad():
        features = backbone(torch.from_numpy(golden["image"])).numpy()
    assert abs(features.mean() - golden["features_mean"]) < 1e-4
    assert abs(features.std() - golden["features_std"]) < 1e-4


@pytest.mark.parametrize("ways", [1, 2])
def test_metric(ways):
    """Class-wise, mean and binary IoU of the authors' metric, to 1e-9 (preset `paper`)."""
    golden = np.load(GOLDEN / f"metric_{ways}way.npz")
    runs = np.unique(golden["run"])
    counts = confusion(torch.from_numpy(golden["pred"]), torch.from_numpy(golden["target"]), ways + 1).numpy()
    by_run = [np.flatnonzero(golden["run"] == r) for r in runs]
    assert len({len(rows) for rows in by_run}) == 1
    result = Result(
        np.stack([counts[rows] for rows in by_run]),
        np.stack([golden["classes"][rows] for rows in by_run]),
        tuple(golden["test_classes"].tolist()),
        "paper",
    )
    for name in ("class_iou", "mean_iou", "mean_iou_std", "binary_class_iou", "binary_iou", "binary_iou_std"):
        assert np.abs(getattr(result, name) - golden[name]).max() < 1e-9, name
