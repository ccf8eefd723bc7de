"""Files: what killed processes leave is swept, and a cache is believed only where it is what was written."""

import fcntl
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from panet_lite.files import cached, sealed, stamp_of, write_atomically

HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize("name", ["a.json", "state.safetensors", "no suffix", "[odd].x.npz", "+.gz"])
def test_what_killed_processes_left_is_swept(tmp_path, name):
    """Only of the same file, and only what nobody is writing."""
    path = tmp_path / name
    left, held = (tmp_path / f".{path.stem}.{digits}{path.suffix}" for digits in (HEX, HEX[::-1]))
    others = [tmp_path / f"{start}{path.stem}.{HEX[:n]}{end}" for start, n, end in (
        ("", 32, path.suffix), (".", 31, path.suffix), (".other.", 32, path.suffix), (".", 32, path.suffix + "x"),
    )]  # fmt: skip
    for file in (left, held, *others):
        file.write_text("half")
    with held.open() as open_elsewhere:
        fcntl.flock(open_elsewhere, fcntl.LOCK_EX)
        write_atomically(path, lambda file: file.write_text("whole"))
        assert {*tmp_path.iterdir()} == {path, held, *others} and path.read_text() == "whole"
    write_atomically(path, lambda file: file.write_text("whole"))
    assert {*tmp_path.iterdir()} == {path, *others}


def test_no_one_sweeps_what_is_being_written(tmp_path):
    path = tmp_path / "a.txt"

    def slow(temporary):
        temporary.write_text("first")
        write_atomically(path, lambda file: file.write_text("second"))
        assert temporary.read_text() == "first"

    write_atomically(path, slow)
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


KILLED = """
import os, sys, fcntl, types
sys.modules["torch"] = types.ModuleType("torch")
sys.modules["panet_lite"] = package = types.ModuleType("panet_lite")
package.__path__ = [sys.argv[2]]
from panet_lite.files import write_atomically
write_atomically(sys.argv[1], lambda path: path.write_text("half") and os.kill(os.getpid(), 9))
"""


def test_a_process_killed_while_it_writes(tmp_path):
    """It leaves its half, which the next that writes takes away."""
    path, package = tmp_path / "a.txt", os.path.dirname(sys.modules["panet_lite"].__file__)
    assert subprocess.run([sys.executable, "-c", KILLED, str(path), package]).returncode == -9
    assert [file.read_text() for file in tmp_path.iterdir()] == ["half"] and not path.exists()
    write_atomically(path, lambda file: file.write_text("whole"))
    assert [file.read_text() for file in tmp_path.iterdir()] == ["whole"]


@pytest.mark.parametrize("path", ["/", ".", ""])
def test_what_is_no_name_of_a_file(path):
    with pytest.raises(OSError, match="is no name of a file to write"):
        write_atomically(path, lambda file: file.write_text("x"))


# --- caches ------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.txt"
    path.write_text("one")
    return path


def counted(cache, source):
    """What the cache gives for the source's text, and whether it was made now."""
    made = []
    arrays = {"areas": np.arange(6).reshape(2, 3), "names": np.array([source.read_text()])}
    found = cached(cache, [source], lambda: made.append(1) or arrays)
    assert found.keys() == arrays.keys() and all(np.array_equal(found[k], arrays[k]) for k in arrays)
    return bool(made)


def test_other_bytes_of_the_same_size_and_time_are_noticed(tmp_path, source):
    cache = tmp_path / "cache.npz"
    assert counted(cache, source) and not counted(cache, source)
    times = source.stat().st_atime_ns, source.stat().st_mtime_ns
    source.write_text("two")
    os.utime(source, ns=times)
    assert counted(cache, source) and not counted(cache, source)
    (tmp_path / "other").write_text("six")
    os.utime(tmp_path / "other", ns=times)
    os.replace(tmp_path / "other", source)  # as rsync does
    assert source.stat().st_mtime_ns == times[1] and counted(cache, source)


ODD = {
    "lacks one": lambda a: a.pop("areas"), "shape": lambda a: a.update(areas=a["areas"].T.copy()),
    "kind": lambda a: a.update(areas=a["areas"].astype(np.int8)), "numbers": lambda a: a.update(areas=a["areas"] + 1),
    "one more": lambda a: a.update(more=np.zeros(0)), "empty": lambda a: a.update(areas=np.zeros((0, 3), int)),
    "only a stamp": lambda a: [a.pop(name) for name in ("areas", "names")], "no stamp": lambda a: a.pop("stamp"),
    "renamed": lambda a: a.update(areas=a["names"], names=a["areas"]),
}  # fmt: skip


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
@pytest.mark.parametrize("stamp", ["its own", "the files'"])
def test_a_cache_that_holds_something_else_is_made_again(tmp_path, source, change, stamp):
    cache = tmp_path / "cache.npz"
    counted(cache, source)
    with np.load(cache) as file:
        arrays = dict(file)
    if stamp == "the files'":  # as an earlier version wrote it
        arrays["stamp"] = np.array(stamp_of([source]))
    change(arrays)
    np.savez(cache, **arrays)
    assert counted(cache, source) and not counted(cache, source)


def test_every_kind_of_array_can_be_sealed():
    kinds = [
        np.zeros((0, 2)),
        np.array(["a", "bcd"]),
        np.array(3),
        np.zeros((3, 4), order="F"),
        np.array([True]),
    ]
    assert len({sealed("x", {"a": kind}) for kind in kinds}) == len(kinds)
    assert sealed("x", {"a": kinds[3]}) == sealed("x", {"a": kinds[3].copy("C")})


def test_two_machines_on_one_home(tmp_path, source):
    """Their files have one path and different contents: each gets what is its own."""
    cache, disks = tmp_path / "home" / "cache.npz", [tmp_path / "a", tmp_path / "b"]
    for disk, text in zip(disks, ("mine", "yours")):
        disk.mkdir()
        (disk / "source.txt").write_text(text)
    mount = tmp_path / "mount"
    for disk in disks * 2:
        shutil.rmtree(mount, ignore_errors=True)
        shutil.copytree(disk, mount)
        assert counted(cache, mount / "source.txt") and not counted(cache, mount / "source.txt")
