"""Files of COCO's kind, whoever wrote them: images, categories, and objects by outlines or run lengths.

pycocotools trusts what it is given, and crashes where it is wrong: all of it has been looked at before.
"""

import contextlib
import json
import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

Id = int | str
Run = dict[str, Any]  # of a mask: its "size" and "counts", pixels outside and inside in turn
WANTED = {"images": ("file_name", "height", "width"), "categories": ("name",)}  # beside an id
LARGEST = 178_956_970  # pixels: Pillow reads no larger picture
LONGEST = 4e6  # pixels along an outline, each of which costs pycocotools some hundred bytes


def tools() -> Any:
    """pycocotools' `mask`; a ValueError says how to get it."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ValueError(f"COCO-20i needs pycocotools ({error}): pip install pycocotools.") from error
    return mask


def whole(value: Any) -> Any:
    """A whole number, also of a float or a text ("640.0"); other text as it is; None for anything else."""
    with contextlib.suppress(ValueError):
        if isinstance(value, (str, float, bool)) and abs(number := float(value)) < 2**53 and number % 1 == 0:
            return int(number)
    return value if isinstance(value, (int, str)) else None


def numbers(values: Any) -> np.ndarray:
    """A list as floats, (N,). Errors: ValueError where it is none."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if (array := np.array(values, float)).ndim == 1:
            return array
    raise ValueError("something else than a list of numbers")


def counts_of(text: str) -> list[int]:
    """Run lengths in COCO's packed form: 5 bits a character, low ones first; differences from the fourth on."""
    if not re.fullmatch("(?:[P-o]{0,6}[0-O])+", text):
        raise ValueError("run lengths that are spoilt")
    counts: list[int] = []
    for word in re.findall("[P-o]*[0-O]", text):
        number = sum((ord(c) - 48 & 31) << 5 * place for place, c in enumerate(word))
        number -= (ord(word[-1]) - 48 & 16) << 5 * len(word) - 4  # the highest bit is the sign
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
    return counts


def run_of(segmentation: Any, size: tuple[int, int]) -> Any:
    """The `Run` of a mask in an image of size (H, W), from outlines [[x, y, x, y, ...], ...] or run lengths.

    Errors: ValueError says what keeps it from being used.
    """
    if isinstance(segmentation, dict):
        told, counts, pixels = segmentation.get("size"), segmentation.get("counts"), math.prod(size)
        if not isinstance(told, list) or tuple(map(whole, told)) != size:
            raise ValueError("run lengths of another size than its image")
        runs = numbers(counts_of(counts) if isinstance(counts, str) else counts)
        if not ((runs >= 0) & (runs <= pixels) & (runs == runs.round())).all() or runs.sum() != pixels:
            raise ValueError("run lengths that do not add up to its image")
        return tools().frPyObjects({"size": size, "counts": runs.astype(np.uint32)}, *size)
    outlines = list(map(numbers, segmentation)) if isinstance(segmentation, list) else []
    outlines = [outline for outline in outlines if outline.size >= 6]  # two points enclose nothing
    if not outlines or any(outline.size % 2 for outline in outlines):
        raise ValueError("no outline of three points or more, x and y in turn")
    for points in (outline.reshape(-1, 2) for outline in outlines):
        near = (np.abs(points) <= min(4 * max(size), LONGEST)).all()  # NaN is not
        if not near or np.abs(np.diff(points, axis=0, append=points[:1])).max(1).sum() > LONGEST:
            raise ValueError("points far outside its image, or nowhere")
    return tools().merge(tools().frPyObjects(outlines, *size))


def listed(path: Path, content: dict[str, Any], kind: str) -> dict[Id, Any]:
    """The images {id: (file name, H, W)} or categories {id: (name,)} of a file, by rising ids.

    Errors: ValueError for one that lacks something, has an absurd size or another's id.
    """
    found: dict[Id, Any] = {}
    for place, entry in enumerate(content[kind]):
        values: Any = entry if isinstance(entry, dict) else {}
        here = f"{path} cannot be used: {kind}[{place}]"
        name, *sides = map(values.get, WANTED[kind])
        number, size = whole(values.get("id")), list(map(whole, sides))
        usable = number is not None and isinstance(name, str) and name.strip()
        if not usable or not all(isinstance(n, int) and n > 0 for n in size) or math.prod(size) > LARGEST:
            wanted = ", ".join(("id", *WANTED[kind])) + f", 1 to {LARGEST:,} pixels" * bool(size)
            raise ValueError(f"{here} is {entry!r:.300}, but needs {wanted}. Mend it or export it again.")
        value = (name.replace("\\", "/") if size else name, *size)  # folders as Windows writes them
        if found.setdefault(number, value) != value:
            raise ValueError(
                f"{here}, {name!r}, has the id {number} of {found[number][0]!r}. Give it its own."
            )
    return dict(sorted(found.items(), key=lambda item: (isinstance(item[0], str), item[0])))


class Instances:
    """A file's content. images: {id: (file name, H, W)}; names: {category id: name}; both by rising ids.

    Annotations that cannot be used are left out, here or by `runs`. Errors: ValueError, see `listed`.
    """

    def __init__(self, path: Path, content: dict[str, Any]):
        self.path, self.total, self.root = path, len(content["annotations"]), ""
        images = listed(path, content, "images")
        first = {value: number for number, value in reversed(images.items())}  # some have several ids
        self.images = {number: value for number, value in images.items() if first[value] == number}
        self.names = {number: name for number, (name,) in listed(path, content, "categories").items()}
        self.annotations: dict[Id, list[dict[str, Any]]] = defaultdict(list)  # of an image
        self.left_out: dict[str, list[str]] = defaultdict(list)  # by the reason
        for annotation in (entry if isinstance(entry, dict) else {} for entry in content["annotations"]):
            image, category = whole(annotation.get("image_id")), whole(annotation.get("category_id"))
            image = first[images[image]] if image in images else image
            if image not in self.images:
                self.leave_out(annotation, "an image that is not listed")
            elif category not in self.names:
                self.leave_out(annotation, "a category that is not listed")
            else:
                self.annotations[image].append(annotation)
        # Roboflow puts one above all others, which marks nothing. Several with none above them are classes.
        top = [whole(entry["id"]) for entry in content["categories"] if entry.get("supercategory") == "none"]
        used = {whole(annotation["category_id"]) for own in self.annotations.values() for annotation in own}
        if top == [0] and 0 not in used and len(self.names) > 1:
            self.root = self.names.pop(0)
        if twice := [name for name, n in Counter(self.names.values()).items() if n > 1]:
            raise ValueError(f"{path} cannot be used: two categories are called {twice[0]!r}. Rename one.")

    def leave_out(self, annotation: dict[str, Any], why: object) -> None:
        """Remember an annotation that cannot be used."""
        image = whole(annotation.get("image_id"))
        name = self.images.get(image, [image])[0]
        self.left_out[str(why)].append(f"annotation {annotation.get('id')!r:.20} of image {name!s:.200}")

    def runs(self, image: Id) -> tuple[list[Run], list[Id | None]]:
        """The masks of an image and their categories, None for a crowd, in the order they are painted in.

        Crowds come first, as void; then the large before the small, so that what lies on a table is seen.
        """
        found = []
        for annotation in self.annotations[image]:
            try:
                run = run_of(annotation.get("segmentation"), self.images[image][1:])
                if (crowd := whole(annotation.get("iscrowd") or 0)) not in (0, 1):
                    raise ValueError("an iscrowd that is neither 0 nor 1")
                if not (area := int(tools().area(run))):
                    raise ValueError("no pixel in its image")
                found.append((not crowd, -area, run, None if crowd else whole(annotation["category_id"])))
            except ValueError as error:
                self.leave_out(annotation, error)
        found.sort(key=lambda item: item[:2])
        return [item[2] for item in found], [item[3] for item in found]

    def note(self) -> str:
        """What was left out so far, and why; empty where nothing was."""
        root = f"{self.root!r} in {self.path} is above the others and marks nothing: it is no class. "
        why = ", ".join(f"{why} ({len(own)}, first {own[0]})" for why, own in self.left_out.items())
        number = f"{sum(map(len, self.left_out.values()))} of {self.total} annotations"
        left_out = f"Left out of {self.path}: {number}; what they mark counts as background. They have {why}."
        return (root * bool(self.root) + left_out * bool(why)).strip()


def read_annotations(path: Path) -> Instances:
    """A file of instances. Errors: ValueError where it is truncated, something else or of no use."""
    tools()
    try:
        content = json.loads(path.read_bytes())
        usable = all(isinstance(content[key], list) and content[key] for key in (*WANTED, "annotations"))
        error = "no categories, images or annotations in it"
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        usable, error = False, f"{type(problem).__name__}: {problem}"
    if not usable:
        raise ValueError(
            f"The annotations {path} cannot be read ({error}): the file is truncated or not COCO's "
            "instances. Download or extract it again."
        )
    return Instances(path, content)
