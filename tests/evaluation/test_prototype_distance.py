"""The distance of Sec. 4.3, against prototypes averaged by hand at full resolution."""

import pytest
import torch
import torch.nn.functional as F

from panet_lite.alignment import prototype_distance


def episode(seed=0, ways=2, shots=3, queries=2, channels=4, small=5, size=17):
    g = torch.Generator().manual_seed(seed)
    support = torch.randn(2, ways, shots, channels, small, small, generator=g, dtype=torch.float64)
    query = torch.randn(2, queries, channels, small, small, generator=g, dtype=torch.float64)
    labels = torch.randint(0, ways + 1, (2, ways, shots, size, size), generator=g)
    return support, labels, query, torch.randint(0, ways + 1, (2, queries, size, size), generator=g)


def mean_under(features, mask):
    """Upsample, then average: the literal reading of Eq. 1."""
    large = F.interpolate(features[None], mask.shape, mode="bilinear", align_corners=False)[0]
    return large[:, mask].mean(1)


@pytest.mark.parametrize("normalised", [False, True])
def test_equals_the_literal_reading(normalised):
    support, labels, query, query_labels = episode()
    found = prototype_distance(support, labels, query, query_labels, normalised)
    assert found.shape == (2, 3)
    for b in range(2):
        for way in range(3):
            images = [(w, k) for w in range(2) for k in range(3) if way in (0, w + 1)]
            own = torch.stack([mean_under(support[b, w, k], labels[b, w, k] == way) for w, k in images]).mean(
                0
            )
            other = torch.stack([mean_under(query[b, q], query_labels[b, q] == way) for q in range(2)]).mean(
                0
            )
            if normalised:
                own, other = own / own.norm(), other / other.norm()
            assert torch.allclose(found[b, way], (own - other).norm(), rtol=1e-3), (b, way)


def test_support_equal_to_query_is_at_distance_zero():
    support, labels, _, _ = episode(ways=1)
    found = prototype_distance(support, labels, support[:, 0], labels[:, 0])
    assert torch.allclose(found, torch.zeros_like(found), atol=1e-12)


def test_only_the_raw_distance_sees_the_length_of_features():
    parts = episode(1)
    longer = parts[0] * 7, parts[1], parts[2] * 7, parts[3]
    assert torch.allclose(prototype_distance(*longer), 7 * prototype_distance(*parts))
    assert torch.allclose(prototype_distance(*longer, True), prototype_distance(*parts, True))
