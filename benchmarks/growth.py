"""How does the cost grow, with episodes, shots, ways and the side of the images? Chapter 11 quotes it.

The package against the paper taken literally, on a CPU or GPU: the evaluation of a fold of Tabletop-5i (its
narrow twin, decoding and embedding included), the head (512 channels, forward and backward) and a training
step of the narrow twin. Writes data/results/growth.json; takes some minutes.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import literal
import torch
from measuring import alternately, load
from tqdm.auto import tqdm
from versus_literal import Step, draw_episode, heads

from panet_lite import EpisodeSampler, PANet, pretrained
from panet_lite.datasets import SegmentationDataset, Tabletop
from panet_lite.evaluation import evaluate
from panet_lite.machine import circumstances, device_named

OUT = Path(__file__).parents[1] / "data" / "results" / "growth.json"
EPISODES = {"panet_lite": (1, 10, 100, 1000, 5000), "literal": (1, 10, 100)}  # the loop's are all alike
SHOTS, WAYS, SIDES = (1, 2, 3, 5, 10), (1, 2, 3, 5), (97, 193, 289, 417)
BASE = {"shots": 1, "ways": 1, "side": 193}  # of the step; the head is the paper's, at 417


def literal_evaluation(model: PANet, dataset: SegmentationDataset, episodes: int) -> None:
    """Decode, embed and score episode after episode."""
    sampler = EpisodeSampler(dataset, dataset.fold(0))
    with torch.inference_mode():
        for index in range(episodes):
            episode = sampler.episode(index).to(next(model.parameters()).device)
            literal.predict(model.features(episode), episode)


def evaluations(device: torch.device, numbers: dict[str, tuple[int, ...]]) -> Iterator[tuple[dict, dict]]:
    """What varies, and the works to be timed: the whole evaluation by its episodes."""
    dataset, model = Tabletop("val"), pretrained(0).to(device)
    for episodes in sorted({n for some in numbers.values() for n in some}):
        works = {
            "literal": lambda n=episodes: literal_evaluation(model, dataset, n),
            "panet_lite": lambda n=episodes: evaluate(model, dataset, 0, runs=1, episodes=n),
        }
        yield (
            {"part": "evaluation", "varies": "episodes", "value": episodes},
            {name: work for name, work in works.items() if episodes in numbers[name]},
        )


def shapes(device: torch.device, part: str, base: dict) -> Iterator[tuple[dict, dict[str, Callable]]]:
    """The same for head or step, by shots, by ways and by the side of the images."""
    for varies, values in (("shots", SHOTS), ("ways", WAYS), ("side", SIDES)):
        for value in values:
            shape = base | {varies: value}
            episode = draw_episode(shape["ways"], shape["shots"], shape["side"], device)
            names = ("literal", "panet_lite")
            works = (
                heads(part, episode) if part == "head" else {n: Step(n, episode, width=0.25) for n in names}
            )
            yield {"part": part, "varies": varies, "value": value}, works


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    device, rows = device_named(args.device), []
    step, head = shapes(device, "step", BASE), shapes(device, "head", BASE | {"side": 417})
    cases = itertools.chain(evaluations(device, EPISODES), step, head)  # one at a time: they take memory
    about = {"command": " ".join(["python", *sys.argv]), **circumstances(device), "device": device.type}
    for case, works in tqdm(cases, leave=False, disable=None):
        _, seconds = alternately(works, args.rounds, warm_up=int(case["part"] != "evaluation"))
        for name, (wall, cpu) in seconds.items():
            rows.append(
                {**case, "implementation": name, "seconds": round(wall, 6), "cpu_seconds": round(cpu, 6)}
            )
        args.out.write_text(json.dumps({**about, "load": load(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
