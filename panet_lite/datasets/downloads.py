"""PASCAL VOC 2012, SBD and MS COCO 2014 from where their authors keep them (appendix on data).

torchvision downloads, checks and extracts; here an archive is first made whole under another name, so
that whatever is at its place is finished, and a command that was stopped goes on with what is missing.
"""

import contextlib
import http.client
import shutil
import socket
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from torchvision.datasets import SBDataset
from torchvision.datasets.utils import check_integrity, download_url, extract_archive
from torchvision.datasets.voc import DATASET_YEAR_DICT

GB = 10**9
SECONDS = 60  # without a byte until a server counts as gone


@dataclass(frozen=True)
class Archive:
    """A file to download and the folder in it that is wanted.

    inside: that folder, moved to `place` under the root. size, content: bytes packed and unpacked, for
    the check of the disk. others: where an unpacked one may lie already, put there by other programs.
    """

    url: str
    md5: str
    inside: str
    place: str
    size: float
    content: float
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.url.rsplit("/", 1)[-1]


VOC = DATASET_YEAR_DICT["2012"]
COCO = "http://images.cocodataset.org"  # its https certificate is another's
ARCHIVES = {
    "voc": (
        Archive(VOC["url"], VOC["md5"], VOC["base_dir"], "VOC2012", 2.0 * GB, 2.1 * GB, (VOC["base_dir"],)),
    ),
    "sbd": (
        Archive(
            SBDataset.url, SBDataset.md5, "benchmark_RELEASE/dataset", "SBD", 1.5 * GB, 1.6 * GB,
            ("benchmark_RELEASE/dataset",),
        ),
    ),
    "coco": (
        Archive(
            f"{COCO}/annotations/annotations_trainval2014.zip", "0a379cfc70b0e71301e0f377548639bd",
            "annotations", "annotations", 0.26 * GB, 0.9 * GB,
        ),
        Archive(
            f"{COCO}/zips/val2014.zip", "a3d79f5ed8d289b7a7554ce06a5782b3", "val2014", "val2014", 6.7 * GB, 6.7 * GB
        ),
        Archive(
            f"{COCO}/zips/train2014.zip", "0da8c0bd3d6becc4dcb32757491aca88", "train2014", "train2014",
            13.6 * GB, 13.6 * GB,
        ),
    ),
}  # fmt: skip


def download(name: str, root: str | Path, keep: bool = False) -> None:
    """Put the data set `name`, a key of ARCHIVES, under `root`; what is there already is left alone.

    keep: do not delete an archive once it is unpacked.
    Errors: OSError where network, disk or another process are in the way, ValueError for an archive that
    is not what it should be; nothing half-written is left behind.
    """
    root = Path(root).expanduser()
    missing = []
    for archive in ARCHIVES[name]:
        places = [root / place for place in (archive.place, *archive.others)]
        if there := next((path for path in places if path.is_dir()), None):
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


def check_space(root: Path, archives: list[Archive], keep: bool) -> None:
    """An OSError where the disk has no room for all content and the largest archive to come (keep: for all)."""
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    coming = [a.size for a in archives if not (root / a.name).is_file()]
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
    path, partial = root / archive.name, root / ".partial"
    if path.is_file():
        print(f"Checking {path}", flush=True)
        if not check_integrity(path, archive.md5):
            raise ValueError(
                f"{path} is not the archive that {archive.url} gives (its MD5 differs): delete it, or finish "
                "its download, and give the same command again."
            )
        return path
    print(f"Downloading {archive.url}", flush=True)
    waited = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        download_url(archive.url, str(partial), archive.name, archive.md5)
        (partial / archive.name).rename(path)
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        wrong = isinstance(error, RuntimeError)  # torchvision's word for it
        why = "other bytes than its MD5 says" if wrong else getattr(error, "reason", error)
        came = sum(file.stat().st_size for file in partial.glob("*"))
        raise OSError(
            f"{archive.url} did not arrive ({why}; {came / 1e6:,.0f} MB came): check the network and the disk "
            "and give the same command again. What was finished is kept."
        ) from error
    finally:
        socket.setdefaulttimeout(waited)
    return path


def unpack(archive: Archive, path: Path, root: Path) -> None:
    """Extract an archive beside its place and move the folder that is wanted there."""
    print(f"Unpacking {path}", flush=True)
    stage = root / ".partial"
    again = "delete it and give the same command again."
    try:
        extract_archive(str(path), str(stage))
        if (stage / archive.inside).is_dir():
            (stage / archive.inside).rename(root / archive.place)
            return
        why = f"does not hold {archive.inside}"
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        why = f"is broken ({(str(error) or type(error).__name__).splitlines()[0]})"
    except OSError as error:
        raise OSError(
            f"{path} could not be unpacked ({error.strerror or error}): free some space; if it is broken, {again}"
        ) from error
    raise ValueError(f"{path} {why}: {again}")
