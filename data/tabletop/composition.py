"""Measure Tabletop-5i from its files, and write its contact sheet and manifest.

    python data/tabletop/composition.py              # the numbers, as Markdown
    python data/tabletop/composition.py --check      # sizes, labels, ids; stops at the first fault
    python data/tabletop/composition.py --sheet      # contact_sheet.jpg
    python data/tabletop/composition.py --manifest   # MANIFEST.sha256, for `sha256sum -c`

Needs numpy and Pillow only.
"""

import argparse
import csv
import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
SIZE, SPECK = 192, 0.01
FOLDERS = {"JPEGImages": "jpg", "SegmentationClass": "png", "SegmentationObject": "png"}


def read_ids(root, split):
    """The ids of a split."""
    return (root / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split()


def read_names(root):
    """Class names by index; 0 is the background."""
    return ["background", *(root / "classes.txt").read_text().strip().split("\n")]


def read_objects(root):
    """Rows of objects.csv by image id, as dictionaries of integers."""
    rows = defaultdict(list)
    with open(root / "objects.csv", newline="") as file:
        for row in csv.DictReader(file):
            name = row.pop("id")
            rows[name].append({key: int(value) for key, value in row.items()})
    return rows


def read_mask(root, folder, name):
    """A mask as an array of labels."""
    return np.asarray(Image.open(root / folder / f"{name}.png"))


def areas(root, split):
    """For every image of a split: id and the share of its pixels of each class that it shows."""
    for name in read_ids(root, split):
        counts = np.bincount(read_mask(root, "SegmentationClass", name).ravel(), minlength=256)
        yield name, {k: counts[k] / SIZE**2 for k in range(1, 21) if counts[k]}


def summary(root, split):
    """Numbers of one split: images, shares, histograms, and areas by class."""
    objects = read_objects(root)
    images, shown, by_class = 0, Counter(), defaultdict(list)
    one_fold = two_alike = odd = things = 0
    for name, share in areas(root, split):
        instances = {(row["class"], row["instance"]): row["odd"] for row in objects[name]}
        seen = set(np.unique(read_mask(root, "SegmentationObject", name))) - {0, 255}
        here = {key: value for key, value in instances.items() if key[1] in seen}
        classes = Counter(key[0] for key in here)
        images, things, odd = images + 1, things + len(here), odd + sum(here.values())
        shown[len(here)] += 1
        one_fold += len({(k - 1) // 5 for k in share}) == 1
        two_alike += max(classes.values(), default=0) > 1
        for k, area in share.items():
            by_class[k].append(area)
    return {
        "images": images,
        "shown": shown,
        "by_class": by_class,
        "one_fold": one_fold / images,
        "two_alike": two_alike / images,
        "odd": odd / things,
        "things": things,
    }


def report(root):
    """Print every measured number of the datasheet as Markdown tables."""
    names = read_names(root)
    parts = {split: summary(root, split) for split in ("train", "val")}
    print("| measured | train | val |\n|---|---:|---:|")
    rows = [("images", lambda p: p["images"]), ("objects seen", lambda p: p["things"])]
    rows += [(f"images with {n} object{'s' * (n > 1)}", lambda p, n=n: p["shown"][n]) for n in range(1, 5)]
    rows += [
        ("images of one fold only", lambda p: f"{p['one_fold']:.1%}"),
        ("images with two instances of a class", lambda p: f"{p['two_alike']:.1%}"),
        ("objects of odd material", lambda p: f"{p['odd']:.1%}"),
        ("median class area", lambda p: f"{np.median(np.hstack([*p['by_class'].values()])):.1%}"),
        (
            f"class areas under {SPECK:.0%}",
            lambda p: f"{np.mean(np.hstack([*p['by_class'].values()]) < SPECK):.2%}",
        ),
    ]
    for label, value in rows:
        print(f"| {label} | {value(parts['train'])} | {value(parts['val'])} |")
    print(
        "\n| fold | class | train images | val images | median area, train | median area, val |"
        "\n|---:|---|---:|---:|---:|---:|"
    )
    for k in range(1, 21):
        train, val = (parts[split]["by_class"][k] for split in ("train", "val"))
        print(
            f"| {(k - 1) // 5} | {k} {names[k]} | {len(train)} | {len(val)} "
            f"| {np.median(train):.1%} | {np.median(val):.1%} |"
        )
    files = [path for folder in FOLDERS for path in (root / folder).iterdir()]
    print(f"\nImages and masks: {len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:.1f} MB.")


def check(root):
    """Stop at the first file that is missing, left over, or not what it should be."""
    ids = read_ids(root, "train") + read_ids(root, "val")
    assert len(set(ids)) == len(ids), "an id occurs twice"
    objects = read_objects(root)
    assert set(objects) == set(ids), "objects.csv and the lists differ"
    for folder, ending in FOLDERS.items():
        found = {path.name for path in (root / folder).iterdir()}
        assert found == {f"{name}.{ending}" for name in ids}, f"{folder} and the lists differ"
    for name in ids:
        picture = Image.open(root / "JPEGImages" / f"{name}.jpg")
        picture.load()
        assert picture.mode == "RGB" and picture.size == (SIZE, SIZE), name
        classes, things = (read_mask(root, f, name) for f in list(FOLDERS)[1:])
        assert classes.shape == things.shape == (SIZE, SIZE), name
        assert ((classes == 255) == (things == 255)).all(), f"{name}: borders differ"
        pairs = {*zip(things[classes < 255].tolist(), classes[classes < 255].tolist())} - {(0, 0)}
        known = {(row["instance"], row["class"]) for row in objects[name]}
        assert pairs and pairs <= known, f"{name}: labels differ from objects.csv"
    print(f"{len(ids)} images with their masks: sizes, labels and ids are as they should be.")


def crop(root, name, k):
    """The square around a class in a picture, with a margin."""
    y, x = np.nonzero(read_mask(root, "SegmentationClass", name) == k)
    side = min(SIZE, int(1.25 * max(np.ptp(x), np.ptp(y))) + 8)
    left = int(np.clip((x.min() + x.max() - side) // 2, 0, SIZE - side))
    top = int(np.clip((y.min() + y.max() - side) // 2, 0, SIZE - side))
    return Image.open(root / "JPEGImages" / f"{name}.jpg").crop((left, top, left + side, top + side))


def sheet(root, many=6, cell=104, label=112):
    """Write contact_sheet.jpg: `many` examples of each class, ten classes to a column."""
    names, examples = read_names(root), defaultdict(list)
    for name, share in areas(root, "val"):
        for k, area in share.items():
            if area > 0.06 and len(examples[k]) < many:
                examples[k].append(name)
    canvas = Image.new("RGB", (2 * (label + many * cell), 10 * cell), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    for k in range(1, 21):
        x, y = (k - 1) // 10 * (label + many * cell), (k - 1) % 10 * cell
        draw.text((x + 8, y + cell / 2 - 10), f"{k} {names[k]}", fill="black", font=font)
        for n, name in enumerate(examples[k]):
            tile = crop(root, name, k).resize((cell - 2, cell - 2), Image.LANCZOS)
            canvas.paste(tile, (x + label + n * cell, y))
    canvas.save(root / "contact_sheet.jpg", quality=88, optimize=True)


def manifest(root):
    """Write the SHA-256 of every picture, mask and list to MANIFEST.sha256."""
    files = [root / "classes.txt", root / "objects.csv", *sorted((root / "ImageSets").rglob("*.txt"))]
    files += [path for folder in FOLDERS for path in sorted((root / folder).iterdir())]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root).as_posix()}\n"
        for path in files
    ]
    (root / "MANIFEST.sha256").write_text("".join(lines))


def main():
    """Run the commands asked for; the report if none is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=HERE)
    commands = {"check": check, "sheet": sheet, "manifest": manifest}
    for name, command in commands.items():
        parser.add_argument(f"--{name}", action="store_true", help=command.__doc__)
    options = parser.parse_args()
    asked = [command for name, command in commands.items() if getattr(options, name)]
    for command in asked or [report]:
        command(options.root)


if __name__ == "__main__":
    main()
