"""The place "pip install, outside a checkout": wheel and sdist are built from what git tracks, and used.

The wheel goes into an environment of its own that borrows this one's other packages, but not its editable
install; everything is run from an empty folder. No network is used. About a minute on one idle core.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAME = "panet_lite-0.1.0"
# What belongs to Tabletop-5i besides the programs that made it, and its datasheet.
DATA = re.compile(
    r"data/(checkpoints/([^/]+\.(safetensors|json)|NOTICE|LICENSE)|results/[^/]+\.json"
    r"|tabletop/(baselines\.json|classes\.txt|ImageSets/.+\.txt|JPEGImages/.+\.jpg|Segmentation(Class|Object)/.+\.png))"
)
DIST_INFO = {
    "METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt", "licenses/LICENSE", "licenses/LICENSES.md",
}  # fmt: skip


def clean_environment(**more):
    """The process's environment without what would lead to this checkout."""
    ours = ("PYTHONPATH", "PANET_LITE_DATA", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in ours} | more


def run(*command, **options):
    """The finished process; a failure shows what it printed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def tracked():
    """The names of the files in git's list that are there."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("this is no git repository, so what belongs to it cannot be told")
    return {name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tracked, tmp_path_factory):
    """(sdist, wheel), the wheel made from the sdist, as `python -m build` does and a release has them."""
    home = tmp_path_factory.mktemp("built")
    for name in tracked:
        (home / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, home / "tree" / name)
    run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", home / "dist", home / "tree",
        cwd=home, env=clean_environment(PIP_NO_INDEX="1"),
    )  # fmt: skip
    return SimpleNamespace(
        sdist=home / "dist" / f"{NAME}.tar.gz", wheel=home / "dist" / f"{NAME}-py3-none-any.whl"
    )


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Runs a line in the shell of an environment with the wheel, in an empty folder, with an empty home."""
    home = tmp_path_factory.mktemp("installed")
    venv, empty = home / "venv", home / "empty"
    empty.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--no-deps", "--no-index", built.wheel, env=clean_environment())
    (site,) = venv.glob("lib/python*/site-packages")
    # A path in a .pth file is searched, but the .pth files in it, editable installs, are not read.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def call(line, cwd=empty, **more):
        path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        environment = clean_environment(**{"PATH": path, "HOME": str(home), "MPLBACKEND": "Agg", **more})
        return run("bash", "-c", line, cwd=cwd, env=environment)

    return SimpleNamespace(call=call, package=site / "panet_lite", empty=empty)


def test_the_wheel_holds_code_and_data_and_nothing_else(built, tracked):
    wanted = {name: name for name in tracked if name.startswith("panet_lite/")}
    wanted |= {f"panet_lite/{name}": name for name in tracked if DATA.fullmatch(name)}
    assert len(wanted) > 6000
    with zipfile.ZipFile(built.wheel) as wheel:
        assert {*wanted, *(f"{NAME}.dist-info/{name}" for name in DIST_INFO)} == {*wheel.namelist()}
        assert [
            name for name, source in wanted.items() if wheel.read(name) != (ROOT / source).read_bytes()
        ] == []


def test_the_wheel_says_what_it_is(built):
    with zipfile.ZipFile(built.wheel) as wheel:
        about = Parser().parsestr(wheel.read(f"{NAME}.dist-info/METADATA").decode())
    assert about["License-Expression"] == "MIT AND CC-BY-4.0" and about["Requires-Python"] == ">=3.11"
    assert about.get_all("License-File") == ["LICENSE", "LICENSES.md"]
    assert about.get_payload().startswith("# PANet, hands on")


def test_the_sdist_is_the_repository(built, tracked):
    with tarfile.open(built.sdist) as sdist:
        names = {member.name.removeprefix(f"{NAME}/") for member in sdist if member.isfile()}
    made = {name for name in names if name.startswith("panet_lite.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert names - made == tracked, "MANIFEST.in names what the sdist holds"


MORE = """
from importlib.metadata import version
import panet_lite
from panet_lite.datasets import DATA
from panet_lite.widgets import PaintAndSegment
widget = PaintAndSegment(episode, model)
print(panet_lite.__file__, DATA, version("panet-lite"), len(widget._esm) > 10_000, sep="\\n")
"""


def test_readme_example(installed):
    """And then: what was imported is the wheel, its data lie inside it, a widget finds its script."""
    example, _ = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    (installed.empty / "example.py").write_text(example + MORE)
    said, *more = installed.call("python example.py").stdout.splitlines()
    assert re.fullmatch(r"torch.Size\(\[1, 2, 112\]\) 0.\d\d of the pixels are right", said)
    assert more == [str(installed.package / "__init__.py"), str(installed.package / "data"), "0.1.0", "True"]


def test_readme_commands(installed):
    """As they stand there, but short; what they write lies in the folder they were called from."""
    lines = re.findall(r"^python -m panet_lite [^#\n]*", README, re.M)
    train, evaluate, segment = (line.strip() for line in lines if "--root" not in line)
    there = sorted(path for path in installed.package.rglob("*") if "__pycache__" not in path.parts)
    said = installed.call(f"{train} --iterations 2 --episodes-per-step 1").stdout
    assert "The weights after step 2 are in runs/fold0/checkpoint.safetensors." in said
    said = installed.call(f"{evaluate} --runs 1 --episodes 5").stdout
    assert re.search(r"^1-shot: mean-IoU .*^5-shot: mean-IoU ", said, re.M | re.S)
    (installed.empty / "photos").mkdir()
    for name in ("mug.jpg", "mug.png", "photos/a.jpg"):
        Image.linear_gradient("L").point(lambda value: 255 * (value > 128)).save(installed.empty / name)
    assert re.search(r"^\[1/1\] found/a.png: mug \d", installed.call(segment).stdout)
    now = sorted(path for path in installed.package.rglob("*") if "__pycache__" not in path.parts)
    assert now == there, "something was written beside the package"


@pytest.mark.parametrize("command", ["python -m panet_lite", "panet-lite"])
def test_help(installed, command):
    assert re.search(r"\{train,evaluate,segment,download\}", installed.call(f"{command} --help").stdout)


def test_a_home_that_cannot_be_written_to(installed, tmp_path):
    """Without its caches the package takes longer and says nothing; Matplotlib says where it keeps its own."""
    nowhere = tmp_path / "home"
    nowhere.write_text("a file: no folder can be made in it, whoever tries")
    code = "import panet_lite.figures; from panet_lite.datasets import Tabletop; print(Tabletop())"
    done = installed.call(f"python -c '{code}'", HOME=str(nowhere), XDG_CACHE_HOME=str(nowhere / "cache"))
    assert done.stdout == "Tabletop('val', 640 images, 20 classes)\n"
    assert [line for line in done.stderr.splitlines() if "atplotlib" not in line] == []


def test_the_sdist_can_be_tested(built, installed, tmp_path):
    shutil.unpack_archive(built.sdist, tmp_path, filter="data")
    some = "tests/test_parity.py tests/evaluation/test_prototype_distance.py tests/project/test_project.py tests/project/test_licences.py"
    done = installed.call(f"python -m pytest -q -p no:cacheprovider {some}", cwd=tmp_path / NAME)
    assert re.search(r"^\d\d+ passed in ", done.stdout, re.M), done.stdout
