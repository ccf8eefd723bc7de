"""Render Tabletop-5i, an embedded few-shot segmentation benchmark, in the layout of PASCAL VOC.

    python data/tabletop/render.py                  # everything that is missing
    python data/tabletop/render.py --shard 0/2      # half of it, for two processes
    python data/tabletop/render.py --plan           # only the lists, classes.txt and objects.csv

Frame i depends on (seed, i) only. Needs `pip install bpy==4.5.15 pillow numpy`.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from models import NAMES
from PIL import Image

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 1440, "val": 640}
FIRST = {"train": 0, "val": 100_000}  # frame numbers, so that the two splits never share one


class Deck:
    """Draws without replacement, shuffling again when empty, so that counts stay balanced."""

    def __init__(self, rng, cards):
        self.rng, self.cards, self.left = rng, list(cards), []

    def draw(self, avoid=()):
        """The next card that is not in `avoid`."""
        for _ in range(2):
            for k, card in enumerate(self.left):
                if card not in avoid:
                    return self.left.pop(k)
            self.left += [self.cards[i] for i in self.rng.permutation(len(self.cards))]
        raise ValueError("every card is to be avoided")


def plan(seed, split):
    """What stands in each picture: a list of lists of (class index, odd)."""
    rng = np.random.default_rng([seed, FIRST[split], 7])
    folds = [Deck(rng, range(5 * f + 1, 5 * f + 6)) for f in range(4)]
    which, odd = Deck(rng, range(4)), Deck(rng, [True, False, False, False])
    number = Deck(rng, [1] * 5 + [2] * 8 + [3] * 5 + [4] * 2)
    mixed, twice = Deck(rng, [True] * 4 + [False] * 16), Deck(rng, [True] * 4 + [False] * 16)
    frames = []
    for _ in range(COUNTS[split]):
        count, mix, pair = number.draw(), mixed.draw(), twice.draw()
        classes, fold = [], which.draw()
        for _ in range(count):
            if pair and len(classes) == 1:
                classes.append(classes[0])
                continue
            classes.append(folds[fold].draw(avoid=classes))
            fold = which.draw() if mix else fold
        frames.append([(int(c), bool(odd.draw())) for c in classes])
    return frames


def jobs(seed):
    """All frames as (split, id, frame number, things), the splits interleaved."""
    rows = [
        (k / COUNTS[split], split, f"{split}_{k:04d}", FIRST[split] + k, things)
        for split in COUNTS
        for k, things in enumerate(plan(seed, split))
    ]
    return [row[1:] for row in sorted(rows)]


def write_lists(seed, out):
    """Write classes.txt, the image sets and objects.csv, all known before rendering."""
    sets = out / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True, exist_ok=True)
    (out / "classes.txt").write_text("\n".join(NAMES) + "\n")
    lines = ["id,class,instance,odd,fold"]
    rows = sorted(jobs(seed), key=lambda job: job[1])
    for split in COUNTS:
        (sets / f"{split}.txt").write_text("".join(f"{job[1]}\n" for job in rows if job[0] == split))
    for _, name, _, things in rows:
        lines += [
            f"{name},{index},{number},{int(odd)},{(index - 1) // 5}"
            for number, (index, odd) in enumerate(things, 1)
        ]
    (out / "objects.csv").write_text("\n".join(lines) + "\n")


def palette():
    """The colour map of PASCAL VOC, flat."""
    colours = np.zeros((256, 3), int)
    for index in range(256):
        for bit in range(8):
            colours[index] |= [((index >> (3 * bit + c)) & 1) << (7 - bit) for c in range(3)]
    return colours.ravel().tolist()


def masks(index):
    """Class and instance masks of an index picture, 255 where a region meets its neighbour."""
    border = np.zeros(index.shape, bool)
    border[:, :-1] |= index[:, :-1] != index[:, 1:]
    border[:-1] |= index[:-1] != index[1:]
    return [np.where(border, 255, part).astype(np.uint8) for part in (index // 10, index % 10)]


def settings(bpy, size, samples, scratch):
    """Cycles on one core, denoised, with the object index beside the picture."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = f"{scratch}/picture.png"
    scene.view_settings.view_transform = "Standard"
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.use_adaptive_sampling = "CPU", samples, False
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_prefilter = "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 2, 1, 2
    cycles.transparent_max_bounces, cycles.sample_clamp_indirect = 10, 4
    cycles.caustics_reflective = cycles.caustics_refractive = False
    layer = bpy.context.view_layer
    layer.use_pass_object_index, layer.pass_alpha_threshold = True, 0
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    layers, image = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeComposite")
    tree.links.new(layers.outputs["Image"], image.inputs["Image"])
    store = tree.nodes.new("CompositorNodeOutputFile")
    store.base_path, store.format.file_format = str(scratch), "OPEN_EXR"
    store.format.color_depth = "32"
    store.file_slots[0].path = "index"
    tree.links.new(layers.outputs["IndexOB"], store.inputs[0])


def render(bpy, seed, frame, things, scratch):
    """One frame: the picture and the object index as an integer array."""
    import scene as stage

    for old in Path(scratch).glob("*"):
        old.unlink()
    stage.compose(np.random.default_rng([seed, frame]), things)
    bpy.context.scene.cycles.seed = frame
    bpy.ops.render.render(write_still=True)
    picture = Image.open(f"{scratch}/picture.png").convert("RGB")
    exr = bpy.data.images.load(str(next(Path(scratch).glob("index*.exr"))))
    exr.colorspace_settings.name = "Non-Color"
    values = np.empty(len(exr.pixels), np.float32)
    exr.pixels.foreach_get(values)
    index = values.reshape(picture.height, picture.width, -1)[::-1, :, 0]
    return picture, np.rint(index).astype(int)


def save(out, name, picture, index, quality):
    """Write picture and masks beside their places and rename, the picture last."""
    classes, instances = masks(index)
    for folder, array in (("SegmentationClass", classes), ("SegmentationObject", instances)):
        image = Image.fromarray(array)
        image.putpalette(palette())
        image.save(out / folder / f".{name}.tmp", "PNG", optimize=True)
        os.replace(out / folder / f".{name}.tmp", out / folder / f"{name}.png")
    picture.save(out / "JPEGImages" / f".{name}.tmp", "JPEG", quality=quality, optimize=True)
    os.replace(out / "JPEGImages" / f".{name}.tmp", out / "JPEGImages" / f"{name}.jpg")


def main():
    """Render what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--quality", type=int, default=91, help="of the JPEG files")
    parser.add_argument("--shard", default="0/1", help="k/n: every n-th frame from the k-th")
    parser.add_argument("--limit", type=int, help="stop after so many frames")
    parser.add_argument("--plan", action="store_true", help="write the lists and stop")
    options = parser.parse_args()
    write_lists(options.seed, options.out)
    if options.plan:
        return
    import bpy
    from scene import SIZE

    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject"):
        (options.out / folder).mkdir(exist_ok=True)
    k, n = map(int, options.shard.split("/"))
    todo = [
        job
        for job in jobs(options.seed)[k::n][: options.limit]
        if not (options.out / "JPEGImages" / f"{job[1]}.jpg").exists()
    ]
    with tempfile.TemporaryDirectory() as scratch:
        settings(bpy, SIZE, options.samples, scratch)
        start = time.time()
        for done, (_, name, frame, things) in enumerate(todo, 1):
            save(options.out, name, *render(bpy, options.seed, frame, things, scratch), options.quality)
            print(f"{name}  {done}/{len(todo)}  {(time.time() - start) / done:.2f} s a frame", flush=True)


if __name__ == "__main__":
    main()
