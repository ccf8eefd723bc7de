"""PASCAL VOC 2012, SBD and MS COCO 2014 from where their authors keep them (appendix on data).

An archive is first made whole under another name, so that whatever is at its place is finished, and a command
that was stopped goes on with the first byte that is missing.
"""

import contextlib
import http.client
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout
from torchvision.datasets import SBDataset
from torchvision.datasets.utils import check_integrity
from torchvision.datasets.voc import DATASET_YEAR_DICT
from tqdm import tqdm

from .archives import extract

GB = 10**9
SECONDS = 60  # without a byte until a server counts as gone


@dataclass(frozen=True)
class Archive:
    """A file to download and the folder in it that is wanted.

    inside: that folder, moved to `place` under the root. size, content: bytes packed and unpacked, for
    the check of the disk. sign: a file, as a pattern, that the folder has. elsewhere: where a person finds the
    same. others: where an unpacked one may lie already, put there by other programs.
    """

    url: str
    md5: str
    inside: str
    place: str
    size: float
    content: float
    sign: str
    elsewhere: str
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.url.rsplit("/", 1)[-1]


VOC = DATASET_YEAR_DICT["2012"]
COCO = "http://images.cocodataset.org"  # its https certificate is another's
COCO_PAGE = "https://cocodataset.org/#download"
LIST = "ImageSets/Segmentation/val.txt"
ARCHIVES = {
    "voc": (
        Archive(
            VOC["url"], VOC["md5"], VOC["base_dir"], "VOC2012", 2.0 * GB, 2.1 * GB, LIST,
            "https://d2l-data.s3-accelerate.amazonaws.com/VOCtrainval_11-May-2012.tar", (VOC["base_dir"],),
        ),
    ),
    "sbd": (
        Archive(
            SBDataset.url, SBDataset.md5, "benchmark_RELEASE/dataset", "SBD", 1.5 * GB, 1.6 * GB, "train.txt",
            "whoever has it (or SegmentationClassAug/ by https://github.com/kaixin96/PANet, for VOC2012/, instead)",
            ("benchmark_RELEASE/dataset",),
        ),
    ),
    "coco": (
        Archive(
            f"{COCO}/annotations/annotations_trainval2014.zip", "0a379cfc70b0e71301e0f377548639bd",
            "annotations", "annotations", 0.26 * GB, 0.9 * GB, "instances_*.json", COCO_PAGE,
        ),
        Archive(
            f"{COCO}/zips/val2014.zip", "a3d79f5ed8d289b7a7554ce06a5782b3", "val2014", "val2014", 6.7 * GB, 6.7 * GB,
            "*.jpg", COCO_PAGE,
        ),
        Archive(
            f"{COCO}/zips/train2014.zip", "0da8c0bd3d6becc4dcb32757491aca88", "train2014", "train2014",
            13.6 * GB, 13.6 * GB, "*.jpg", COCO_PAGE,
        ),
    ),
}  # fmt: skip


def download(name: str, root: str | Path, keep: bool = False) -> None:
    """Put the data set `name`, a key of ARCHIVES, under `root`; what is there already is left alone.

    keep: do not delete an archive once it is unpacked.
    Errors: OSError where network, disk or another process are in the way, ValueError for an archive that
    is not what it should be. What has come of an archive stays, as NAME.part, and the next call goes on from there.
    """
    root = Path(os.path.expanduser(root))
    missing = []
    for archive in ARCHIVES[name]:
        if there := found(archive, root):
            print(f"{there} is there already.")
        else:
            missing.append(archive)
    if not missing:
        return
    check_space(root, missing, keep)
    with only_one(root):
        for archive in missing:
            unpack(archive, fetch(archive, root), root)
            if not keep:
                (root / archive.name).unlink()
            print(f"{root / archive.place} is ready.", flush=True)


def found(archive: Archive, root: Path) -> Path | None:
    """Where the archive lies unpacked, if it does; folders that are empty go. Errors: ValueError for half of one."""
    whole = None
    for path in (root / place for place in (archive.place, *archive.others)):
        with contextlib.suppress(OSError):  # it is not there, or not empty
            path.rmdir()
        if any(path.glob(archive.sign)):
            whole = whole or path
        elif os.path.lexists(path):
            raise ValueError(
                f"{path} is there, but holds no {archive.sign}: move it away and give the same command again."
            )
    return whole


def check_space(root: Path, archives: list[Archive], keep: bool) -> None:
    """An OSError where the disk has no room for all content and the largest archive to come (keep: for all)."""
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    parts = [(a, root / f"{a.name}.part") for a in archives if not (root / a.name).is_file()]
    coming = [a.size - (part.stat().st_size if part.is_file() else 0) for a, part in parts]
    needed = sum(a.content for a in archives) + (sum(coming) if keep else max(coming, default=0))
    free = shutil.disk_usage(there).free
    if free < needed:
        raise OSError(
            f"{root} needs {needed / GB:.1f} GB to download and unpack, {free / GB:.1f} GB are free: free some "
            "space or choose another folder. Nothing was downloaded."
        )


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[None]:
    """One download into a folder at a time; what it leaves half-done goes, also when it was killed."""
    lock = FileLock(root / ".download.lock")
    new = [path for path in (root, *root.parents) if not path.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OSError(f"Another process is downloading into {root}: let it finish.") from error
    except OSError as error:
        raise OSError(
            f"{root} cannot be written to ({error.strerror or error}): choose another folder."
        ) from error
    try:
        shutil.rmtree(root / ".partial", ignore_errors=True)
        yield
    finally:
        shutil.rmtree(root / ".partial", ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        with contextlib.suppress(OSError):  # it is not empty
            for path in new:
                path.rmdir()  # where nothing has come, nothing stays


def fetch(archive: Archive, root: Path) -> Path:
    """The archive's file under `root`, whole and checked: the one that lies there, or downloaded now."""
    path, part = root / archive.name, root / f"{archive.name}.part"
    if path.is_file():
        print(f"Checking {path}", flush=True)
        if not check_integrity(path, archive.md5):
            raise ValueError(
                f"{path} is not the archive that {archive.url} gives (its MD5 differs): delete it, or finish "
                "its download, and give the same command again."
            )
        return path
    print(f"Downloading {archive.url}", flush=True)
    why: object = "other bytes than its MD5 says"
    try:
        for resumed in (part.is_file(), False):
            receive(archive.url, part)
            if check_integrity(part, archive.md5):
                part.rename(path)
                return path
            part.unlink(missing_ok=True)
            if not resumed:  # otherwise the first part may be to blame: once more, from the beginning
                break
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or error
    came = part.stat().st_size if part.is_file() else 0
    if not came:
        part.unlink(missing_ok=True)
    raise OSError(
        f"{archive.url} did not arrive ({why}; {came / 1e6:,.0f} MB are there): check the network and the disk and "
        "give the same command again, which goes on from what is there. Where the server is gone, get "
        f"{archive.name} by hand from {archive.elsewhere} and put it into {root}."
    )


def receive(url: str, part: Path) -> None:
    """Download into `part`, on from where it ends; anew where the server cannot. Errors: OSError, HTTPException."""
    have = part.stat().st_size if part.is_file() else 0
    asking = {"User-Agent": "panet_lite", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        with urlopen(Request(url, headers=asking), timeout=SECONDS) as answer:
            on = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-") and answer.status == 206
            rest = answer.length
            if not on and rest is not None and rest < have:  # as a hotel's page that wants a password is
                raise ConnectionError("the server sends something else")
            have = have if on else 0
            whole = None if rest is None else have + rest
            bar = tqdm(total=whole, initial=have, unit="B", unit_scale=True)
            with bar, part.open("ab" if on else "wb") as file:
                while some := answer.read(2**18):
                    bar.update(file.write(some))
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # there is no more: its MD5 tells
            raise
    else:
        if whole is not None and part.stat().st_size < whole:
            raise ConnectionError("the connection broke off")


def unpack(archive: Archive, path: Path, root: Path) -> None:
    """Extract an archive beside its place and move the folder that is wanted there."""
    print(f"Unpacking {path}", flush=True)
    stage = root / ".partial"
    again = "delete it and give the same command again."
    try:
        extract(path, stage)
        if any((stage / archive.inside).glob(archive.sign)):
            (stage / archive.inside).rename(root / archive.place)
            return
        why = f"does not hold {archive.inside}/{archive.sign}"
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        why = f"is broken ({(str(error) or type(error).__name__).splitlines()[0]})"
    except OSError as error:
        raise OSError(
            f"{path} could not be unpacked ({error.strerror or error}): free some space; if it is broken, {again}"
        ) from error
    raise ValueError(f"{path} {why}: {again}")
