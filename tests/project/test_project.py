"""The files around the package agree with each other: versions, dependencies, commands, claims."""

import contextlib
import re
import stat
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from PIL import Image
from pybtex.database import parse_file

from panet_lite.__main__ import arguments

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [
    line.strip()
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.lstrip().startswith("#")
]
PINS = {canonicalize_name(r.name): r for r in map(Requirement, LINES)}
TARGETS = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
EXTRAS = [text for texts in PROJECT["optional-dependencies"].values() for text in texts]


def pinned(requirement):
    """The one version that requirements.txt names."""
    (exact,) = PINS[canonicalize_name(requirement.name)].specifier
    assert exact.operator == "==" and "*" not in exact.version
    return exact.version


def test_a_wheel_has_every_package():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = set(tomllib.loads(text)["tool"]["setuptools"]["packages"]) - {"panet_lite.data"}
    folders = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "panet_lite").rglob("__init__.py")}
    assert named == folders


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
    assert commands == ["make book", "make test COVERAGE=--cov", "make places"]
    assert script.stat().st_mode & stat.S_IXUSR
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^make book\b.*\nmake test\b", readme, re.M)


def test_makefile_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    assert TARGETS == set(phony) - {"environment", "chapters"}


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# Actions of GitHub's own, with their major version; anything else would run with this repository's rights.
ACTION = re.compile(r"actions/[a-z-]+@v\d+")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_only_call_make(path):
    """What they do can be done by hand; `gh` hands a release's files in."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"]["contents"] == ("write" if path.stem == "release" else "read")
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 180
        for step in job["steps"]:
            if "uses" in step:
                assert ACTION.fullmatch(step["uses"])
            else:
                program, target, *_ = step["run"].split()
                assert (program == "make" and target in TARGETS) or step["run"].startswith(
                    "gh release create "
                )


def test_workflows_are_those_that_the_book_needs():
    assert {path.stem for path in WORKFLOWS} == {"test", "book", "weekly", "release"}


def test_readme_examples_run(tmp_path, monkeypatch, capsys):
    """As they stand there; the second on pictures that lie where it is called."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    package, own = re.findall(r"^```python\n(.*?)^```", readme, re.M | re.S)
    assert len(package.splitlines()) <= 12
    exec(compile(package, "README.md", "exec"), {})
    for name in ("mug", "one", "another"):
        Image.effect_noise((640, 600), 80).save(tmp_path / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(own, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("torch.Size([600, 640]) {'mug': 0.") == 2


def test_readme_commands_are_ones():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python -m panet_lite (.*?)(?: *#.*)?$", readme, re.M)
    assert {line.split()[0] for line in commands} == {"download", "train", "evaluate", "segment"}
    for line in commands:
        assert arguments().parse_args(line.split()).command == line.split()[0]


def test_config_names_one_branch_and_the_books_folder():
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert settings["repository"]["path_to_book"] == "book"
    assert settings["launch_buttons"]["colab_url"].startswith("https://colab.")
    assert settings["execute"]["execute_notebooks"] == "cache"
    assert settings["sphinx"]["config"]["nb_execution_raise_on_error"] is True


def environments():
    """What a marker may see: the systems and versions that are supported."""
    for system, platform in (("Linux", "linux"), ("Darwin", "darwin")):
        for minor in (11, 12, 13):
            yield {
                "platform_system": system,
                "sys_platform": platform,
                "python_version": f"3.{minor}",
                "python_full_version": f"3.{minor}.0",
            }


def asked_for(requirement, extras=("",)):
    """Whether a requirement holds on one of the supported systems, given the extras of who has it."""
    marker = requirement.marker
    return not marker or any(marker.evaluate({**e, "extra": x}) for e in environments() for x in extras)


def needed(texts):
    """The names of all that these requirements lead to, as the installed packages tell."""
    todo, seen = [Requirement(text) for text in texts], set()
    while todo:
        requirement = todo.pop()
        name, extras = canonicalize_name(requirement.name), ("", *requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        with contextlib.suppress(PackageNotFoundError):  # for another system or version of Python
            todo += [r for r in map(Requirement, requires(name) or []) if asked_for(r, extras)]
    return {name for name, _ in seen}


def test_no_pin_is_dead():
    """Each is asked for by pyproject.toml, or by what is asked for there; einops once was not."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert set(PINS) - needed([*PROJECT["dependencies"], *EXTRAS, *build]) == set()
    assert "pytest" not in needed(PROJECT["dependencies"]) and "sympy" in needed(PROJECT["dependencies"])


def test_floors():
    """What must not be installed: a loader of weights with a hole, a SciPy that was withdrawn."""
    ranges = {canonicalize_name(r.name): r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    assert ranges["torch"].contains("2.10.0") and not ranges["torch"].contains("2.9.1")  # CVE-2026-24747
    assert ranges["scipy"].contains("1.11.1") and not ranges["scipy"].contains("1.11.0")
    assert ranges["traitlets"].contains("5.7.1")  # Colab has loaded an old one already
    python = SpecifierSet(PROJECT["requires-python"])
    assert python.contains("3.11") and not python.contains("3.10.14")
    known = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)}
    assert known == {"3.11", "3.12", "3.13"} and all(map(python.contains, known))


def test_links_of_the_package_lead_to_the_repository():
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
    urls = PROJECT["urls"]
    assert urls["Repository"] == settings["url"] and urls["Issues"] == f"{settings['url']}/issues"
    assert urls["Changelog"] == f"{settings['url']}/blob/{settings['branch']}/CHANGELOG.md"


def test_citation():
    """The fields that CFF 1.2.0 asks for, and the paper as the book's list of works has it."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["cff-version"], citation["type"], citation["license"]) == ("1.2.0", "software", "MIT")
    assert citation["message"] and citation["title"] and citation["authors"] == PROJECT["authors"]
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    released = re.search(r"^## \[0\.1\.0\] - (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)[1]
    assert released in ("unreleased", str(citation["date-released"]))
    (paper,) = citation["references"]
    bib = parse_file(ROOT / "book" / "references.bib").entries["wang2019panet"]
    names = [f"{person['family-names']}, {person['given-names']}" for person in paper["authors"]]
    assert names == [str(person) for person in bib.persons["author"]]
    assert paper["title"] == re.sub("[{}]", "", bib.fields["title"]) and paper["doi"] == bib.fields["doi"]
    assert (
        f"{paper['start']}--{paper['end']}" == bib.fields["pages"]
        and str(paper["year"]) == bib.fields["year"]
    )
