"""Archives from elsewhere: nothing in them is written outside of the folder that they are extracted to (appendix on data)."""

import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any


def members(path: Path, stage: Path) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Of each member of a tar or zip: its name, where its content lies ("" for what is no file), what extracts it."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as bag:
            for info in bag.infolist():
                plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
                yield info.filename, info.filename if plain else "", partial(bag.extract, info, stage)
        return
    safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # older Pythons have none
    with tarfile.open(path) as tar:
        for member in tar:
            target = member.name if member.isfile() or member.isdir() else member.linkname
            if member.issym():
                target = os.path.join(os.path.dirname(member.name), target)
            member.mode = 0o755 if member.isdir() else 0o644
            yield member.name, target, partial(tar.extract, member, stage, **safely)


def extract(path: Path, stage: Path) -> None:
    """Extract a tar or zip into `stage`. Errors: TarError, BadZipFile, EOFError, zlib.error, RuntimeError or OSError where
    it is broken, TarError for a member that is no file, or would lie or lead outside, whatever Python itself checks."""
    stage = stage.resolve()
    for name, target, take_out in members(path, stage):
        wrong = not target or "\0" in name + target or ".." in re.split(r"[/\\]", name)
        if wrong or not all((stage / place).resolve().is_relative_to(stage) for place in (name, target)):
            raise tarfile.TarError(f"{name!r} in it is no file, or lies outside of the folder")
        take_out()
