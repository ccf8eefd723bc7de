"""What the fuzz tests found, as tests of its own: each failed before it was mended."""

import io
import json
import os
import warnings

import numpy as np
import pytest
import torch
from fuzzing import check_ours, check_sentence, only_sentences, run_command
from hostile import folder, put
from PIL import Image
from test_fuzz_commands import NETWORK, whole
from test_fuzz_marks import network

from panet_lite import Segmenter
from panet_lite.__main__ import main
from panet_lite.backbones.weights import header, read_weights
from panet_lite.datasets import Pascal
from panet_lite.datasets.marks import from_pixels, marks_of
from panet_lite.datasets.masks import labelmap, read_label_map
from panet_lite.datasets.pictures import picture_of, picture_size, read_image

LONG = "n" * 300


@pytest.fixture
def home(monkeypatch):
    """A folder of one's own data, where one is, far from the user's own."""
    with folder() as path:
        whole(path)
        for name in ("HOME", "PANET_VOC_ROOT", "PANET_COCO_ROOT"):
            monkeypatch.setenv(name, str(path))
        monkeypatch.chdir(path)
        yield path


def refused(read, *arguments, says):
    with pytest.raises((ValueError, OSError), match=says) as caught:
        read(*arguments)
    check_sentence(str(caught.value))
    check_ours(caught.value)


def test_an_exif_orientation_that_is_none_turns_nothing(home):
    exif = Image.Exif()
    exif[0x0112] = 9
    Image.new("L", (9, 5)).save(home / "a.png", exif=exif)
    assert picture_size(home / "a.png") == (9, 5) == picture_of(home / "a.png")[1][::-1]
    assert read_image(home / "a.png").shape == (3, 5, 9)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_narrow_floats_are_read(kind):
    picture = torch.tensor([[0, 0.5], [1, 0.25]]).to(kind)
    assert np.array_equal(np.array(picture_of(picture)[0])[..., 0], [[0, 128], [255, 64]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert from_pixels(torch.eye(2).to(kind)).labels.tolist() == [[1, 0], [0, 1]]
        assert from_pixels(np.eye(2, dtype=np.float16)).labels.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("picture", [torch.eye(3).to_sparse(), torch.empty(3, 3, device="meta")])
def test_tensors_without_an_array(picture):
    refused(picture_of, picture, says="The picture is no array of numbers")
    refused(from_pixels, picture, says="The label map is no array of numbers")


@pytest.mark.parametrize(
    "mark", [[10**400], [1, [2]], ["x", "y"], [None], np.zeros(3, complex), torch.eye(3).to_sparse()]
)
def test_marks_that_are_no_numbers(mark):
    refused(marks_of, {"pea": mark}, (5, 5), says="The mark of 'pea'")


def test_pictures_that_pillow_has_not_read_yet(home):
    content = (home / "images" / "p0.png").read_bytes()
    for read, says in (
        (picture_of, "The picture cannot be read"),
        (from_pixels, "The label map cannot be read"),
    ):
        refused(read, Image.open(io.BytesIO(content[:200])), says=says)


@pytest.mark.parametrize("line", ["a:0", "a:1,2,3,4", "a:1,2,256", "a:1,2,-1"])
def test_colours_that_are_none(home, line):
    put(home / "labelmap.txt", f"{line}::\n".encode())
    refused(labelmap, home / "masks" / "p0.png", says="labelmap.txt is not CVAT's")


def test_a_choice_to_make_is_a_sentence():
    refused(
        from_pixels,
        np.array([[0, 128, 255]], np.uint8),
        says="--mask-values 0=background 128=void 255=object",
    )


def test_a_pipe_in_place_of_labelmes_file(home):
    """It would be waited for: the fuzz test died of it."""
    put(home / "a.json", "pipe")
    refused(marks_of, home / "a.json", (5, 5), says="a.json is neither .* no file")


def test_a_pipe_in_place_of_sbds_mask(home):
    put(home / "a.mat", "pipe")
    refused(read_label_map, home / "a.mat", says="The mask .*a.mat cannot be read")


def test_a_pipe_in_place_of_weights_says_nothing_of_itself(home):
    put(home / "a.safetensors", "pipe")
    assert header(home / "a.safetensors") == {}
    refused(read_weights, home / "a.safetensors", says="There is no checkpoint")


def test_labelmes_file_without_an_object_is_named(home):
    put(home / "a.json", json.dumps({"shapes": []}).encode())
    refused(marks_of, home / "a.json", (5, 5), says="No object is marked in .*a.json")


def test_no_names_are_none():
    picture, mask = np.arange(3072, dtype=np.uint8).reshape(32, 32, 3), np.tri(32, dtype=np.uint8)
    assert Segmenter(network()).fit([picture], [mask], []).names == ("1",)
    refused(Segmenter(network()).fit, [picture], [mask], ["a", ""], says="No picture shows ''")


def test_a_name_in_a_list_that_no_file_can_have(home):
    root = home / "VOC2012"
    put(root / "ImageSets" / "Segmentation" / "val.txt", LONG.encode())
    refused(Pascal, "val", 417, home, says="incomplete: 2 files that val.txt lists are missing")


@pytest.mark.parametrize(
    "given",
    [
        ("evaluate", "--dataset", "folder", "--root", "~who-knows/x"), ("evaluate", "--dataset", "folder", "--root", LONG),
        ("evaluate", "--dataset", "coco", "--root", "~who-knows/x"), ("evaluate", "--dataset", "pascal", "--root", LONG),
        ("evaluate", "--dataset", "folder", "--root", ".", "--split", LONG),
        ("evaluate", "--weights", "~who-knows/x"), ("evaluate", "--weights", LONG),
        ("segment", "--support", "~who-knows/a.png", "masks/p0.png", "--query", "images", "--out", "out"),
        ("segment", "--support", "images/p0.png", f"{LONG}.json", "--query", "~who-knows/x", "--out", "out"),
        ("segment", "--support", "images/p0.png", LONG, "--query", LONG, "--out", "out"),
        ("segment", "--support", "images/p0.png", "masks/p0.png", "--query", "images", "--out", LONG),
    ],
)  # fmt: skip
def test_homes_of_nobody_and_names_too_long(home, given):
    code, _, err = run_command(main, *given, *([] if "--weights" in given else NETWORK))
    assert code == 1 and ("who-knows" in err or LONG in err)


def test_numbers_into_a_name_too_long_are_said_before_the_work(home):
    given = (
        "--dataset",
        "folder",
        "--root",
        ".",
        "--size",
        "16",
        "--shots",
        "1",
        "--episodes",
        "1",
        "--out",
        LONG,
    )
    code, out, err = run_command(main, "evaluate", *NETWORK, *given)
    assert code == 1 and f"Could not write {LONG}" in err and not out


def test_results_of_a_name_in_another_encoding(home):
    name = os.fsdecode(b"caf\xe9")
    (home / "images" / "p1.png").rename(home / f"{name}.png")
    given = (
        "--support",
        "images/p0.png",
        "masks/p0.png",
        "--query",
        f"{name}.png",
        "--names",
        "\udcff",
        "--out",
        "out",
    )
    code, out, _ = run_command(main, "segment", *NETWORK, *given)
    assert code == 0 and "caf\\udce9.png: \\udcff" in out and (home / "out" / f"{name}.png").is_file()


def test_a_mask_in_ones_home(home):
    given = ("--support", "~/images/p0.png", "~/masks/p0.png", "--query", "~/images/p1.png", "--out", "~/out")
    assert run_command(main, "segment", *NETWORK, *given)[0] == 0


# --- the harness itself ---------------------------------------------------------------------------------------


def test_what_is_no_sentence_of_ours_is_noticed():
    for wrong in (
        lambda: int("x"),
        lambda: open("/nowhere"),
        lambda: np.asarray([1, [2]]),
        lambda: Image.open("nothing"),
    ):
        with pytest.raises(AssertionError), only_sentences():
            wrong()
    with pytest.raises(KeyError), only_sentences():
        {}["x"]
    with pytest.raises(AssertionError), only_sentences():
        warnings.warn("halfhearted", stacklevel=1)
    with pytest.raises(AssertionError), only_sentences("b.png"):
        read_image("a.png")
