"""How long does it take to segment photographs of one's own? `panet_lite segment`, from its start to the last file.

Pictures of Tabletop-5i, enlarged to a camera's size, stand for the photographs: one is marked, then one is
searched, then several. Beside it the least that it can take: reading the same files and writing files of the same sizes, by
Pillow alone.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from measuring import load, table
from PIL import Image

from panet_lite.datasets import Tabletop
from panet_lite.machine import circumstances

LEAST = """
import sys
from PIL import Image
*pictures, out = sys.argv[1:]
for number, path in enumerate(pictures):
    picture = Image.open(path).convert("RGB")
    Image.new("P", picture.size).save(f"{out}/{number}.png", compress_level=1)
    picture.thumbnail((1600, 1600))
    picture.save(f"{out}/{number}.jpg", quality=90)
"""


def photographs(folder: Path, count: int, pixels: float) -> tuple[Path, list[Path]]:
    """A mask, and `count` photographs of about so many pixels, of which the first is marked by it."""
    dataset, side = Tabletop("val"), round(pixels**0.5)
    chosen, paths = dataset.images_of(1, least=0.02)[:count], []
    for number, index in enumerate(chosen):
        picture = Image.fromarray(dataset.image(index).permute(1, 2, 0).numpy())
        paths.append(folder / f"photo{number}.jpg")
        picture.resize((side, side), Image.Resampling.BICUBIC).save(paths[-1], quality=92)
    labels = (dataset.label_map(chosen[0]) == 1).byte().numpy() * 255
    Image.fromarray(labels).resize((side, side), Image.Resampling.NEAREST).save(folder / "mask.png")
    return folder / "mask.png", paths


def seconds(command: list[str]) -> list[float]:
    """Seconds on the wall and of the cores that a program takes, from its start to its end."""
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    worked = after.children_user + after.children_system - before.children_user - before.children_system
    return [time.perf_counter() - start, worked]


def measured(place: Path, megapixels: float, further: int, rounds: int) -> list[list]:
    """[what, seconds, CPU seconds], medians: of segmenting, then of the least, each a first photograph and a further one."""
    mask, (marked, *rest) = photographs(place, 2 + further, 1e6 * megapixels)
    times: dict[tuple[str, int], list[list[float]]] = {}
    for number in range(rounds):
        for count in (1, 1 + further):
            pictures, out = [str(path) for path in rest[:count]], place / f"found-{number}-{count}"
            options = ["--support", str(marked), str(mask), "thing", "--query", *pictures, "--out", str(out)]
            for name, command in (
                ("segment", ["-m", "panet_lite", "segment", *options]),
                ("Pillow", ["-c", LEAST, str(marked), *pictures, str(place)]),
            ):
                times.setdefault((name, count), []).append(seconds(command))
            if missing := [path.name for path in rest[:count] if not (out / f"{path.stem}.png").is_file()]:
                raise SystemExit(f"There is no label map of {missing[0]}: nothing was measured.")
    middle = {key: torch.tensor(values).median(0).values for key, values in times.items()}
    rows = []
    for name in ("segment", "Pillow"):
        first, every = middle[name, 1], middle[name, 1 + further]
        rows.append([f"{name}: first photograph", *first.tolist()])
        rows.append([f"{name}: each further one", *((every - first) / further).tolist()])
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--further", type=int, default=5, help="photographs beyond the first")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts")
    parser.add_argument("--out", type=Path, help="a file for the numbers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows = measured(Path(place), args.megapixels, args.further, args.rounds)
    print(table(["", "seconds", "CPU seconds"], rows))
    first, further = (rows[k][1] / rows[k + 2][1] for k in (0, 1))
    print(f"times the least: {first:.1f} for the first photograph, {further:.1f} for each further one")
    if args.out:
        about = {"command": " ".join(["python", *sys.argv]), **circumstances(torch.device("cpu"))}
        names = ("what", "seconds", "cpu_seconds")
        found = {"megapixels": args.megapixels, "rows": [dict(zip(names, row)) for row in rows]}
        args.out.write_text(json.dumps({**about, "load": load(), **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
