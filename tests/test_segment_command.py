"""`segment`: one's own pictures from the command line; nothing is overwritten, one bad picture ends nothing."""

import numpy as np
import pytest
import torch
from PIL import Image
from test_segmenter import GREEN, Colours, iou, scene

from panet_lite.__main__ import main
from panet_lite.commands import segmenting


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A marked picture and three to segment, and a network that sees colours."""
    monkeypatch.setattr(segmenting, "open_backbone", lambda args, weights: Colours())
    (tmp_path / "new").mkdir()
    picture, mask = scene()
    Image.fromarray(picture).save(tmp_path / "box.png")
    Image.fromarray(mask * 255).save(tmp_path / "mask.png")
    for name, box in (("a", (10, 10, 50, 50)), ("b", (30, 20, 90, 100)), ("c", (5, 60, 40, 120))):
        Image.fromarray(scene(box=box)[0]).save(tmp_path / "new" / f"{name}.jpg", quality=95)
    return tmp_path


def segment(home, *more, support=("box.png", "mask.png"), query="new", out="out"):
    first, second, *name = support
    return main(
        ["segment", "--support", str(home / first), str(home / second), *name, "--query", str(home / query), "--out",
         str(home / out), "--device", "cpu", *more]
    )  # fmt: skip


def test_a_folder(home, capsys):
    assert segment(home, support=("box.png", "mask.png", "box")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        len(lines) == 3
        and lines[0].startswith("[1/3] ")
        and "a.png: box " in lines[0]
        and "(score 1.00)" in lines[0]
    )
    assert sorted(p.name for p in (home / "out").iterdir()) == sorted(
        f"{name}{end}" for name in "abc" for end in (".png", "-overlay.jpg")
    )
    with Image.open(home / "out" / "a.png") as result:
        assert result.mode == "P" and result.size == (128, 96) and result.getpalette()[3:6] == [128, 0, 0]
        assert iou(np.array(result), scene(box=(10, 10, 50, 50))[1]) > 0.8
    with Image.open(home / "out" / "a-overlay.jpg") as overlay:
        assert overlay.size == (128, 96) and overlay.getpixel((30, 30))[2] > 60  # a blue tint over red


def test_its_result_is_a_mask_that_it_takes(home):
    assert segment(home) == 0
    assert (
        segment(home, "--names", "box", support=("new/a.jpg", "out/a.png"), query="box.png", out="again") == 0
    )
    with Image.open(home / "again" / "box.png") as result:
        assert iou(np.array(result), scene()[1]) > 0.8


def test_pictures_are_segmented_though_nobody_reads_of_them(home, monkeypatch):
    """`segment ... | head -1`: the files of all pictures are there."""

    def closed(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr(segmenting, "print", closed, raising=False)
    assert segment(home) == 0 and len(list((home / "out").glob("*.png"))) == 3


def test_two_classes_by_name(home, capsys):
    Image.fromarray(scene(colour=GREEN)[0]).save(home / "green.png")
    more = ("--support", str(home / "green.png"), str(home / "mask.png"), "pea")
    assert segment(home, *more, support=("box.png", "mask.png", "tomato")) == 0
    assert "tomato" in (line := capsys.readouterr().out.splitlines()[0]) and "pea 0.0 %" in line


def test_what_is_broken_or_no_picture_is_named_and_passed_over(home, capsys):
    (home / "new" / "b.jpg").write_bytes(b"no picture")
    (home / "new" / "notes.txt").write_text("hello")
    (home / "new" / "raw.heic").write_bytes(b"raw")
    assert segment(home) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 and "b.jpg cannot be read" in err and "1 of 3 pictures" in err
    assert (
        "Left out of" in err
        and "(HEIC: pip install pillow-heif): notes.txt, raw.heic" in err
        and "Traceback" not in err
    )


def test_nothing_is_overwritten(home, capsys):
    (home / "new" / "a.png").write_bytes(b"mine")
    assert segment(home, out="new", query="new/a.jpg") == 1
    assert (
        "nothing is overwritten" in capsys.readouterr().err
        and (home / "new" / "a.png").read_bytes() == b"mine"
    )
    assert not (home / "new" / "a-overlay.jpg").exists()


def test_the_marked_picture_is_not_segmented_with_its_folder(home):
    Image.open(home / "box.png").save(home / "new" / "box.png")
    Image.open(home / "mask.png").save(home / "new" / "box-mask.png")
    (home / "new" / "box-mask.png").rename(home / "new" / "box.gif.png")
    assert segment(home, support=("new/box.png", "new/box.gif.png")) == 0
    assert not list((home / "out").glob("box*"))
    assert segment(home, support=("new/box.png", "mask.png"), query="new/box.png", out="itself") == 0


@pytest.mark.parametrize(
    "change, why",
    [
        ({"support": ("box.png", "mask.png", "a", "b")}, "wants IMAGE MASK"), ({"query": "empty"}, "There is no picture in"),
        ({"support": ("box.png", "nothing.png")}, "cannot be read"), ({"support": ("nothing.png", "mask.png")}, "cannot be read"),
        ({"query": "nothing.jpg"}, "1 of 1 pictures"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(home, capsys, change, why):
    (home / "empty").mkdir()
    assert segment(home, **change) == 1
    err = capsys.readouterr().err
    assert why in err and "Traceback" not in err


def test_two_pictures_of_one_name(home, capsys):
    (home / "other").mkdir()
    Image.open(home / "new" / "a.jpg").save(home / "other" / "a.png")
    assert segment(home, "--query", str(home / "other"), str(home / "new")) == 1
    assert "share a name" in capsys.readouterr().err


def test_the_default_is_lite0(tmp_path, monkeypatch):
    picture, mask = scene()
    Image.fromarray(picture).save(tmp_path / "box.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(scene(box=(5, 5, 50, 50))[0]).save(tmp_path / "q.png")
    seen, whole = [], segmenting.Segmenter
    monkeypatch.setattr(
        segmenting, "Segmenter", lambda model, *rest: seen.append(model) or whole(model, *rest)
    )
    assert segment(tmp_path, "--seed", "1", query="q.png") == 0
    assert [model.backbone.name for model in seen] == ["lite0:5"]
    assert torch.tensor(np.array(Image.open(tmp_path / "out" / "q.png")), dtype=torch.float).mean() > 0.1
