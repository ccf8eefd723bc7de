"""Draw README's picture, `_assets/segment.jpg`: python book/picture.py. What `Segmenter` finds.

No picture is picked by hand: of each class the first two pictures of Tabletop-5i's val that show enough of it are marked,
and the next two are segmented, good or bad.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from panet_lite import Segmenter, pretrained
from panet_lite.datasets import Tabletop
from panet_lite.datasets.marks import overlay

OUT = Path(__file__).resolve().parent / "_assets" / "segment.jpg"
SHARE, SIDE, GAP = 0.06, 288, 8  # of the picture that is object; pixels
ROWS = ("snowman", "fir tree")  # classes of fold 2
TINT = 6  # of the colours of classes, one that is not in the pictures


def drawn(pixels: np.ndarray, labels: np.ndarray) -> Image.Image:
    """A picture with its label map over it, larger."""
    picture = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    large = Image.fromarray((TINT * (labels > 0)).astype(np.uint8)).resize(
        (SIDE, SIDE), Image.Resampling.NEAREST
    )
    return Image.fromarray(overlay(np.asarray(picture), np.asarray(large)))


def row(data: Tabletop, segmenter: Segmenter, name: str) -> list[Image.Image]:
    """Two marked pictures, and two that were segmented after them."""
    (label,) = data.labels_of([name])
    chosen = [int(i) for i in data.images_of(label, least=SHARE)[:4]]
    pixels = [data.image(i).permute(1, 2, 0).numpy() for i in chosen]
    masks = [(data.label_map(i) == label).numpy() for i in chosen[:2]]
    found = segmenter.fit(pixels[:2], [{name: mask} for mask in masks]).predict(pixels[2:])
    return [drawn(*pair) for pair in zip(pixels, [*masks, *(result.labels.numpy() for result in found)])]


def main() -> None:
    """Write the picture."""
    torch.manual_seed(0)
    data, segmenter = Tabletop("val"), Segmenter(pretrained(2))
    rows = [row(data, segmenter, name) for name in ROWS]
    step = SIDE + GAP
    sheet = Image.new("RGB", (4 * step + GAP, len(rows) * step - GAP), "white")
    for y, pictures in enumerate(rows):
        for x, picture in enumerate(pictures):
            sheet.paste(picture, (x * step + 2 * GAP * (x > 1), y * step))
    sheet.save(OUT, "JPEG", quality=85, optimize=True)


if __name__ == "__main__":
    main()
