"""How many small faults in the method its tests notice: `make mutants`.

mutmut makes one small fault after another in one function after another (`+` becomes `-`, an argument None, a text
other letters) and runs the tests that reach it. What they do not notice has survived; mutants.md says why it may.
Properties and what stands outside functions mutmut leaves alone. `python tests/mutants.py [NAME ...]` tries some, where
NAME is mutmut's and may hold `*`. What has been tried is kept in _build/mutants, for the next run to go on; once
everything has been, the next run tries what survived again.
"""

import argparse
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT / "tests" / "places")  # not where this program lies: mutmut runs a copy of the tests
from environments import Place, packages  # noqa: E402

TOOL = Place("mutmut", ("mutmut==3.8.1",))
WORK = ROOT / "_build" / "mutants"
WANTED = 90  # per cent
MOST = 50  # tests for one fault, the quickest of those that reach it: a fault that survives runs them all
HEAD = ("tests/test_properties.py", "tests/test_parity.py")
MASKS = (
    "tests/datasets/test_strange_masks.py",
    "tests/datasets/test_folder.py",
    "tests/datasets/test_datasets.py",
)
# The tests that each module is held to: those of its own, not all that happen to pass through it.
TESTS = {
    "panet_lite.episodes": ("tests/test_episodes.py", "tests/test_bad_input.py", MASKS[0]),
    "panet_lite.prototypes": HEAD,
    "panet_lite.matching": HEAD,
    "panet_lite.alignment": (*HEAD, "tests/evaluation/test_prototype_distance.py"),
    "panet_lite.annotations": ("tests/test_annotations.py",),
    "panet_lite.evaluation.scores": ("tests/evaluation/test_evaluation.py",),
    "panet_lite.datasets.masks": (*MASKS, "tests/test_bad_input.py"),
    "panet_lite.datasets.meaning": MASKS[:2],
}


def module_of(name: str) -> str:
    """`panet_lite.episodes` of `panet_lite.episodes.x_preset_named__mutmut_1`."""
    return name.rpartition(".")[0]


def work() -> None:
    """Go to the folder where mutmut works, made ready; what it mutates is a copy there."""
    (WORK / "mutants").mkdir(parents=True, exist_ok=True)
    for path in (
        WORK / name for name in ("panet_lite", "tests", "pyproject.toml", "mutants/data", "mutants/book")
    ):
        if not path.is_symlink():
            path.symlink_to(ROOT / path.name)
    os.chdir(WORK)
    sys.path.append(str(packages(TOOL)))  # behind the environment, whose own packages come first


def report(kinds: dict[str, str]) -> bool:
    """Print the score of each module, {mutant: what became of it}; whether it is as wanted."""
    counted = {module: Counter[str]() for module in TESTS}
    for name, kind in kinds.items():
        counted[module_of(name)][kind] += 1
    counted["all"] = sum(counted.values(), Counter())
    for module, count in counted.items():
        tried, killed = count.total() - count["not checked"], count["killed"] + count["timeout"]
        share = f"{100 * killed / tried:.1f} %" if tried else "-"
        rest = f"; {count['not checked']} not tried yet" if count["not checked"] else ""
        print(f"{module:30}{killed:5} of {tried:4} noticed, {share}{rest}")
    return 100 * killed >= WANTED * tried


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--sample", type=int, help="so many of each module, the same ones every time")
    options = parser.parse_args()
    work()
    from mutmut import __main__ as mutmut
    from mutmut.stats import status_by_exit_code

    collect = mutmut.collect_or_load_stats

    def only_their_own(*arguments, **more):
        collect(*arguments, **more)
        for module in TESTS if options.sample else ():
            names = sorted(name for _, name, _ in found() if module_of(name) == module)
            drawn = random.Random(0).sample(names, min(options.sample, len(names)))
            options.names += [
                name for _, name, code in found() if name in drawn and code != 1
            ]  # 1: killed already
        lasts = mutmut.state().duration_by_test
        for name, tests in mutmut.state().tests_by_mangled_function_name.items():
            own = sorted((test for test in tests if test.startswith(TESTS[module_of(name)])), key=lasts.get)
            tests.intersection_update(own[:MOST])

    def found():
        """[(data of its file, name, exit code)] of every mutant."""
        return mutmut.collect_source_file_mutation_data(mutant_names=())[0]

    mutmut.collect_or_load_stats = only_their_own
    if not options.names and None not in [code for _, _, code in found()]:
        mutmut._reset_mutant_results(lambda name, code: status_by_exit_code[code] != "killed")
    signal.signal(signal.SIGALRM, signal.default_int_handler)  # time is up: as Ctrl-C, at which mutmut stops
    signal.setitimer(signal.ITIMER_REAL, 60 * options.minutes)
    mutmut._run(options.names, 1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    kinds = {name: status_by_exit_code[code] for _, name, code in found()}
    with open("survivors.diff", "w", encoding="utf-8") as file:
        for data, name, _ in found():
            if kinds[name] not in ("killed", "timeout", "not checked"):
                file.write(f"# {name}: {kinds[name]}\n{mutmut.get_diff_for_mutant(name, path=data.path)}\n")
    good = report(kinds)
    print(f"==> those that nobody noticed: {WORK / 'survivors.diff'}; why they may: tests/mutants.md")
    return not good


if __name__ == "__main__":
    sys.exit(main())
