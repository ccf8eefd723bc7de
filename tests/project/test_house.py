"""The house: imports follow its one way for the data, and its rooms stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import panet_lite

PACKAGE = Path(panet_lite.__file__).parent
# A room imports only from its own group or one to its left (architecture, "One way for the data").
GROUPS = [
    {"files", "machine"},
    {"datasets", "annotations"},
    {"episodes"},
    {"backbones", "prototypes", "matching", "alignment"},
    {"model"},
    {"training", "evaluation", "segmenter"},
    {"figures", "check", "widgets"},
    {"__init__", "commands", "__main__"},
]
LEVEL = {name: level for level, group in enumerate(GROUPS) for name in group}
PURE = {"prototypes", "matching", "alignment"}
# The method itself, which is read in an evening; README names these files.
METHOD = (
    "episodes", "prototypes", "matching", "alignment", "model", "annotations", "training/loop", "training/step",
    "evaluation/scores",
)  # fmt: skip
# Lines, without `check` and `widgets`. They only fall; the package has risen three times: by one's own pictures
# (segmenter, marks, shapes, lite0), by checkpoints that name their network, frozen stages and CVAT's masks, and by what
# comes in from the world (masks, meaning, outlines, archives) and runs that survive it (states, seen, bounds of flags).
BUDGET = {"method": 1_400, "package": 5_792}
FILES = sorted(path for path in PACKAGE.rglob("*.py"))
ROOMS = [path for path in FILES if path.relative_to(PACKAGE).parts[0] not in ("check", "widgets")]


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def room(path):
    """`check/chapter01.py` lies in the room `check`."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path, tree):
    """(rooms of the package, other top-level packages) that a module imports, wherever in the file."""
    ours, others = set(), set()
    package = ["panet_lite", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [stem] if stem != "panet_lite" else [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == "panet_lite":
                ours.add(rest[0] if rest and rest[0] in LEVEL else "__init__")
            else:
                others.add(first)
    return ours - {room(path)}, others


def check_imports(path, tree):
    ours, _ = imported(path, tree)
    return {name for name in ours if LEVEL[name] > LEVEL[room(path)]}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_arrows(path):
    assert room(path) in LEVEL, f"{path.name} has no place in the architecture: give it one here and there"
    assert not check_imports(path, parse(path))


def test_a_wrong_arrow_is_noticed():
    for line in ("from .model import PANet", "from panet_lite.training import train", "import panet_lite.check",
                 "from . import evaluation", "def f():\n    from .figures import legend", "from panet_lite import PANet"):  # fmt: skip
        assert check_imports(PACKAGE / "matching.py", ast.parse(line)), line
    assert not check_imports(PACKAGE / "model.py", ast.parse("from .matching import match\nimport torch"))
    assert check_imports(PACKAGE / "check" / "one.py", ast.parse("from ..__main__ import main"))
    assert not check_imports(
        PACKAGE / "check" / "one.py", ast.parse("from .harness import say\nfrom ..model import PANet")
    )


@pytest.mark.parametrize("name", sorted(PURE))
def test_the_head_is_functions_of_tensors(name):
    """No data set, file, preset or device; torch and each other, nothing else."""
    path = PACKAGE / f"{name}.py"
    tree = parse(path)
    ours, others = imported(path, tree)
    assert ours <= PURE and others == {"torch"}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not used & {"open", "print", "Path", "preset", "dataset", "PRESETS"}
    assert not called & {
        "item",
        "tolist",
        "numpy",
        "cpu",
        "cuda",
        "nonzero",
        "is_cuda",
        "synchronize",
    }  # would wait
    loops = (ast.For, ast.While, ast.AsyncFor)
    assert not any(isinstance(node, loops) for node in ast.walk(tree))


def test_modules_are_short():
    lengths = {
        path.relative_to(PACKAGE).with_suffix("").as_posix(): len(
            path.read_text(encoding="utf-8").splitlines()
        )
        for path in ROOMS
    }
    assert len(lengths) > 10 and set(METHOD) <= set(lengths)
    assert {name: n for name, n in lengths.items() if n > 250} == {}
    assert sum(lengths[name] for name in METHOD) <= BUDGET["method"], (
        "the method should be read in an evening"
    )
    assert sum(lengths.values()) <= BUDGET["package"], "and the rest in another"


def test_the_top_is_a_table_of_contents():
    """What stands there is one of the architecture's rooms; README names the files of the method."""
    top = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert top == set(LEVEL) and len(top) <= 19
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    assert [name for name in METHOD if f"`{name}.py`" not in readme] == []


def circles(graph):
    """What remains of a graph {name: names it needs} when everything that needs nothing is taken away."""
    graph = {name: set(needs) for name, needs in graph.items()}
    while free := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for name in free:
            del graph[name]
    return graph


def modules_imported(path):
    """The package's modules, as paths from it, that a module imports, wherever in the file."""
    here = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = "/".join([*here[: len(here) - node.level + 1], *(node.module or "").split(".")]).strip("/")
            for name in (base, *(f"{base}/{alias.name}".strip("/") for alias in node.names)):
                found = PACKAGE / f"{name}.py" if name else PACKAGE / "__init__.py"
                found = found if found.is_file() else PACKAGE / name / "__init__.py"
                if found.is_file() and found != path:
                    yield found


def test_no_modules_import_each_other():
    assert circles({path: set(modules_imported(path)) for path in FILES}) == {}


def test_a_circle_is_noticed():
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == {}
    assert set(circles({"a": {"b"}, "b": {"a"}, "c": {"a"}, "d": set()})) == {"a", "b", "c"}
    step = PACKAGE / "training" / "step.py"
    assert {path.relative_to(PACKAGE).as_posix() for path in modules_imported(step)} == {
        "episodes.py", "machine.py",
    }  # fmt: skip


def functions(path):
    return [n for n in ast.walk(parse(path)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_functions_are_short(path):
    assert {f.name: n for f in functions(path) if (n := f.end_lineno - f.lineno + 1) > 40} == {}


def ruff(*arguments, **kwargs):
    """What ruff finds about docstrings, by the project's own list of rules."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", *arguments]
    return subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, **kwargs)


def test_what_is_public_says_what_it_is():
    found = ruff("--select", "D1", "--ignore", "D105,D107", "panet_lite")
    assert found.returncode == 0, found.stdout


def test_a_missing_docstring_is_noticed():
    found = ruff(
        "--stdin-filename", "panet_lite/check/one.py", "-", input="class A:\n    def b(self): pass\n"
    )
    assert found.returncode == 1
    assert [rule in found.stdout for rule in ("D100", "D101", "D102")] == [True] * 3, found.stdout


def test_chapters_and_modules_share_a_table_of_contents():
    """Each room of the architecture's table names its chapter."""
    for name, chapter in (("episodes", 1), ("backbones", 2), ("prototypes", 3), ("matching", 4), ("alignment", 5),
                          ("training", 6), ("evaluation", 7), ("annotations", 8)):  # fmt: skip
        path = PACKAGE / name / "__init__.py" if (PACKAGE / name).is_dir() else PACKAGE / f"{name}.py"
        assert f"chapter {chapter}" in " ".join(ast.get_docstring(parse(path)).split()), name
