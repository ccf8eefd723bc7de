"""Downloads from a server on this machine: whole or not there, whatever breaks, and never twice."""

import hashlib
import io
import os
import re
import resource
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
from copy import copy
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from filelock import FileLock

from panet_lite.__main__ import main
from panet_lite.datasets import Pascal, downloads
from panet_lite.datasets.downloads import ARCHIVES, Archive


class Server(ThreadingHTTPServer):
    """Serves `files` {path: bytes}, or the rest of one; breaks off, stalls or fails where `moods` {path: mood} says so."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.moods, self.asked, self.sent = {}, {}, [], 0
        self.half_sent, self.go_on = threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, path = self.server, self.path
        server.asked.append(path)
        body, mood = server.files.get(path), server.moods.get(path)
        if body is None or mood == "gone":
            return self.send_error(404)
        first = int(re.findall(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[0])
        if mood == "anew":  # as a server that knows no ranges
            first = 0
        if first and first >= len(body):
            return self.send_error(416)
        server.sent += len(body[first:]) // (2 if mood in ("break", "stall") else 1)
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        body = body[first:]
        if mood != "chunked":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if mood == "stall":
                server.half_sent.set()
                server.go_on.wait(60)
            if mood not in ("break", "stall"):
                self.wfile.write(body[len(body) // 2 :])
        except OSError:  # the one who asked has gone
            pass
        self.close_connection = True


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


def packed(folder, inside, kind="w"):
    """A tar of `folder`, there called `inside`."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=kind) as tar:
        tar.add(folder.resolve(), inside)
    return file.getvalue()


def zipped(name):
    """A zip of one folder with something in it."""
    file, inside = io.BytesIO(), "instances_val2014.json" if name == "annotations" else "a.jpg"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}/{inside}", os.urandom(200_000))
    return file.getvalue()


@pytest.fixture
def sources(server, tiny_voc, monkeypatch):
    """The same data sets in small, from the server."""
    server.files = {
        "/voc.tar": packed(tiny_voc / "VOC2012", "VOCdevkit/VOC2012"),
        "/benchmark.tgz": packed(
            tiny_voc / "VOC2012" / "ImageSets" / "Segmentation", "benchmark_RELEASE/dataset", "w:gz"
        ),
        **{f"/{name}.zip": zipped(name) for name in ("annotations", "val2014", "train2014")},
    }

    def small(archive, path):
        content = server.files[path]
        return replace(
            archive,
            url=server.url + path,
            md5=hashlib.md5(content).hexdigest(),
            size=len(content),
            content=1e6,
        )

    few = {
        "voc": (small(ARCHIVES["voc"][0], "/voc.tar"),),
        "sbd": (small(ARCHIVES["sbd"][0], "/benchmark.tgz"),),
        "coco": tuple(small(a, f"/{a.place}.zip") for a in ARCHIVES["coco"]),
    }
    monkeypatch.setattr(downloads, "ARCHIVES", few)
    return few


@pytest.fixture
def cli(capsys):
    """Runs the command; returns (exit code, lines of stdout, those of stderr without the progress)."""

    def run(what, root, *more):
        code = main(["download", what, "--root", str(root), *more])
        out, err = capsys.readouterr()
        lines = [line for line in err.replace("\r", "\n").splitlines() if line.strip() and "B/s" not in line]
        return code, out.splitlines(), lines

    return run


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_voc_and_sbd_are_put_where_the_reader_looks(sources, server, tmp_path, cli):
    root = tmp_path / "some" / "data"
    code, out, _ = cli("voc", root)
    assert code == 0 and names(root) == ["VOC2012"] and len(Pascal("val", 32, root)) == 60
    assert out[-2:] == [f"{root / 'VOC2012'} is ready.", f"Use it with --dataset pascal --root {root}"]
    assert cli("sbd", root)[0] == 0 and names(root) == ["SBD", "VOC2012"]
    assert (root / "SBD" / "val.txt").is_file()


def test_progress_is_shown(sources, tmp_path, capsys):
    assert main(["download", "voc", "--root", str(tmp_path)]) == 0
    assert "100%" in capsys.readouterr().err


def test_what_is_there_is_not_asked_for(sources, server, tmp_path, cli):
    assert cli("coco", tmp_path)[0] == 0 and names(tmp_path) == ["annotations", "train2014", "val2014"]
    server.asked.clear()
    code, out, _ = cli("coco", tmp_path)
    assert code == 0 and server.asked == [] and sum("is there already." in line for line in out) == 3


def test_what_another_program_unpacked_is_not_asked_for(sources, server, tmp_path, cli):
    for file in ("VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", "benchmark_RELEASE/dataset/train.txt"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    for what in ("voc", "sbd"):
        assert "is there already." in cli(what, tmp_path)[1][0] and server.asked == []


def test_a_server_that_breaks_off_in_the_middle(sources, server, tmp_path, cli):
    """The finished parts stay, the half one too, and the next time only what is missing of it is asked for."""
    server.moods["/train2014.zip"] = "break"
    code, _, err = cli("coco", tmp_path)
    assert code == 1 and names(tmp_path) == ["annotations", "train2014.zip.part", "val2014"]
    assert err == [
        f"panet_lite: {server.url}/train2014.zip did not arrive (the connection broke off; 0 MB are there): check the "
        "network and the disk and give the same command again, which goes on from what is there. Where the server is "
        f"gone, get train2014.zip by hand from https://cocodataset.org/#download and put it into {tmp_path}."
    ]
    half = (tmp_path / "train2014.zip.part").stat().st_size
    assert half == len(server.files["/train2014.zip"]) // 2
    cli("coco", tmp_path)
    three_quarters = (tmp_path / "train2014.zip.part").stat().st_size
    server.moods.clear(), server.asked.clear()
    server.sent = 0
    assert cli("coco", tmp_path)[0] == 0 and server.asked == ["/train2014.zip"]
    assert half < three_quarters and server.sent == len(server.files["/train2014.zip"]) - three_quarters
    assert names(tmp_path) == ["annotations", "train2014", "val2014"]


@pytest.mark.parametrize("mood", ["anew", "chunked", None])
@pytest.mark.parametrize("begun", ["rightly", "wrongly", "wholly", "too far", "nothing"])
def test_whatever_was_begun_and_however_the_server_goes_on(sources, server, tmp_path, cli, mood, begun):
    """A server that knows no ranges, a part of another file, one that only wants to be renamed: all end well."""
    content = server.files["/voc.tar"]
    part = {
        "rightly": content[:7000], "wrongly": b"x" * 7000, "wholly": content, "too far": content + b"x", "nothing": b""
    }[begun]  # fmt: skip
    (tmp_path / "voc.tar.part").write_bytes(part)
    server.moods["/voc.tar"] = mood
    code, _, err = cli("voc", tmp_path)
    if (begun, mood) == ("too far", "anew"):  # a server that sends less than is there may send anything
        assert code == 1 and "the server sends something else" in err[0]
    else:
        assert code == 0 and names(tmp_path) == ["VOC2012"]


def test_a_page_that_comes_instead_does_not_cost_what_was_there(sources, server, tmp_path, cli):
    (tmp_path / "voc.tar.part").write_bytes(server.files["/voc.tar"][:7000])
    right, server.files["/voc.tar"] = server.files["/voc.tar"], b"<html>Welcome to our hotel</html>"
    server.moods["/voc.tar"] = "anew"
    code, _, err = cli("voc", tmp_path)
    assert code == 1 and len(err) == 1 and "did not arrive (the server sends something else; " in err[0]
    server.files["/voc.tar"], server.sent = right, 0
    server.moods.clear()
    assert cli("voc", tmp_path)[0] == 0 and server.sent == len(right) - 7000


@pytest.mark.parametrize("place", ["VOC2012", "VOCdevkit/VOC2012"])
def test_an_empty_folder_is_not_a_data_set(sources, tmp_path, cli, place):
    (tmp_path / place).mkdir(parents=True)
    assert cli("voc", tmp_path)[0] == 0 and len(Pascal("val", 32, tmp_path)) == 60


@pytest.mark.parametrize("what, place, inside, sign", [
    ("voc", "VOC2012", "JPEGImages", "ImageSets/Segmentation/val.txt"), ("sbd", "SBD", "img", "train.txt"),
    ("coco", "train2014", "notes.txt", "*.jpg"), ("voc", "VOCdevkit/VOC2012", "Annotations", "ImageSets/Segmentation/val.txt"),
])  # fmt: skip
def test_half_a_data_set_is_named_and_left_alone(sources, server, tmp_path, cli, what, place, inside, sign):
    (tmp_path / place / inside).mkdir(parents=True)
    assert cli(what, tmp_path)[::2] == (1, [
        f"panet_lite: {tmp_path / place} is there, but holds no {sign}: move it away and give the same command again."
    ])  # fmt: skip
    assert (tmp_path / place / inside).is_dir() and server.asked == []


def member(name, kind=tarfile.REGTYPE, link=""):
    """A member of a tar."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 5 * (kind == tarfile.REGTYPE)
    return info


HOSTILE = {
    "above": [member("../evil.txt")],
    "above, roundabout": [member("VOCdevkit/../../evil.txt")],
    "absolute": [member("{root}/evil.txt")],
    "a link out": [member("VOCdevkit/out", tarfile.SYMTYPE, "../../evil.txt")],
    "an absolute link": [member("VOCdevkit/out", tarfile.SYMTYPE, "{root}/evil.txt")],
    "a hard link out": [member("VOCdevkit/out", tarfile.LNKTYPE, "../mine.txt")],
    "a link to a link": [
        member("a", tarfile.SYMTYPE, "."), member("a/b", tarfile.SYMTYPE, ".."), member("b/evil.txt"),
    ],
    "a pipe": [member("VOCdevkit/pipe", tarfile.FIFOTYPE)],
    "a device": [member("VOCdevkit/null", tarfile.CHRTYPE)],
}  # fmt: skip


def refused(server, sources, monkeypatch, tmp_path, cli, what, content):
    """The command's answer to an archive that is exactly as its publisher's sum says; nothing but it is left."""
    path = {"voc": "/voc.tar", "coco": "/annotations.zip"}[what]
    server.files[path] = content
    first, *rest = sources[what]
    monkeypatch.setitem(
        downloads.ARCHIVES, what, (replace(first, md5=hashlib.md5(content).hexdigest()), *rest)
    )
    (tmp_path / "mine.txt").write_text("mine")
    code, _, err = cli(what, tmp_path / "data")
    assert code == 1 and len(err) == 1 and names(tmp_path) == ["data", "mine.txt"]
    assert names(tmp_path / "data") == [path[1:]] and (tmp_path / "mine.txt").read_text() == "mine"
    return err[0]


@pytest.mark.parametrize("old_python", [False, True])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_tar_that_reaches_out(sources, server, monkeypatch, tmp_path, cli, kind, old_python):
    if old_python:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for info in (member("VOCdevkit/VOC2012/good.txt"), *map(copy, HOSTILE[kind])):
            info.name, info.linkname = (text.format(root=tmp_path) for text in (info.name, info.linkname))
            tar.addfile(info, io.BytesIO(b"evil\n"))
    says = refused(server, sources, monkeypatch, tmp_path, cli, "voc", file.getvalue())
    assert re.search(
        r"voc.tar is broken \('.*' in it is no file, or lies outside of the folder\): delete it", says
    )


@pytest.mark.parametrize("name, mode", [("../evil.txt", 0), ("{root}/evil.txt", 0), ("a/../../evil.txt", 0),
                                        ("..\\evil.txt", 0), ("link", 0o120777), ("pipe", 0o010644)])  # fmt: skip
def test_a_zip_that_reaches_out(sources, server, monkeypatch, tmp_path, cli, name, mode):
    file = io.BytesIO(server.files["/annotations.zip"])
    with zipfile.ZipFile(file, "a") as archive:
        info = zipfile.ZipInfo(name.format(root=tmp_path))
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")
    says = refused(server, sources, monkeypatch, tmp_path, cli, "coco", file.getvalue())
    assert "in it is no file, or lies outside of the folder" in says


def test_links_within_are_no_harm(sources, server, monkeypatch, tmp_path, cli):
    file = io.BytesIO(server.files["/voc.tar"])
    with tarfile.open(fileobj=file, mode="a") as tar:
        tar.addfile(member("VOCdevkit/VOC2012/again", tarfile.SYMTYPE, "ImageSets/Segmentation"))
        tar.addfile(
            member(
                "VOCdevkit/VOC2012/list.txt",
                tarfile.LNKTYPE,
                "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt",
            )
        )
    server.files["/voc.tar"] = file.getvalue()
    md5 = hashlib.md5(file.getvalue()).hexdigest()
    monkeypatch.setitem(downloads.ARCHIVES, "voc", (replace(sources["voc"][0], md5=md5),))
    assert cli("voc", tmp_path)[0] == 0
    assert (tmp_path / "VOC2012/again/val.txt").read_text() == (tmp_path / "VOC2012/list.txt").read_text()


def test_nothing_is_left_where_nothing_came(sources, server, tmp_path, cli):
    server.moods["/voc.tar"] = "gone"
    code, _, err = cli("voc", tmp_path / "new" / "photos")
    assert code == 1 and len(err) == 1 and "/voc.tar did not arrive (Not Found; 0 MB are there)" in err[0]
    assert "by hand from https://d2l-data.s3-accelerate.amazonaws.com/VOCtrainval_11-May-2012.tar" in err[0]
    assert not (tmp_path / "new").exists()


def test_without_a_network(sources, monkeypatch, tmp_path, cli):
    def none(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", none)
    code, _, err = cli("voc", tmp_path / "new")
    assert code == 1 and len(err) == 1 and "Temporary failure in name resolution" in err[0]
    assert not (tmp_path / "new").exists()


def test_a_server_that_never_answers(sources, server, monkeypatch, tmp_path, cli):
    monkeypatch.setattr(downloads, "SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/voc.tar"
        monkeypatch.setitem(downloads.ARCHIVES, "voc", (replace(sources["voc"][0], url=url),))
        code, _, err = cli("voc", tmp_path / "new")
    assert code == 1 and len(err) == 1 and "timed out" in err[0] and not (tmp_path / "new").exists()


def test_other_bytes_than_published(sources, server, tmp_path, cli):
    server.files["/voc.tar"] = server.files["/voc.tar"][::-1]
    code, _, err = cli("voc", tmp_path / "new")
    assert code == 1 and len(err) == 1 and "did not arrive (other bytes than its MD5 says; " in err[0]
    assert not (tmp_path / "new").exists()
    assert cli("voc", tmp_path)[0] == 1 and tmp_path.is_dir()  # a folder of one's own stays


def test_an_archive_that_lies_there_is_used(sources, server, tmp_path, cli):
    (tmp_path / "voc.tar").write_bytes(server.files["/voc.tar"])
    assert cli("voc", tmp_path)[0] == 0 and server.asked == [] and names(tmp_path) == ["VOC2012"]


def test_an_archive_that_lies_there_half_is_named_and_kept(sources, server, tmp_path, cli):
    half = server.files["/voc.tar"][:5000]
    (tmp_path / "voc.tar").write_bytes(half)
    code, _, err = cli("voc", tmp_path)
    assert code == 1 and err == [
        f"panet_lite: {tmp_path / 'voc.tar'} is not the archive that {server.url}/voc.tar gives (its MD5 "
        "differs): delete it, or finish its download, and give the same command again."
    ]
    assert (tmp_path / "voc.tar").read_bytes() == half and server.asked == []


@pytest.mark.parametrize(
    "what, path", [("voc", "/voc.tar"), ("sbd", "/benchmark.tgz"), ("coco", "/annotations.zip")]
)
@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_broken_archive(sources, server, monkeypatch, tmp_path, cli, what, path, share):
    """As broken as its publisher's: the sum is right."""
    content = server.files[path]
    server.files[path] = content[: int(share * len(content))]
    first, *rest = sources[what]
    broken = replace(first, md5=hashlib.md5(server.files[path]).hexdigest())
    monkeypatch.setitem(downloads.ARCHIVES, what, (broken, *rest))
    code, _, err = cli(what, tmp_path)
    assert code == 1 and len(err) == 1 and str(tmp_path / path[1:]) in err[0]
    assert re.search("is broken|does not hold|could not be unpacked", err[0])
    assert names(tmp_path) == [path[1:]]  # to be looked at; what was unpacked of it is gone


def test_an_archive_of_something_else(sources, server, monkeypatch, tmp_path, cli):
    server.files["/voc.tar"] = server.files["/benchmark.tgz"]
    other = replace(sources["voc"][0], md5=sources["sbd"][0].md5, url=f"{server.url}/benchmark.tgz")
    monkeypatch.setitem(downloads.ARCHIVES, "voc", (other,))
    code, _, err = cli("voc", tmp_path)
    assert code == 1 and len(err) == 1 and "does not hold VOCdevkit/VOC2012" in err[0]


def test_the_disk_is_looked_at_before(sources, server, monkeypatch, tmp_path, cli):
    usage = downloads.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage._replace(free=3e6))
    big = tuple(replace(a, content=2e6) for a in sources["coco"])
    monkeypatch.setitem(downloads.ARCHIVES, "coco", big)
    root = tmp_path / "not" / "yet" / "there"
    code, _, err = cli("coco", root)
    assert code == 1 and server.asked == [] and not (tmp_path / "not").exists() and err == [
        f"panet_lite: {root} needs 0.0 GB to download and unpack, 0.0 GB are free: free some space or choose "
        "another folder. Nothing was downloaded."
    ]  # fmt: skip
    for file in ("annotations/instances_val2014.json", "val2014/a.jpg"):  # what is there needs no room
        (root / file).parent.mkdir(parents=True)
        (root / file).touch()
    assert cli("coco", root)[0] == 0


@pytest.mark.parametrize("there, keep, enough", [("", 0, 8e6), ("train2014", 0, 7e6), ("", 1, 10e6),
                                                 ("train2014", 1, 8e6)])  # fmt: skip
def test_archives_need_room_while_they_are_there(sources, monkeypatch, tmp_path, there, keep, enough):
    """Content of 6 MB, and the largest archive still to come beside it; with --keep-archives, all of them."""
    sizes = zip(sources["coco"], (1e6, 1e6, 2e6))
    archives = [replace(archive, content=2e6, size=size) for archive, size in sizes]
    (tmp_path / f"{there}.zip").touch()
    usage = downloads.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage._replace(free=enough))
    downloads.check_space(tmp_path, archives, keep)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage._replace(free=enough - 1))
    with pytest.raises(OSError, match="Nothing was downloaded"):
        downloads.check_space(tmp_path, archives, keep)


def test_the_real_archives_need_what_they_need():
    """COCO unpacked is 21 GB, and the largest archive lies beside it until it is unpacked."""
    needed = {what: sum(a.content for a in x) + max(a.size for a in x) for what, x in ARCHIVES.items()}
    assert 4e9 < needed["voc"] < 5e9 and 2.5e9 < needed["sbd"] < 4e9 and 33e9 < needed["coco"] < 37e9
    for archive in sum(ARCHIVES.values(), ()):
        assert isinstance(archive, Archive) and re.fullmatch("[0-9a-f]{32}", archive.md5)
        assert re.match(r"https?://\S+\.(tar|tgz|zip)$", archive.url)


def test_a_disk_that_is_really_full(sources, server, tmp_path, cli):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        code, _, err = cli("voc", tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (
        code == 1
        and len(err) == 1
        and "File too large" in err[0]
        and names(tmp_path / "new") == ["voc.tar.part"]
    )
    assert cli("voc", tmp_path / "new")[0] == 0 and names(tmp_path / "new") == ["VOC2012"]


def test_an_interruption_leaves_what_came(sources, server, monkeypatch, tmp_path, cli):
    def half(url, part):
        part.write_bytes(server.files["/voc.tar"][:5000])
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(downloads, "receive", half)
        assert cli("voc", tmp_path / "new") == (
            130,
            [f"Downloading {sources['voc'][0].url}"],
            ["panet_lite: Interrupted."],
        )
    assert names(tmp_path / "new") == ["voc.tar.part"]
    assert cli("voc", tmp_path / "new")[0] == 0 and server.sent == len(server.files["/voc.tar"]) - 5000


START = """
import sys
from dataclasses import replace
from panet_lite.datasets import downloads
from panet_lite.__main__ import main
url, md5, root = sys.argv[1:]
voc = replace(downloads.ARCHIVES["voc"][0], url=url, md5=md5, size=0, content=0)
downloads.ARCHIVES["voc"] = (voc,)
main(["download", "voc", "--root", root])
"""


@pytest.mark.slow
def test_one_that_was_killed_is_started_again(sources, server, tmp_path, cli):
    """Nobody could tidy up; the next does, and two at once is one too many."""
    server.moods["/voc.tar"] = "stall"
    voc = sources["voc"][0]
    process = subprocess.Popen(
        [sys.executable, "-c", START, voc.url, voc.md5, str(tmp_path)], stderr=subprocess.PIPE
    )
    try:
        assert server.half_sent.wait(60) and process.poll() is None
        while not list(tmp_path.glob("*.part")):
            assert process.poll() is None
        code, _, err = cli("voc", tmp_path)
        assert code == 1 and err == [
            f"panet_lite: Another process is downloading into {tmp_path}: let it finish."
        ]
    finally:
        process.kill()
        process.communicate()
    assert list(tmp_path.glob("*.part"))
    server.moods.clear()
    assert cli("voc", tmp_path)[0] == 0 and names(tmp_path) == ["VOC2012"]


def test_two_at_once_is_one_too_many(sources, server, tmp_path, cli):
    with FileLock(tmp_path / ".download.lock"):
        code, _, err = cli("voc", tmp_path)
    assert code == 1 and "Another process is downloading" in err[0] and server.asked == []


def test_a_file_where_the_folder_should_be(sources, server, tmp_path, cli):
    (tmp_path / "file").write_text("mine")
    code, _, err = cli("voc", tmp_path / "file")
    assert code == 1 and server.asked == [] and (tmp_path / "file").read_text() == "mine"
    assert err == [
        f"panet_lite: {tmp_path / 'file'} cannot be written to (File exists): choose another folder."
    ]


def test_archives_are_kept_when_asked(sources, server, tmp_path, cli):
    assert cli("voc", tmp_path, "--keep-archives")[0] == 0 and names(tmp_path) == ["VOC2012", "voc.tar"]
    assert (tmp_path / "voc.tar").read_bytes() == server.files["/voc.tar"]


def test_what_there_is_to_download(capsys):
    with pytest.raises(SystemExit):
        main(["download", "imagenet", "--root", "x"])
    assert "invalid choice: 'imagenet' (choose from " in capsys.readouterr().err
