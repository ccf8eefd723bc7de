"""All that is to be measured on a GPU, as one command: `make gpu`, or

    python benchmarks/gpu.py --out FOLDER [--official PATH] [--wheels FOLDER]

Five parts, each a process of its own, so that one that fails does not take the others along: the tests marked
`cuda`; head, training step and peak memory against the paper taken literally; some hundred steps of the paper's
recipe end to end, with and without a CUDA graph; the evaluation of a fold. FOLDER/gpu.json tells after each part
what was found, with the card's name. What it needs beside torch: what `pip install panet-lite` brings; on a machine
without a network, pure Python wheels in the folder that --wheels names will do, as they lie there.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


def commands(args: argparse.Namespace) -> dict[str, list[str]]:
    """The parts: what `python` is to run for each."""
    network = [
        "--size",
        str(args.size),
        "--width",
        str(args.width),
        "--weights",
        "random",
        "--device",
        args.device,
    ]
    training = [
        "-m",
        "panet_lite",
        "train",
        *network,
        "--recipe",
        "paper",
        "--iterations",
        str(args.iterations),
    ]
    official = ["--official", args.official] if args.official else []
    return {
        "tests": ["-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", "tests", "--ignore=tests/places"],
        "literal": [
            "benchmarks/versus_literal.py", "--device", args.device, "--size", str(args.size), "--memory", *official,
            "--shapes", *args.shapes, "--out", str(args.out / "versus-literal.json"),
        ],
        "training": [*training, "--out", str(args.out / "training")],
        "training, graph": [*training, "--cuda-graph", "--out", str(args.out / "training-graph")],
        "evaluation": [
            "-m", "panet_lite", "evaluate", *network, "--runs", str(args.runs), "--episodes", str(args.episodes),
            "--out", str(args.out / "evaluation.json"),
        ],
    }  # fmt: skip


def run(command: list[str], environment: dict[str, str], seconds: float) -> dict:
    """What came of a command: seconds, exit status (None: it took too long) and the end of what it said."""
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, timeout=max(1, seconds), text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        status, said = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        status, said = None, (error.stdout or b"").decode(errors="replace")
    told = {"command": " ".join(["python", *command]), "status": status, "said": said[-3000:].splitlines()}
    return {"seconds": round(time.perf_counter() - start, 2), **told}


def steps_a_second(folder: Path) -> float | None:
    """From the log of a training, without its first entry, in which libraries set themselves up."""
    path = folder / "log.json"
    log = json.loads(path.read_text())["log"] if path.is_file() else []
    return (
        (log[-1]["step"] - log[0]["step"]) / (log[-1]["seconds"] - log[0]["seconds"])
        if len(log) > 1
        else None
    )


def arguments() -> argparse.ArgumentParser:
    """The options; the defaults are what one wants to know of a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gpu", help="folder for what is found")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--official", metavar="PATH", help="a copy of the authors' repository")
    parser.add_argument(
        "--wheels", type=Path, metavar="FOLDER", help="pure Python wheels of what is not installed"
    )
    parser.add_argument(
        "--limit", type=float, default=360, help="seconds for all parts together (default: 360)"
    )
    parser.add_argument("--size", type=int, default=417)
    parser.add_argument("--width", type=float, default=1.0, help="of VGG-16's layers")
    parser.add_argument("--shapes", nargs="+", default=["1x1", "1x5", "2x1", "2x5"], help="ways x shots")
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=1000)
    return parser


def main() -> int:
    """Run the parts; 1 where one of them failed."""
    args = arguments().parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print(
            "There is no CUDA device here: try the program by --device cpu and small sizes.", file=sys.stderr
        )
        return 1
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    wheels = map(str, sorted(args.wheels.resolve().glob("*.whl"))) if args.wheels else ()
    paths = [str(ROOT), *wheels, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    card = torch.cuda.get_device_name() if args.device.startswith("cuda") else args.device
    found: dict = {
        "card": card,
        "torch": torch.__version__,
        "size": args.size,
        "width": args.width,
        "parts": {},
    }
    end = time.perf_counter() + args.limit
    for name, command in commands(args).items():
        print(f"==> {name}", flush=True)
        found["parts"][name] = run(command, environment, end - time.perf_counter())
        for key in ("training", "training-graph"):
            found[f"{key}, steps a second"] = steps_a_second(args.out / key)
        (args.out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
        print("\n".join(found["parts"][name]["said"][-5:]), flush=True)
    return int(any(part["status"] != 0 for part in found["parts"].values()))


if __name__ == "__main__":
    sys.exit(main())
