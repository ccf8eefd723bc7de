"""Chapter 10's checks: the right answer passes, each known mistake is told by its own sentence."""

import pytest
import torch
import torch.nn.functional as F
from checking import DRAWS, answers, mistakes_are_told, right_passes, said, stubs_and_errors

from panet_lite.check import chapter10 as check


def by_loops(support, support_labels, query, query_labels, normalised):
    """Exercise 1 without the package."""
    found = []
    for c in (0, 1):
        own = torch.stack([f[:, y == c].mean(1) for f, y in zip(support, support_labels)]).mean(0)
        other = query[:, query_labels == c].mean(1)
        if normalised:
            own, other = own / own.norm(), other / other.norm()
        found.append((own - other).norm())
    return torch.stack(found)


def by_eigenvectors(features, k):
    """Exercise 3 by another road: the covariance's eigenvectors."""
    middle = features.mean(0)
    _, vectors = torch.linalg.eigh((features - middle).T @ (features - middle))
    axes = vectors[:, len(vectors) - k :]
    return middle + (features - middle) @ axes @ axes.T


def counted(features, prototypes, share):
    """Exercise 4 with `by_eigenvectors`."""

    def labels(x):
        return F.cosine_similarity(x[:, None], prototypes, dim=2).argmax(1)

    agreed = [(labels(by_eigenvectors(features, k)) == labels(features)).float().mean() for k in range(13)]
    return next(k for k, value in enumerate(agreed) if value >= share)


IMPLEMENTATIONS = [
    (check.distance, by_loops, check.DISTANCE_MISTAKES),
    (check.reconstruct, by_eigenvectors, check.RECONSTRUCTION_MISTAKES),
    (check.enough, counted, check.ENOUGH_MISTAKES),
]


test_right_answer_passes = right_passes(IMPLEMENTATIONS)


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS)


test_unfilled_and_raising_answers = stubs_and_errors(
    *(row[0] for row in IMPLEMENTATIONS), check.cheat, nonsense=[lambda *inputs: torch.zeros(1, 17)]
)


test_scaling = answers(
    check.scaling,
    (None, None, "not filled in"),
    (..., None, "not filled in"),
    ("b", True, "right"),
    ("(B)", True, "right"),
    ("a", False, "not a"),
    ("c", False, "not c"),
    ("d", False, "not d"),
    (2, False, "choose one"),
)


@pytest.mark.parametrize(
    "answer, verdict, part",
    [
        (lambda f: 0.01 * f + 1, True, "cheated"),
        (lambda f: f + 1000, False, "the raw distances"),
        (lambda f: 0.01 * f, False, "does not change a direction"),
        (lambda f: f, False, "the raw distances"),
        (torch.ones_like, False, "became equal"),
        (lambda f: f.clamp(-0.1, 0.1) * 0, False, "became equal"),
        (lambda f: f / 0, False, "a finite tensor"),
        (lambda f: f[:, :2], False, "a finite tensor"),
        (lambda f: f.tolist(), False, "a finite tensor"),
    ],
)
def test_cheat(answer, verdict, part, capsys):
    for _ in DRAWS:
        assert check.cheat(answer) is verdict
        assert part in said(capsys)


def test_a_better_space_is_no_cheat(capsys):
    """Nearer prototypes and a better prediction: the sentence says that this is not what was asked."""
    features, labels = check.cloud()
    wrong = check.judged(features.flip(2), labels)[:2] + (0.2,)
    after = tuple(part / 100 for part in wrong[:2]) + (0.9,)
    assert "no cheating" in check.fault(features, features, wrong, after)
