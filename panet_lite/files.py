"""Files that are whole or not there, and what is computed from files, kept until they change."""

import contextlib
import fcntl
import hashlib
import os
import re
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout


def sweep(path: Path) -> None:
    """Remove what killed processes left half-written of a file: no process holds the lock on it any more."""
    ours = re.compile(rf"\.{re.escape(path.stem)}\.[0-9a-f]{{32}}{re.escape(path.suffix)}")
    for name in filter(ours.fullmatch, os.listdir(path.parent)):
        with contextlib.suppress(OSError), path.with_name(name).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.with_name(name).unlink()


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a file beside `path`, then rename it: readers see the old file or the new one.

    Any error leaves the old file as it was, removes what was half-written, and names `path`.
    """
    if not (path := Path(path)).name:
        raise OSError(f"{str(path)!r} is no name of a file to write: name one.")
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        with temporary.open("xb") as held:
            with contextlib.suppress(OSError):  # some file systems have no locks
                fcntl.flock(held, fcntl.LOCK_EX)
            write(temporary)
            os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            f"Could not write {path} ({error.strerror or error}): nothing was changed there. Free some "
            "space or choose a folder you may write to."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(path: Path, patience: float = 3600, busy: str = "") -> Iterator[None]:
    """Wait until no other process is in here with `path`, for `patience` seconds at most.

    Then, or where locks cannot be had, two processes may do the same work: it costs time, nothing else.
    busy: where it costs more, the sentence of the ValueError then; and no file stays behind.
    """
    lock = FileLock(path)
    with contextlib.suppress(OSError, NotImplementedError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=patience)
        except Timeout as error:
            if busy:
                raise ValueError(busy) from error
    try:
        yield
    finally:
        if busy and lock.is_locked:
            path.unlink(missing_ok=True)
        lock.release()


def lines_of(path: Path) -> list[str]:
    """The lines of a list, stripped, without empty ones. Errors: ValueError where it is no text in UTF-8."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # an editor may have put a mark in front
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: save it as such.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def first_there(*paths: Path) -> Path:
    """The first that exists; else the last."""
    return next((path for path in paths if os.path.exists(path)), paths[-1])


def stamp_of(files: Iterable[Path]) -> str:
    """A digest that changes when one of the files is replaced, written to or moved."""
    digest = hashlib.sha256()
    for path in files:
        status = path.stat()
        times = f"{status.st_mtime_ns} {status.st_ctime_ns}"  # the first can be set, the second cannot
        digest.update(os.fsencode(f"{path.resolve()} {status.st_size} {times}\n"))
    return digest.hexdigest()


def sealed(stamp: str, arrays: Mapping[str, np.ndarray]) -> str:
    """A stamp for a file that holds these arrays: it changes with their names, kinds, shapes and bytes."""
    digest = hashlib.sha256(stamp.encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(np.ascontiguousarray(array).data)
        digest.update(f"\n{name} {array.dtype} {array.shape} {crc}".encode())
    return digest.hexdigest()


def cached(
    path: Path, files: Iterable[Path], make: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The arrays that `make` computes from `files`, kept in `path`, an .npz, until one of them changes.

    A cache that is spoilt, or holds other arrays than were written, is made again; one that cannot be written costs
    time, nothing else. Of several processes that want it at once, one makes it and the others wait.
    """
    stamp = stamp_of(files)

    def kept() -> dict[str, np.ndarray] | None:
        with contextlib.suppress(Exception), np.load(path) as file:  # not there, or spoilt in whatever way
            arrays = dict(file)
            seal = str(arrays.pop("stamp"))
            return arrays if seal == sealed(stamp, arrays) else None
        return None

    if (arrays := kept()) is None:
        with alone(path.with_suffix(".lock")):
            if (arrays := kept()) is None:  # another process may have just made them
                arrays = make()
                everything: dict[str, Any] = {**arrays, "stamp": sealed(stamp, arrays)}
                with contextlib.suppress(OSError):
                    write_atomically(path, lambda file: np.savez_compressed(file, **everything))
    return arrays
