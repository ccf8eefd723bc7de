"""Fuzz: the command line, with odd flags and odd files, in this process; it ends with 0, 1 or 2, and with words."""

import io
import json
import os

import numpy as np
import pytest
from fuzzing import fuzz, run_command
from hostile import as_json, entries, files, folder, names, put
from hypothesis import strategies as st
from PIL import Image
from test_fuzz_folders import LINES, SMALL
from test_fuzz_marks import labelme

from panet_lite.__main__ import main

NETWORK = ("--backbone", "vgg16", "--width", "0.0625", "--weights", "random", "--device", "cpu")
ODD = st.one_of(st.sampled_from(["", " ", "-1", "0", "1", "2", "nan", "inf", "1e9", "x", "9" * 30, "\udcff", "\u0663", "a/b", "/", ".", "~who-knows/x", "~",
                                 "/dev/null", "/proc/self/mem", "{fold}", "a" * 300, "%s", "\n"]),
                st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5))  # fmt: skip
SAFE = {
    "--fold": ["0", "1", "3", "-1", "all", "x"], "--folds": ["1", "2", "A", "B", "0", "\u00b2", "99"], "--classes": ["1", "2", "mug", "x", ""],
    "--size": ["1", "16", "33", "0", "x", "1e3", "100001"], "--mask-values": ["0=background", "1=x", "255=void", "0-255=x", "=", "x"], "--skip-broken": [],
    "--preset": ["paper", "standard", "x"], "--seed": ["0", "7", "-1", str(2**63 - 1), str(2**63)], "--split": ["val", "train", "x", "../x", "\udcff"],
    "--ways": ["1", "2", "3", "254", "0"], "--shots": ["1", "2", "5", "0", "10000000"], "--runs": ["1", "2", "0"], "--episodes": ["1", "3", "0"],
    "--annotation": ["dense", "scribble", "box", "bounding", "x"], "--precision": ["auto", "bfloat16", "float16"], "--half": [], "--allow-seen": [],
    "--dataset": ["folder", "pascal", "coco", "tabletop", "x"], "--device": ["cpu", "cuda", "meta", "mps", "cpu:9", "x"],
    "--weights": ["random", "imagenet", "x.safetensors", "{fold}", "pretrained"], "--backbone": ["vgg16", "vgg16:9", "lite0:x", "lite0:1", "nope", ":", ""],
    "--width": ["0.0625", "0", "nan", "9", "inf"], "--no-such-flag": ["x"],
}  # fmt: skip
SEGMENT = ("--size", "--mask-values", "--seed", "--device", "--backbone", "--width", "--weights")


@st.composite
def flags(draw, known, most=3):
    """A few flags with values that make sense, or none."""
    given = []
    for flag in draw(st.lists(st.sampled_from(sorted(known)), max_size=most)):
        count = (
            draw(st.integers(1, 2)) if flag in ("--shots", "--classes", "--mask-values") else bool(SAFE[flag])
        )
        odd = draw(st.integers(0, 5)) == 0
        given += [flag, *(draw(ODD if odd else st.sampled_from(SAFE[flag])) for _ in range(count))]
    return given


def whole(home):
    """Four pictures of two classes with their masks, as bytes by their names."""
    rng = np.random.default_rng(0)
    for n in range(4):
        mask = np.zeros((16, 24), np.uint8)
        mask[4:12, 4 + n : 14 + n] = 1 + n % 2
        image = rng.integers(0, 90, (16, 24, 3), np.uint8) + (mask[..., None] * 80).astype(np.uint8)
        for kind, values in (("images", image), ("masks", mask)):
            file = io.BytesIO()
            Image.fromarray(values).save(file, "PNG")
            put(home / kind / f"p{n}.png", file.getvalue())


SPOILT = st.dictionaries(
    st.sampled_from(["images/p0.png", "masks/p0.png", "masks/p1.png", "images/p9.jpg", "masks/p9.png", "objects/p0.png"]),
    entries(files(size=SMALL)), max_size=1,
)  # fmt: skip
LISTS = st.dictionaries(
    st.sampled_from(["val.txt", "train.txt", "classes.txt", "labelmap.txt"]), entries(LINES), max_size=1
)


def fill(home, *contents):
    """The folder, with these files in place of what was there."""
    whole(home)
    for path, content in ((home / name, content) for some in contents for name, content in some.items()):
        path.unlink(missing_ok=True)
        put(path, content)


@fuzz(25, more=flags(SAFE), spoilt=st.one_of(st.just({}), SPOILT), lists=st.one_of(st.just({}), LISTS), out=st.one_of(st.none(), ODD),
      decoded=st.sampled_from([None, "decoded", "val.txt"]), spill=st.sampled_from([None, "spill", "val.txt"]))  # fmt: skip
def test_evaluate(more, spoilt, lists, out, decoded, spill):
    with folder() as home, pytest.MonkeyPatch.context() as patch:
        fill(home / "data", spoilt, lists)
        (home / "home").mkdir()
        patch.setenv("HOME", str(home / "home"))
        for name in ("PANET_VOC_ROOT", "PANET_COCO_ROOT"):
            patch.setenv(name, str(home / "data"))
        patch.chdir(home)
        given = [
            *NETWORK,
            "--dataset",
            "folder",
            "--root",
            str(home / "data"),
            "--size",
            "16",
            "--shots",
            "1",
            "--episodes",
            "2",
            "--runs",
            "2",
        ]
        given += [
            word
            for flag, value in (("--decoded", decoded), ("--spill", spill))
            if value
            for word in (flag, str(home / "data" / value))
        ]
        if out is not None and not out.startswith("/"):
            given += ["--out", out]
        code, said, _ = run_command(main, "evaluate", *given, *more)
        assert "-shot: mean-IoU" in said or "mean of" in said or code
        if code == 0 and out and not out.startswith("/") and "--out" not in more:
            json.loads((home / os.path.expanduser(out)).read_text() if not out.startswith("~") else "{}")


@fuzz(25, name=names, support=st.one_of(st.just(None), st.just(None), entries(st.one_of(files(size=SMALL), as_json(labelme())))),
      suffix=st.sampled_from([".png", ".json", ".jpg"]), query=entries(files(size=SMALL)), words=st.one_of(*[st.just([])] * 4, st.lists(ODD, max_size=2)), more=flags(SEGMENT, 1),
      called=st.one_of(st.none(), st.lists(ODD, min_size=1, max_size=2)), tiled=st.booleans(), odd_out=st.one_of(*[st.just("out")] * 4, ODD))  # fmt: skip
def test_segment(name, support, suffix, query, words, more, called, tiled, odd_out):
    with folder() as home, pytest.MonkeyPatch.context() as patch:
        whole(home)
        (home / "home").mkdir()
        patch.setenv("HOME", str(home / "home"))
        patch.chdir(home)
        mask = home / "masks" / "p0.png"
        if support is not None:
            put(mask := home / f"{name}{suffix}", support)
        put(home / "new" / f"{name}.png", query)
        out = odd_out if not odd_out.startswith("/") else "out"
        given = [
            *NETWORK,
            "--support",
            str(home / "images" / "p0.png"),
            str(mask),
            *words,
            "--query",
            str(home / "new"),
            str(home / "images" / "p1.png"),
        ]
        given += ["--names", *called] if called else []
        code, said, err = run_command(main, "segment", *given, *["--tiled"] * tiled, "--out", out, *more)
        if code == 0 and out == "out":
            assert "[1/" in said and len(list((home / out).glob("*.png"))) >= 1


@fuzz(
    40,
    argv=st.lists(
        st.one_of(
            st.sampled_from(
                ["evaluate", "segment", "download", "train", "-h", "--", "--out", "--root", *SAFE]
            ),
            ODD,
        ),
        max_size=5,
    ),
)
def test_words(argv):
    if "download" in argv or "train" in argv and "-h" not in argv:
        return
    with folder() as home, pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "PANET_VOC_ROOT", "PANET_COCO_ROOT"):
            patch.setenv(name, str(home))
        patch.chdir(home)
        run_command(main, *argv, *(["--dataset", "folder", *NETWORK] if argv[:1] == ["evaluate"] else []))
