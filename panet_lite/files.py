"""Files that are whole or not there, and what is computed from files, kept until they change."""

import contextlib
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a file beside `path`, then rename it: readers see the old file or the new one.

    Any error leaves the old file as it was, removes what was half-written, and names `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
def alone(path: Path, patience: float = 3600) -> Iterator[None]:
    """Wait until no other process is in here with `path`, for `patience` seconds at most.

    Where locks cannot be had, two processes may do the same work: it costs time, nothing else.
    """
    lock = FileLock(path)
    with contextlib.suppress(OSError, NotImplementedError):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience)
    try:
        yield
    finally:
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
    return next((path for path in paths if path.exists()), paths[-1])


def stamp_of(files: Iterable[Path]) -> str:
    """A digest that changes when one of the files is replaced, written to or moved."""
    digest = hashlib.sha256()
    for path in files:
        status = path.stat()
        digest.update(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def cached(
    path: Path, files: Iterable[Path], make: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The arrays that `make` computes from `files`, kept in `path`, an .npz, until one of them changes.

    A cache that is spoilt is made again; one that cannot be written costs time, nothing else. Of several
    processes that want it at once, one makes it and the others wait.
    """
    stamp = stamp_of(files)

    def kept() -> dict[str, np.ndarray] | None:
        with contextlib.suppress(Exception), np.load(path) as file:  # not there, or spoilt in whatever way
            return dict(file) if str(file["stamp"]) == stamp else None
        return None

    if (arrays := kept()) is None:
        with alone(path.with_suffix(".lock")):
            if (arrays := kept()) is None:  # another process may have just made them
                arrays = make()
                everything: dict[str, Any] = {**arrays, "stamp": stamp}
                with contextlib.suppress(OSError):
                    write_atomically(path, lambda file: np.savez_compressed(file, **everything))
    return arrays
