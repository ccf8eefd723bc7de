"""What several tests share: a data set small enough to draw in a second, and a cache of their own."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from panet_lite.datasets import Tabletop
from panet_lite.datasets import voc as datasets

# The tests of the book's pages bring their own needs; a machine for computing has neither browser nor widgets.
with contextlib.suppress(ModuleNotFoundError):
    from browser import axe, book, browser, open_page, site  # noqa: F401
    from mounting import data, model, shown  # noqa: F401

pytest.register_assert_rewrite("checking")  # its asserts explain themselves as those of the tests do

SIDE = 64
COLOURS = [(220, 40, 40), (40, 200, 60), (50, 80, 230), (230, 210, 40), (200, 60, 210)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache folder; the session's tests share one of their own."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setattr(datasets, "user_cache_path", lambda *_: folder)
    return folder


def shape_mask(kind: int, y: int, x: int, radius: int) -> np.ndarray:
    """A disc, a square, a triangle or a ring."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    dy, dx = rows - y, columns - x
    distance = np.hypot(dy, dx)
    return (
        distance <= radius,
        (np.abs(dy) <= radius) & (np.abs(dx) <= radius),
        (np.abs(dx) <= (dy + radius) / 2) & (np.abs(dy) <= radius),
        (distance <= radius) & (distance >= radius / 2),
    )[kind]


def draw_scene(rng: np.random.Generator, labels: list[int]) -> tuple[Image.Image, Image.Image]:
    """Coloured shapes on a grey floor: label 5f + c + 1 is shape f in colour c. Void border of a pixel."""
    picture = rng.integers(90, 150, (SIDE, SIDE, 1)).repeat(3, 2) + rng.integers(-8, 8, (SIDE, SIDE, 3))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    places = rng.permutation([(20, 20), (20, 44), (44, 20), (44, 44)])
    for label, (y, x) in zip(labels, places):
        fold, colour = divmod(label - 1, 5)
        inside = shape_mask(fold, y + rng.integers(-3, 4), x + rng.integers(-3, 4), rng.integers(8, 13))
        picture[inside] = np.array(COLOURS[colour]) + rng.integers(-15, 16, 3)
        mask[inside] = label
    changes = np.zeros_like(mask, bool)
    changes[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    changes[1:] |= mask[1:] != mask[:-1]
    mask[changes] = 255
    labelled = Image.fromarray(mask, "L").convert("P")
    labelled.putdata(mask.ravel().tolist())
    labelled.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8)), labelled


@pytest.fixture(scope="session")
def tiny_voc(tmp_path_factory):
    """A data folder as PANET_LITE_DATA names one: 20 classes of coloured shapes, 64 x 64, VOC layout.

    120 train and 60 val images of one or two objects of one fold, every fifth with one of another
    fold as well. `tabletop/` and `VOC2012/` are the same files.
    """
    home = tmp_path_factory.mktemp("tiny")
    root = home / "tabletop"
    rng = np.random.default_rng(7)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for split, count in (("train", 120), ("val", 60)):
        names = [f"{split}_{i:03d}" for i in range(count)]
        for i, name in enumerate(names):
            first = i % 20 + 1
            labels = [first]
            if i % 3 == 0:
                labels.append((first - 1) // 5 * 5 + rng.integers(5) + 1)  # same fold, perhaps same class
            if i % 5 == 0:
                labels.append(rng.integers(20) + 1)
            image, mask = draw_scene(rng, [int(label) for label in labels])
            image.save(root / "JPEGImages" / f"{name}.jpg", quality=92)
            mask.save(root / "SegmentationClass" / f"{name}.png")
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names) + "\n")
    (home / "VOC2012").symlink_to(root, target_is_directory=True)
    return home


@pytest.fixture
def tiny(tiny_voc):
    """`tiny("train")` and `tiny("val")` open it."""
    return lambda split="val", **kwargs: Tabletop(split, root=tiny_voc / "tabletop", **kwargs)


@pytest.fixture(scope="session")
def head():
    """Draws the tensors of random episodes: `head(ways=2, shots=3)` has .support, .labels, .query, ..."""

    def draw(
        batch=1, ways=1, shots=1, queries=1, channels=5, h=4, w=5, height=13, width=16,
        seed=0, dtype=torch.float64, void=0.1,
    ):  # fmt: skip
        g = torch.Generator().manual_seed(seed)

        def features(*shape):
            return torch.randn(*shape, channels, h, w, generator=g, dtype=torch.float64).to(dtype)

        def labels(*shape):
            values = torch.randint(0, ways + 1, (*shape, height, width), generator=g)
            nothing = torch.rand(*shape, height, width, generator=g) < void
            return torch.where(nothing, 255, values).to(torch.uint8)

        return SimpleNamespace(
            support=features(batch, ways, shots),
            labels=labels(batch, ways, shots),
            query=features(batch, queries),
            truth=labels(batch, queries),
        )

    return draw
