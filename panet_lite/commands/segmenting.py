"""The command `segment` ("Your own pictures")."""

import argparse
import contextlib
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..datasets.folders import pictures_among
from ..datasets.marks import overlay
from ..datasets.meaning import values_said
from ..datasets.pictures import picture_of
from ..files import write_atomically
from ..model import PANet
from ..segmenter import Segmentation, Segmenter
from .given import open_backbone

OVERLAY_SIDE = 1600  # pixels, of the pictures that show what was found


def write_overlay(path: Path, source: Path, result: Segmentation) -> None:
    """The picture with what was found drawn over it."""
    picture, _ = picture_of(source, OVERLAY_SIDE)
    labels = Image.fromarray(result.labels.cpu().numpy()).resize(picture.size, Image.Resampling.NEAREST)
    drawn = Image.fromarray(overlay(np.asarray(picture), np.asarray(labels)))
    write_atomically(path, lambda file: drawn.save(file, "JPEG", quality=90))


def run_segment(args: argparse.Namespace) -> None:
    """Segment one's own pictures after those that are marked; goes on after one that cannot be read."""
    if wrong := [given for given in args.support if len(given) not in (2, 3)]:
        raise ValueError(f"--support wants IMAGE MASK, or IMAGE MASK NAME, not {' '.join(wrong[0])}.")
    supports, out = [[*map(os.path.expanduser, given[:2]), *given[2:]] for given in args.support], args.out
    images = [Path(given[0]) for given in supports]
    masks = [given[1] if len(given) == 2 else {given[2]: given[1]} for given in supports]
    marked = [Path(path) for given in supports for path in given[:2]]
    queries = pictures_among([Path(os.path.expanduser(path)) for path in args.query], marked)
    targets = [out / f"{path.stem}{end}" for path in queries for end in (".png", "-overlay.jpg")]
    if there := next((path for path in targets if os.path.exists(path)), None):
        raise ValueError(f"{there} is there already, and nothing is overwritten: give --out another folder.")
    model = PANet(open_backbone(args, args.weights))
    values = values_said(args.mask_values or ())
    segmenter = Segmenter(model, args.size, args.tiled, args.device).fit(images, masks, args.names, values)
    broken = 0
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large picture is one's own
    for number, path in enumerate(queries, start=1):
        where = f"[{number}/{len(queries)}] "
        try:
            (result,) = segmenter.predict([path])
            result.save(out / f"{path.stem}.png")
            write_overlay(out / f"{path.stem}-overlay.jpg", path, result)
        except ValueError as error:
            broken += 1
            print(f"{where}{error}", file=sys.stderr, flush=True)
            continue
        labels, many = result.labels, len(result.scores) + 1
        shares = torch.bincount(labels.flatten(), minlength=many)[1:] / labels.numel()
        found = zip(result.scores.items(), (100 * shares).tolist())
        says = ", ".join(f"{name} {share:.1f} % (score {score:.2f})" for (name, score), share in found)
        with contextlib.suppress(OSError):  # nobody reads on, and the files are what counts
            print(f"{where}{out / path.stem}.png: {says}", flush=True)
    if broken:
        raise ValueError(f"{broken} of {len(queries)} pictures were not segmented; the others are in {out}.")
