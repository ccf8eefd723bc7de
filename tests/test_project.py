"""The files around the package agree with each other: versions, dependencies, commands, claims."""

import re
import stat
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from panet_lite.__main__ import arguments

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [
    line.strip()
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.lstrip().startswith("#")
]
PINS = {canonicalize_name(r.name): r for r in map(Requirement, LINES)}
EXTRAS = [text for texts in PROJECT["optional-dependencies"].values() for text in texts]


def pinned(requirement):
    """The one version that requirements.txt names."""
    (exact,) = PINS[canonicalize_name(requirement.name)].specifier
    assert exact.operator == "==" and "*" not in exact.version
    return exact.version


@pytest.mark.parametrize("text", [*PROJECT["dependencies"], *EXTRAS])
def test_every_dependency_is_pinned_within_its_range(text):
    requirement = Requirement(text)
    assert requirement.specifier.contains(pinned(requirement))


def test_requirements_are_exact_versions_and_nothing_else():
    assert len(PINS) == len(LINES)
    for line in LINES:
        pinned(Requirement(line))
        assert "://" not in line and " @ " not in line and not line.startswith("-")


def test_requirements_leave_out_what_is_for_one_platform_only():
    assert not [name for name in PINS if re.match(r"(nvidia|cuda|triton|panet)", name)]


def test_conda_environment_installs_the_same_set():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    (python,) = [entry for entry in conda if entry.startswith("python=")]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.split("=")[1])
    assert "pip" in conda
    assert pip == {"pip": ["-r requirements.txt", "-e ."]}
    assert (ROOT / "requirements.txt").is_file()


def test_version_is_the_same_everywhere():
    import panet_lite

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == citation["version"] == panet_lite.__version__ == version("panet-lite")
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_readme_and_continuous_integration_run_the_same_two_commands():
    script = ROOT / ".ci" / "run"
    commands = [line for line in script.read_text(encoding="utf-8").splitlines() if line.startswith("make ")]
    assert commands == ["make book", "make test"]
    assert script.stat().st_mode & stat.S_IXUSR
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^make book\b.*\nmake test\b", readme, re.M)


def test_makefile_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([a-z]+):.*## ", makefile, re.M))
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    assert listed == set(phony) - {"FORCE"}


def test_readme_example_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", readme, re.M | re.S)
    assert len(example.splitlines()) <= 12
    exec(compile(example, "README.md", "exec"), {})


def test_readme_commands_are_ones():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python -m panet_lite (.*?)(?: *#.*)?$", readme, re.M)
    assert {line.split()[0] for line in commands} == {"download", "train", "evaluate"}
    for line in commands:
        assert arguments().parse_args(line.split()).command == line.split()[0]


def test_config_names_one_branch_and_the_books_folder():
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert settings["repository"]["path_to_book"] == "book"
    assert settings["launch_buttons"]["colab_url"].startswith("https://colab.")
    assert settings["execute"]["execute_notebooks"] == "cache"
    assert settings["sphinx"]["config"]["nb_execution_raise_on_error"] is True
