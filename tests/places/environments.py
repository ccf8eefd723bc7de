"""Other environments than this one, made from lists of requirements, and the chapters run in them.

`python tests/places/environments.py oldest|newest|colab [chapter ...]` runs chapters (all of them where none is
named) there and compares what they print, as `make test` does here; options of pytest may follow. "oldest" has the
lowest versions that pyproject.toml allows, "newest" what pip finds today, "colab" what Colab has.
What pip fetches is kept in _build/places, so that only the first time wants a network.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "_build" / "places"
KERNEL = "place"  # under this name Jupyter finds an environment's kernel, once JUPYTER_PATH names its share/jupyter
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUILD = tuple(PYPROJECT["build-system"]["requires"])
RANGES = (*PYPROJECT["project"]["dependencies"], *PYPROJECT["project"]["optional-dependencies"]["coco"])


def floor(text: str) -> str:
    """The requirement with the lowest version that it allows: "torch>=2.10" gives "torch==2.10"."""
    requirement = Requirement(text)
    (lowest,) = (one.version for one in requirement.specifier if one.operator == ">=")
    return f"{requirement.name}=={lowest}"


@dataclass(frozen=True)
class Place:
    """requirements: what pip installs. behind: whether this environment's packages are seen behind those, and
    pip leaves out what they need in turn; else a place has nothing but what pip finds for it."""

    name: str
    requirements: tuple[str, ...]
    behind: bool = False


# Colab's setuptools (75.2) is left out: the torch of the pins wants a newer one. The last three are here because
# pip, which the set-up cell calls, wants the requirements of all that is reached met.
COLAB = Place(
    "colab",
    (
        "traitlets==5.7.1", "ipywidgets==7.7.1", "anywidget==0.9.21", "ipython==7.34.0", "ipython-genutils",
        "ipykernel==6.17.1", "backcall", "pickleshare", "decorator", "jupyter_client==7.4.9", "entrypoints",
        "nest-asyncio", "nbclient==0.10.2", "widgetsnbextension==3.6.10",
    ),
    behind=True,
)  # fmt: skip
OLDEST = Place("oldest", (*map(floor, RANGES), "ipykernel"))
NEWEST = Place("newest", (*RANGES, "ipykernel"))
PLACES = {place.name: place for place in (OLDEST, NEWEST, COLAB)}


def pip(*arguments: str | Path) -> None:
    """This environment's pip; a RuntimeError with its reason where it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")] or [done.stderr]
        raise RuntimeError(f"pip found no network, or not what was asked for: {errors[0].strip()}")


def packages(place: Place) -> Path:
    """The folder with what pip installed for `place`; beside it `wheels`, what building the project needs."""
    told = json.dumps([place.requirements, place.behind, BUILD, sys.version])
    folder = KEPT / place.name / hashlib.sha256(told.encode()).hexdigest()[:16]
    if not (folder / "complete").exists():
        subprocess.run(["rm", "-rf", folder], check=True)
        pip("download", "-q", "--no-deps", "--dest", folder / "wheels", *BUILD)
        alone = ["--no-deps"] if place.behind else []
        pip("install", "-q", *alone, "--target", folder / "packages", *place.requirements)
        (folder / "complete").touch()
    return folder / "packages"


def links(folder: Path) -> Path:
    """A folder with all packages of this environment but the project itself, as links."""
    folder.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "panet_lite" not in entry.name:
            (folder / entry.name).symlink_to(entry)
    return folder


def make(place: Place, folder: Path, **environment: str) -> Path:
    """An environment in the new `folder`, bare of the project; the path that JUPYTER_PATH should name.

    environment: variables for its kernel, beside those that keep it out of the user's home.
    """
    home, prefix = folder / "home", folder / "environment"
    venv.create(prefix, symlinks=True)
    seen = [packages(place)]
    if place.behind:
        seen.append(links(folder / "links"))  # not inside the environment: pip might take its hand to them
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(prefix)}))
    (site / "place.pth").write_text("".join(f"{path}\n" for path in seen))
    kernel = prefix / "share" / "jupyter" / "kernels" / KERNEL
    for new in (home, kernel):
        new.mkdir(parents=True)
    argv = [str(prefix / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    variables = {"HOME": str(home), "PYTHONPATH": "", "PYDEVD_DISABLE_FILE_VALIDATION": "1", **environment}
    spec = {"argv": argv, "display_name": place.name, "language": "python", "env": variables}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    return prefix / "share" / "jupyter"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("place", choices=PLACES)
    parser.add_argument("chapters", nargs="*", type=Path)
    options, more = parser.parse_known_args(arguments)
    chapters = options.chapters or sorted((ROOT / "book").glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            jupyter = make(PLACES[options.place], Path(folder, "place"), PYTHONPATH=str(ROOT))
        except RuntimeError as error:
            print(f"{parser.prog}: {error}", file=sys.stderr)
            return 1
        nbval = ["--nbval", f"--nbval-kernel-name={KERNEL}", "--nbval-cell-timeout=600"]
        nbval += [f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}"]
        command = [sys.executable, "-m", "pytest", *nbval, *more, *map(str, chapters)]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, "JUPYTER_PATH": str(jupyter)}).returncode


if __name__ == "__main__":
    sys.exit(main())
