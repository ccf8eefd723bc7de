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
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from filelock import FileLock

from panet_lite.__main__ import main
from panet_lite.datasets import Pascal, downloads
from panet_lite.datasets.downloads import ARCHIVES, Archive


class Server(ThreadingHTTPServer):
    """Serves `files` {path: bytes}; breaks off, stalls or fails where `moods` {path: mood} says so."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.moods, self.asked = {}, {}, []
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
        self.send_response(200)
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
        except OSError:  # the one who asked has gone: torchvision's first look at an address does
            pass
        self.close_connection = True


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
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
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}/some.txt", os.urandom(200_000))
    return file.getvalue()


@pytest.fixture
def sources(server, tiny_voc, monkeypatch):
    """The same data sets in small, from the server."""
    server.files = {
        "/voc.tar": packed(tiny_voc / "VOC2012", "VOCdevkit/VOC2012"),
        "/benchmark.tgz": packed(tiny_voc / "VOC2012" / "ImageSets", "benchmark_RELEASE/dataset", "w:gz"),
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
    assert (root / "SBD" / "Segmentation" / "val.txt").is_file()


def test_progress_is_shown(sources, tmp_path, capsys):
    assert main(["download", "voc", "--root", str(tmp_path)]) == 0
    assert "100%" in capsys.readouterr().err


def test_what_is_there_is_not_asked_for(sources, server, tmp_path, cli):
    assert cli("coco", tmp_path)[0] == 0 and names(tmp_path) == ["annotations", "train2014", "val2014"]
    server.asked.clear()
    code, out, _ = cli("coco", tmp_path)
    assert code == 0 and server.asked == [] and sum("is there already." in line for line in out) == 3


def test_what_another_program_unpacked_is_not_asked_for(sources, server, tmp_path, cli):
    for folder in ("VOCdevkit/VOC2012", "benchmark_RELEASE/dataset"):
        (tmp_path / folder).mkdir(parents=True)
    for what in ("voc", "sbd"):
        assert "is there already." in cli(what, tmp_path)[1][0] and server.asked == []


def test_a_server_that_breaks_off_in_the_middle(sources, server, tmp_path, cli):
    """The finished parts stay, the half one goes, and the next time only it is asked for."""
    server.moods["/train2014.zip"] = "break"
    code, _, err = cli("coco", tmp_path)
    assert code == 1 and names(tmp_path) == ["annotations", "val2014"]
    assert len(err) == 1 and re.match(
        rf"panet_lite: {server.url}/train2014.zip did not arrive \(.*; 0 MB came\): check the network and the "
        "disk and give the same command again. What was finished is kept.",
        err[0],
    )
    server.moods.clear(), server.asked.clear()
    assert cli("coco", tmp_path)[0] == 0 and set(server.asked) == {"/train2014.zip"}
    assert names(tmp_path) == ["annotations", "train2014", "val2014"]


@pytest.mark.parametrize("mood", ["break", "gone"])
def test_nothing_is_left_where_nothing_came(sources, server, tmp_path, cli, mood):
    server.moods["/voc.tar"] = mood
    code, _, err = cli("voc", tmp_path / "new" / "photos")
    assert code == 1 and len(err) == 1 and "/voc.tar did not arrive (" in err[0]
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
    assert socket.getdefaulttimeout() is None


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
    for place in ("annotations", "val2014"):  # what is there needs no room
        (root / place).mkdir(parents=True)
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
    assert code == 1 and len(err) == 1 and "File too large" in err[0] and not (tmp_path / "new").exists()


def test_an_interruption_leaves_nothing(sources, monkeypatch, tmp_path, cli):
    def half(url, folder, name, md5):
        os.makedirs(folder)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "download_url", half)
    assert cli("voc", tmp_path / "new") == (
        130,
        [f"Downloading {sources['voc'][0].url}"],
        ["panet_lite: Interrupted."],
    )
    assert not (tmp_path / "new").exists()


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
        while not list(tmp_path.glob(".partial/*")):
            assert process.poll() is None
        code, _, err = cli("voc", tmp_path)
        assert code == 1 and err == [
            f"panet_lite: Another process is downloading into {tmp_path}: let it finish."
        ]
    finally:
        process.kill()
        process.communicate()
    assert list(tmp_path.glob(".partial/*"))
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
