"""The house: imports follow its one way for the data, and its rooms stay small."""

import ast
from pathlib import Path

import pytest

import panet_lite

PACKAGE = Path(panet_lite.__file__).parent
# A module imports only from its own group or one to its left (architecture, "One way for the data").
GROUPS = [
    {
        "files",
        "pictures",
        "datasets",
        "coco",
        "folders",
        "downloads",
        "disk_bank",
        "image_bank",
        "machine",
        "annotations",
    },
    {"episodes"},
    {"weights", "trunks", "backbones", "prototypes", "matching", "alignment"},
    {"model"},
    {"steps", "training", "evaluation", "feature_bank"},
    {"figures", "check", "widgets"},
    {"__init__", "commands", "__main__"},
]
LEVEL = {name: level for level, group in enumerate(GROUPS) for name in group}
PURE = {"prototypes", "matching", "alignment"}
# What only the paper's data, other backbones and the command line need: beside the book, not in it.
FULL_SCALE = {"coco", "folders", "downloads", "disk_bank", "trunks", "commands", "__main__"}
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
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in ROOMS}
    assert len(lengths) > 10
    assert {name: n for name, n in lengths.items() if n > 250} == {}
    beside = {name: n for name, n in lengths.items() if name.removesuffix(".py") in FULL_SCALE}
    assert len(beside) == len(FULL_SCALE)
    assert sum(lengths.values()) - sum(beside.values()) <= 2600, "the package should be read in an evening"
    assert sum(beside.values()) <= 1100, "and what full scale needs in another hour"


def functions(path):
    return [n for n in ast.walk(parse(path)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_functions_are_short(path):
    assert {f.name: n for f in functions(path) if (n := f.end_lineno - f.lineno + 1) > 40} == {}


def without_docstring(tree):
    """Public functions, classes and methods without one; nested functions and __dunders__ need none."""
    found, todo = [], [("", node) for node in tree.body]
    while todo:
        prefix, node = todo.pop()
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            found.append(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            todo += [(f"{node.name}.", child) for child in node.body]
    return sorted(found)


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: p.name)
def test_what_is_public_says_what_it_is(path):
    tree = parse(path)
    assert ast.get_docstring(tree) and without_docstring(tree) == []


def test_a_missing_docstring_is_noticed():
    tree = ast.parse("class A:\n    'a'\n    def b(self): pass\n    def _c(self): pass\ndef d(): pass")
    assert without_docstring(tree) == ["A.b", "d"]


def test_chapters_and_modules_share_a_table_of_contents():
    """Each module of the architecture's table names its chapter or its place in the paper."""
    for name, chapter in (("episodes", 1), ("backbones", 2), ("prototypes", 3), ("matching", 4), ("alignment", 5),
                          ("training", 6), ("evaluation", 7)):  # fmt: skip
        assert f"chapter {chapter}" in " ".join(ast.get_docstring(parse(PACKAGE / f"{name}.py")).split()), (
            name
        )
