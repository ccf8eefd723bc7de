"""Bad input gets one clear sentence, and nothing is lost."""

import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from panet_lite import EpisodeSampler, PANet, own_episode, pretrained
from panet_lite.__main__ import main
from panet_lite.backbones import VGG16, vgg16
from panet_lite.datasets import Pascal, Tabletop
from panet_lite.datasets import voc as datasets
from panet_lite.datasets.masks import read_label_map
from panet_lite.datasets.pictures import picture_size, read_image
from panet_lite.episodes import Episode
from panet_lite.files import write_atomically
from panet_lite.model import checkpoint
from panet_lite.training import save_checkpoint

NARROW = 1 / 16


@pytest.fixture
def copy(tiny_voc, tmp_path):
    """A copy of the tiny data set that a test may spoil."""
    return shutil.copytree(tiny_voc / "tabletop", tmp_path / "tabletop")


@pytest.fixture
def colours():
    """Four flat quarters: red, green / blue, yellow, 20 x 30 each, so (60 wide, 40 high)."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:], pixels[20:, :30], pixels[20:, 30:] = (
        (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0),
    )  # fmt: skip
    return pixels


# --- images that are read, whatever their kind -------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_rgb(tmp_path, colours, suffix):
    Image.fromarray(colours).save(tmp_path / f"a.{suffix}", quality=100, subsampling=0)
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.shape == (3, 40, 60) and image.dtype == torch.uint8
    assert np.abs(image.permute(1, 2, 0).numpy().astype(int) - colours).max() <= (0 if suffix == "png" else 4)


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = np.arange(0, 250, 2, dtype=np.uint8).reshape(5, 25)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    for channel in read_image(tmp_path / "grey.png"):
        assert np.array_equal(channel, grey)
    Image.fromarray(grey > 100).save(tmp_path / "bits.png")
    assert np.array_equal(read_image(tmp_path / "bits.png")[1], (grey > 100) * 255)


def test_palette(tmp_path, colours):
    Image.fromarray(colours).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").mode == "P"
    assert np.array_equal(read_image(tmp_path / "p.png").permute(1, 2, 0), colours)


def test_alpha_is_dropped(tmp_path, colours):
    alpha = np.concatenate([colours, np.full((40, 60, 1), 128, np.uint8)], 2)
    Image.fromarray(alpha, "RGBA").save(tmp_path / "rgba.png")
    assert np.array_equal(read_image(tmp_path / "rgba.png").permute(1, 2, 0), colours)
    Image.fromarray(alpha[:, :, ::3].copy(), "LA").save(tmp_path / "la.png")
    assert np.array_equal(read_image(tmp_path / "la.png")[2], colours[:, :, 0])


def test_cmyk(tmp_path, colours):
    Image.fromarray(colours).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100, subsampling=0)
    assert Image.open(tmp_path / "cmyk.jpg").mode == "CMYK"
    image = read_image(tmp_path / "cmyk.jpg").permute(1, 2, 0).numpy().astype(int)
    assert np.abs(image - colours).max() <= 6


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits(tmp_path, suffix):
    """The upper byte; Pillow alone would show everything above 255 as white."""
    deep = np.linspace(0, 65535, 120).reshape(8, 15).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / f"deep.{suffix}")
    assert np.array_equal(read_image(tmp_path / f"deep.{suffix}")[0], deep // 256)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, colours, orientation):
    """A camera held sideways stores the picture turned and says so: we see it upright."""
    store = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(store[orientation](colours))).save(path, exif=exif)
    assert np.array_equal(read_image(path).permute(1, 2, 0), colours)
    assert picture_size(path) == (60, 40)


def test_exif_rotated_photo_fits_its_upright_mask(copy):
    path = copy / "JPEGImages" / "val_000.jpg"
    upright = Image.open(path).crop((0, 0, 64, 40))
    mask = Image.open(copy / "SegmentationClass" / "val_000.png").crop((0, 0, 64, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    mask.save(copy / "SegmentationClass" / "val_000.png")
    dataset = Tabletop("val", root=copy)
    assert dataset.image(0).shape[-2:] == dataset.label_map(0).shape == (40, 64)


# --- images and masks that cannot be used ------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.95])
def test_truncated_image(tmp_path, suffix, share):
    path = tmp_path / f"half.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"The image {path} cannot be read .*truncated or no picture"):
        read_image(path)
    path.write_bytes(content[: int(share * len(content))])
    if suffix == "png":
        with pytest.raises(
            ValueError, match=rf"The mask {path} (cannot be read .*truncated|is a picture of mode)"
        ):
            read_label_map(path)


def test_truncated_mask_of_a_data_set(copy):
    path = copy / "SegmentationClass" / "val_002.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=rf"The mask {path} cannot be read"):
        Tabletop("val", root=copy)


def test_text_is_no_picture(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"a.jpg cannot be read .*no picture"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("read", [read_image, read_label_map, picture_size])
def test_what_pillow_passes_on_names_the_picture(tmp_path, monkeypatch, read):
    """Neither is an OSError: a header that is no number, and a picture too large to be true."""
    (tmp_path / "a.ppm").write_bytes(b"P6 4\xdf 4 255 ")
    with pytest.raises(ValueError, match="The (image|mask) .*a.ppm cannot be read .*invalid literal"):
        read(tmp_path / "a.ppm")
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9)
    with pytest.raises(
        ValueError, match="The (image|mask) .*a.png cannot be read .*81 pixels. exceeds limit"
    ):
        read(tmp_path / "a.png")


def test_missing_image_is_named(tmp_path):
    with pytest.raises((ValueError, OSError), match=r"none.jpg"):
        read_image(tmp_path / "none.jpg")


def test_mask_of_another_size(copy):
    path = copy / "SegmentationClass" / "val_004.png"
    Image.open(path).crop((0, 0, 64, 60)).save(path)
    with pytest.raises(
        ValueError, match=rf"The mask {path} is 64 x 60 pixels, but its image is 64 x 64: they must"
    ):
        Tabletop("val", root=copy)


def test_label_value_that_is_no_class(copy):
    path = copy / "SegmentationClass" / "val_005.png"
    labels = np.array(Image.open(path))
    labels[0, 0] = 21
    Image.fromarray(labels).save(path)
    with pytest.raises(
        ValueError, match=rf"The mask {path} holds the value 21, which is no class: labels are 0..20 and 255"
    ):
        Tabletop("val", root=copy)


def test_mask_in_colours(copy):
    path = copy / "SegmentationClass" / "val_006.png"
    Image.open(path).convert("RGB").save(path)
    with pytest.raises(
        ValueError,
        match=rf"The mask {path} has the colour .*, which the palette of PASCAL VOC does not know: save it with one channel",
    ):
        Tabletop("val", root=copy)


def own(labels, image=None, query=None):
    image = torch.rand(3, 6, 7) if image is None else image
    return own_episode([[(image, labels)]], [image if query is None else query])


def test_own_mask_of_another_size():
    with pytest.raises(
        ValueError, match=r"label map of way 1, shot 1 is \(6, 8\), its image \(6, 7\): make them one size"
    ):
        own(torch.ones(6, 8))
    with pytest.raises(ValueError, match=r"support images .* and label maps .* do not belong together"):
        Episode(
            torch.rand(1, 1, 1, 3, 4, 4),
            torch.ones(1, 1, 1, 4, 5),
            torch.rand(1, 1, 3, 4, 4),
            torch.ones(1, 1, 4, 4),
            torch.ones(1, 1),
        )
    with pytest.raises(ValueError, match=r"query images .* and label maps .* do not belong together"):
        Episode(
            torch.rand(1, 1, 1, 3, 4, 4),
            torch.ones(1, 1, 1, 4, 4),
            torch.rand(1, 2, 3, 4, 4),
            torch.ones(1, 1, 4, 4),
            torch.ones(1, 1),
        )


def test_own_images_of_different_sizes_or_kinds():
    with pytest.raises(ValueError, match="All images must be of one size"):
        own(torch.ones(6, 7), query=torch.rand(3, 6, 8))
    for channels in (1, 4):
        with pytest.raises(ValueError, match=rf"Images must be RGB, .* not \({channels}, 6, 7\)"):
            own(torch.ones(6, 7), torch.rand(channels, 6, 7))
    pair = (torch.rand(3, 6, 7), torch.ones(6, 7))
    with pytest.raises(ValueError, match="same number of shots"):
        own_episode([[pair, pair], [(pair[0], pair[1] * 2)]], [pair[0]])


@pytest.mark.parametrize("value", [2, 128, 254])
def test_own_label_value_that_is_no_class(value):
    labels = torch.ones(6, 7, dtype=torch.uint8)
    labels[2, 3] = value
    with pytest.raises(
        ValueError, match=rf"way 1, shot 1 holds {value}, which is no class: use 0, 1..1 and 255"
    ):
        own(labels)


@pytest.mark.parametrize("empty", [0, 255])
def test_mask_without_foreground_warns_and_the_result_is_finite(empty):
    torch.manual_seed(0)
    with pytest.warns(
        UserWarning, match="label map of way 1, shot 1 has no pixel of class 1: it adds nothing"
    ):
        episode = own(torch.full((6, 7), empty, dtype=torch.uint8))
    model = PANet(VGG16(NARROW)).eval()
    with torch.no_grad():
        prediction = model(episode)
    assert not prediction.prototypes[0, 1].any() and not prediction.logits[:, :, 1].any()
    assert prediction.probabilities().isfinite().all()
    assert all(x.isfinite() for x in prediction.losses(episode))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own(torch.ones(6, 7))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_features(value):
    episode = own(torch.ones(6, 7))
    episode.query_images[0, 0, 0, 2, 3] = value
    with pytest.raises(
        ValueError,
        match="features that are not finite .*: check that the images are RGB in 0..1 and that the checkpoint",
    ):
        PANet(VGG16(NARROW)).eval()(episode)
    backbone = VGG16(NARROW)
    backbone.features[0].weight.data[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match="not finite"):
        PANet(backbone).eval()(own(torch.ones(6, 7)))


# --- data sets, folds, ways and shots ----------------------------------------------------------------


def test_missing_data_set(tmp_path, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match=rf"no data set at {tmp_path / 'x'}: .*val.txt is missing. .*PANET_VOC_ROOT"
    ):
        Tabletop("val", root=tmp_path / "x")
    monkeypatch.delenv("PANET_VOC_ROOT", raising=False)
    with pytest.raises(FileNotFoundError, match="set PANET_VOC_ROOT to the folder .*VOC2012/"):
        Pascal("val")
    monkeypatch.setenv("PANET_VOC_ROOT", str(tmp_path / "y"))
    with pytest.raises(FileNotFoundError, match=rf"no data set at {tmp_path / 'y' / 'VOC2012'}"):
        Pascal("trainaug")


@pytest.mark.parametrize(
    "folder, name", [("JPEGImages", "val_017.jpg"), ("SegmentationClass", "val_030.png")]
)
def test_half_copied_data_set(copy, folder, name):
    files = sorted((copy / folder).glob("val_*"))
    for path in files[[p.name for p in files].index(name) :]:
        path.unlink()
    missing = 60 - int(name[4:7])
    with pytest.raises(
        FileNotFoundError,
        match=rf"data set at {copy} is incomplete: {missing} files that val.txt lists are missing, the first is .*{name}. Copy or extract it again",
    ):
        Tabletop("val", root=copy)


@pytest.mark.parametrize("fold", [-1, 4, 100, "0", None, 0.5])
def test_fold_out_of_range(tiny, fold):
    with pytest.raises(ValueError, match=rf"There is no fold {fold!r}: folds are 0..3"):
        tiny().fold(fold)
    for variant in ("par", "init", "twin"):
        with pytest.raises(
            ValueError, match=rf"There are no weights for fold {fold!r}: they come for folds 0..3"
        ):
            pretrained(fold, variant)
    with pytest.raises(ValueError, match="twin comes for fold 0: make one for fold 1 by data/checkpoints"):
        pretrained(1, "twin-init")


def test_a_fold_may_be_any_whole_number(tiny):
    assert tiny().fold(np.int64(1)) == tiny().fold(torch.tensor(1)) == tiny().fold(1)
    assert checkpoint(np.int64(1), "par").name == "fold1.safetensors"


@pytest.mark.parametrize("variant", ["PAR", None, ["par"]])
def test_no_such_variant(variant):
    with pytest.raises(
        ValueError, match=rf"no variant {re.escape(repr(variant))}: choose one of init, par, without"
    ):
        pretrained(0, variant)


def read_again(monkeypatch, named, source=datasets.__file__):
    """The module `datasets` as a new process has it, with this PANET_LITE_DATA."""
    monkeypatch.setenv("PANET_LITE_DATA", named)
    spec = importlib.util.spec_from_file_location("panet_lite.datasets.again", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("named", ["", "  "])
def test_an_empty_name_of_the_data_folder_is_none(monkeypatch, named):
    again = read_again(monkeypatch, named)
    assert (again.DATA / "tabletop" / "classes.txt").is_file() and "It comes with panet_lite" in again.REMEDY


@pytest.mark.parametrize("named", ["~/tiny", "here/../tiny", "{}/tiny "])
def test_a_data_folder_is_found_wherever_one_goes(tiny_voc, tmp_path, monkeypatch, named):
    """From the home folder, or from the folder that Python was started in."""
    (tmp_path / "tiny").symlink_to(tiny_voc)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    again = read_again(monkeypatch, named.format(tmp_path))
    monkeypatch.chdir("/")
    assert again.DATA.is_absolute() and len(again.Tabletop()) == 60


@pytest.mark.parametrize("named", ["/no/such/folder", "~/none", "~nobody-at-all/x", "none", os.devnull])
def test_a_data_folder_that_is_none(tmp_path, monkeypatch, named):
    """One sentence that repeats the name as it was given, for pictures and for weights."""
    again = read_again(monkeypatch, named)
    remedy = f"PANET_LITE_DATA is set to {named!r}: unset it, or let it name a folder that holds tabletop/ and checkpoints/."
    for name in ("DATA", "REMEDY"):
        monkeypatch.setattr(datasets, name, getattr(again, name))
    with pytest.raises(FileNotFoundError, match=f"no data set at .*val.txt is missing. {remedy}$"):
        Tabletop("val")
    with pytest.raises(FileNotFoundError, match=f"no checkpoint at .*/fold2.safetensors. {remedy}$"):
        pretrained(2)


def test_code_that_was_installed_without_its_data(tmp_path, monkeypatch):
    """As `cp panet_lite /somewhere` does: the sentence says how to get the data."""
    (tmp_path / "datasets").mkdir()
    code = shutil.copy(datasets.__file__, tmp_path / "datasets")
    again = read_again(monkeypatch, "", code)
    assert again.DATA == tmp_path / "data"
    remedy = "It comes with panet_lite: install that again, or set PANET_LITE_DATA to a folder that holds tabletop/ and checkpoints/."
    monkeypatch.setattr(datasets, "DATA", again.DATA)
    with pytest.raises(FileNotFoundError, match=f"no data set at {tmp_path}/data/tabletop: .*{remedy}$"):
        Tabletop("val")
    with pytest.raises(FileNotFoundError, match=f"no checkpoint at {tmp_path}/data/.*{remedy}$"):
        pretrained(0)


def test_data_of_the_package_that_are_incomplete(copy, monkeypatch):
    (copy / "JPEGImages" / "val_017.jpg").unlink()
    monkeypatch.setattr(datasets, "DATA", copy.parent)
    with pytest.raises(
        FileNotFoundError, match="is incomplete: 1 files .*val_017.jpg. It comes with panet_lite"
    ):
        Tabletop("val")


def test_unknown_class_name_and_preset(tiny):
    with pytest.raises(ValueError, match="'zebra' is no class of this data set: choose from mug, bottle"):
        tiny().labels_of(["mug", "zebra"])
    with pytest.raises(ValueError, match="no preset 'papers': choose one of paper, standard"):
        EpisodeSampler(tiny(), [1], preset="papers")


def test_more_ways_or_shots_than_there_are(tiny):
    dataset = tiny()
    with pytest.raises(
        ValueError,
        match=r"6 ways of 1 shots and 1 queries cannot be drawn: 5 of 5 classes have images enough",
    ):
        EpisodeSampler(dataset, dataset.fold(0), ways=6)
    with pytest.raises(
        ValueError,
        match=r"1 ways of 99 shots .* 0 of 5 classes .* fewer than 100 images: mug \(\d+\), bottle",
    ):
        EpisodeSampler(dataset, dataset.fold(0), shots=99)
    for wrong in ({"ways": 0}, {"shots": 0}, {"queries": 0}):
        with pytest.raises(ValueError, match=r"An episode needs a way, a shot and a query, not"):
            EpisodeSampler(dataset, dataset.fold(0), **wrong)


def test_two_ways_that_live_in_the_same_few_images(tiny):
    """Each class has images enough, but together they need one twice."""
    dataset = tiny()
    dataset.coverage[:] = 0
    dataset.coverage[:3, [1, 2]] = 0.2
    sampler = EpisodeSampler(dataset, [1, 2], ways=2, shots=2)
    with pytest.raises(
        ValueError,
        match=r"Episode 0 wants \d more images of (mug|bottle), but only \d are left .* use fewer ways or shots",
    ):
        sampler.draw(0)


def test_images_of_different_sizes(copy):
    path = copy / "JPEGImages" / "val_000.jpg"
    Image.open(path).crop((0, 0, 64, 50)).save(path)
    mask = copy / "SegmentationClass" / "val_000.png"
    Image.open(mask).crop((0, 0, 64, 50)).save(mask)
    dataset = Tabletop("val", root=copy)
    sampler = EpisodeSampler(dataset, dataset.fold(0))
    draw = sampler.draw(0)._replace(queries=np.array([0]))
    with pytest.raises(ValueError, match="different sizes in .*: give the data set a size, as in size=417"):
        sampler.load(draw)


# --- writing: the old file survives ------------------------------------------------------------------


def full_disk(path):
    path.write_bytes(b"half of it")
    raise OSError(28, "No space left on device")


def test_a_full_disk_keeps_the_old_file(tmp_path):
    path = tmp_path / "numbers.json"
    path.write_text("old")
    with pytest.raises(
        OSError,
        match=rf"Could not write {path} \(No space left on device\): nothing was changed there. Free some",
    ):
        write_atomically(path, full_disk)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("odd"), MemoryError])
def test_an_interruption_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "numbers.json"
    path.write_text("old")

    def stop(temporary):
        temporary.write_text("half")
        raise error

    with pytest.raises(error if isinstance(error, type) else ValueError):
        write_atomically(path, stop)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_unwritable_folder(tmp_path, monkeypatch):
    def denied(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(datasets.Path, "mkdir", denied)
    with pytest.raises(
        OSError, match=rf"Could not write {tmp_path / 'new' / 'a.json'} \(Permission denied\)"
    ):
        write_atomically(tmp_path / "new" / "a.json", lambda path: path.write_text("x"))


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OSError, match=rf"Could not write {tmp_path / 'out' / 'a.json'} .*choose a folder"):
        write_atomically(tmp_path / "out" / "a.json", lambda path: path.write_text("x"))
    assert (tmp_path / "out").read_text() == "a file"


def test_a_rename_that_fails_leaves_no_temporary(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="Input/output error"):
        write_atomically(tmp_path / "a.json", lambda path: path.write_text("x"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_there_and_as_readable_as_any_file(tmp_path):
    path = tmp_path / "new" / "folder" / "a.json"
    write_atomically(path, lambda p: p.write_text("x"))
    write_atomically(path, lambda p: p.write_text("y"))
    assert path.read_text() == "y" and [p.name for p in path.parent.iterdir()] == ["a.json"]
    (tmp_path / "plain").write_text("")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_checkpoint_on_a_disk_that_is_really_full(tmp_path):
    """The kernel itself refuses more than 4 kB: what the serialiser raises must be an OSError."""
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, VGG16(NARROW), {"fold": 0})
    old, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    backbone = VGG16(NARROW)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=rf"Could not write {path} \(File too large\)"):
            save_checkpoint(path, backbone, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]


# --- the command line: one line, no traceback --------------------------------------------------------


@pytest.fixture
def cli(tiny_voc, tmp_path, monkeypatch, capsys):
    """Runs a command on the tiny data set; returns (exit code, stdout, lines of stderr)."""
    monkeypatch.setattr(datasets, "DATA", tiny_voc)
    monkeypatch.setenv("PANET_VOC_ROOT", str(tiny_voc))

    def run(*argv):
        with warnings.catch_warnings():
            code = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        lines = [line for line in err.replace("\r", "\n").splitlines() if line.strip()]
        return code, out, [line for line in lines if "it/s" not in line and "?it" not in line]

    return run


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "narrow.safetensors"
    save_file(VGG16(NARROW).state_dict(), path)
    return path


def evaluation(weights, *more):
    return (
        "evaluate",
        "--weights",
        weights,
        "--width",
        NARROW,
        "--device",
        "cpu",
        "--runs",
        1,
        "--episodes",
        3,
        "--shots",
        1,
        *more,
    )


def wrong(case, tmp_path):
    """Options that are wrong, and what the sentence says."""
    return {
        "fold": (["--fold", 7], "There is no fold 7: folds are 0..3"),
        "ways": (["--ways", 9], "9 ways of 1 shots and 1 queries cannot be drawn: 5 of 5 classes"),
        "shots": (["--shots", 500], "1 ways of 500 shots"),
        "class": (["--classes", "zebra"], "'zebra' is no class of this data set: choose from mug"),
        "other fold": (["--classes", "mug", "pear"], "'pear' is no class of fold 0: choose from mug, bottle"),
        "split": (["--split", "test"], "Segmentation/test.txt: choose one of train, val."),
        "out": (["--out", tmp_path], f"Could not write {tmp_path}"),  # before the work: no number is printed
        "missing": (
            ["--weights", tmp_path / "no.pt"],
            f"There is no checkpoint at {tmp_path / 'no.pt'}: train one",
        ),
        "width": (["--width", 0.25], "is of another architecture: features.0.weight"),
        "device": (["--device", "abacus"], "There is no device 'abacus' here: use --device cpu"),
    }[case]


CASES = [
    "fold",
    "ways",
    "shots",
    "class",
    "other fold",
    "split",
    "out",
    "missing",
    "width",
    "device",
]


@pytest.mark.parametrize("case", CASES)
def test_evaluate_says_what_is_wrong_in_one_line(cli, weights, tmp_path, case):
    options, sentence = wrong(case, tmp_path)
    code, out, err = cli(*evaluation(weights, *options))
    assert code == 1 and out == "" and len(err) == 1
    assert err[0].startswith("panet_lite: ") and sentence in err[0]


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_no_cuda(cli, weights, tmp_path, monkeypatch, command):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    more = ["--out", tmp_path / "out"] if command == "train" else []
    for name in ("cuda", "cuda:1"):
        code, _, err = cli(command, "--weights", weights, "--width", NARROW, "--device", name, *more)
        assert code == 1 and err == [
            "panet_lite: There is no CUDA device here (or this torch is a CPU build): use --device cpu."
        ]
    assert not (tmp_path / "out").exists()


def test_evaluate_into_a_full_folder_keeps_the_old_numbers(cli, weights, tmp_path, monkeypatch):
    out = tmp_path / "numbers" / "fold0.json"
    assert cli(*evaluation(weights, "--out", out))[0] == 0
    old = out.read_text()
    assert json.loads(old)["1-way 1-shot"]["episodes"] == 3

    def full(self, text, **kwargs):
        full_disk(self)

    monkeypatch.setattr(datasets.Path, "write_text", full)
    code, _, err = cli(*evaluation(weights, "--seed", 3, "--out", out))
    assert code == 1 and err == [
        f"panet_lite: Could not write {out} (No space left on device): nothing was changed there. "
        "Free some space or choose a folder you may write to."
    ]
    assert out.read_text() == old and list(out.parent.iterdir()) == [out]


def test_train_into_an_unwritable_folder_fails_before_it_trains(cli, weights, tmp_path, monkeypatch):
    (tmp_path / "out" / "log.json").mkdir(parents=True)
    monkeypatch.setattr("panet_lite.commands.training.train", lambda *_: pytest.fail("trained for nothing"))
    code, _, err = cli(
        "train", "--weights", weights, "--width", NARROW, "--device", "cpu", "--out", tmp_path / "out"
    )
    assert (
        code == 1
        and len(err) == 1
        and err[0].startswith(f"panet_lite: Could not write {tmp_path / 'out'}/log.json (Is a directory)")
    )


def test_a_bad_fold_is_found_before_training_starts(cli, tmp_path):
    code, _, err = cli("train", "--fold", 5, "--width", NARROW, "--device", "cpu", "--out", tmp_path / "out")
    assert code == 1 and err == [
        "panet_lite: There is no fold 5: folds are 0..3, the paper's split-1 is fold 0."
    ]
    assert not (tmp_path / "out").exists()


TRAIN = ("train", "--width", NARROW, "--device", "cpu", "--iterations", 1, "--recipe", "paper", "--size", 32)


def test_no_weights_to_start_from(cli, tmp_path):
    """The tiny data folder has no checkpoints, and no width but two has any at all."""
    out = ("--device", "cpu", "--out", tmp_path / "out")
    for command in (("train", *out), ("evaluate", "--device", "cpu")):
        code, _, err = cli(*command, "--width", 0.25)
        path = datasets.DATA / "checkpoints" / "twin-fold0-init.safetensors"
        assert code == 1 and err == [f"panet_lite: There is no checkpoint at {path}. {datasets.REMEDY}"]
    code, _, err = cli("train", "--width", 0.5, *out)
    sentence = "There are no pre-trained weights of width 0.5. Give --weights a checkpoint, or random."
    assert code == 1 and err == [f"panet_lite: {sentence}"] and not (tmp_path / "out").exists()


def test_a_run_is_not_lost_and_not_continued_as_another(cli, weights, tmp_path):
    out = tmp_path / "run"
    mine = (*TRAIN, "--weights", weights, "--out", out)
    assert cli(*mine)[0] == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    assert cli(*mine)[::2] == (
        1, [f"panet_lite: {out} holds a run already: go on with it by --resume, or choose another folder."]
    )  # fmt: skip
    for option, value, sentence in (
        ("--fold", 1, "fold 0, not 1"),
        ("--seed", 4, "seed 0, not 4"),
        ("--width", 0.25, "width 0.0625, not 0.25"),
        ("--lambda-par", 0, "lambda_par 1.0, not 0.0"),
        ("--iterations", 2, "iterations 1, not 2"),
    ):
        code, stdout, err = cli(*mine, "--resume", option, value)
        assert code == 1 and stdout == "" and err == [
            f"panet_lite: The run in {out} was started with {sentence}: resume it with the options it was "
            "started with, or train into another folder."
        ]  # fmt: skip
    assert cli(*mine, "--resume")[0] == 0  # it is finished: nothing is left to do
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_state_that_is_none(cli, weights, tmp_path):
    mine = (*TRAIN, "--weights", weights, "--resume", "--out", tmp_path)
    state = tmp_path / "state.safetensors"
    code, _, err = cli(*mine)
    assert code == 0 and err == [f"Note: There is no run in {tmp_path} yet: this is its beginning."]
    whole = state.read_bytes()
    state.write_bytes(whole[: len(whole) // 2])
    code, _, err = cli(*mine)
    assert code == 1 and len(err) == 1 and f"{state} is truncated" in err[0]
    state.write_bytes(weights.read_bytes())
    code, _, err = cli(*mine)
    assert code == 1 and err == [
        f"panet_lite: {state} is not the state of a training: train into another folder."
    ]


@pytest.mark.parametrize(
    "option, value, says",
    [
        *((f"--{name}", 0, "int from 1 to 10,000,000") for name in ("iterations", "episodes-per-step", "save-every")),
        ("--size", 0, "int from 1 to 100,000"), ("--shots", 1.5, "int from 1"), ("--seed", -1, "int from 0"),
        ("--lambda-par", -1, "float from 0 to 1,000,000"),
        *(("--width", value, "float from 0.015625 to 4") for value in (0, -1, "nan", "x")),
    ],
)  # fmt: skip
def test_numbers_that_are_too_small_or_none(cli, tmp_path, capsys, option, value, says):
    with pytest.raises(SystemExit) as stop:
        cli(*TRAIN, option, value, "--out", tmp_path / "out")
    assert stop.value.code == 2 and f"argument {option}: '{value}' is no {says}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_no_compiler_for_torch_compile(tiny_voc, weights, tmp_path):
    own = {
        "CXX": "no-such-compiler",
        "PANET_LITE_DATA": str(tiny_voc),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    own["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "compiled")
    done = subprocess.run(
        [sys.executable, "-m", "panet_lite", *map(str, (*TRAIN, "--weights", weights, "--compile", "--out", tmp_path))],
        capture_output=True, text=True, env={**os.environ, **own},
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.search(
        r"^panet_lite: torch.compile fails here \(.*no-such-compiler.*\): leave --compile out\.$",
        done.stderr,
        re.M,
    )


def test_python_m_panet_lite_ends_with_code_1_and_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "panet_lite", "evaluate", "--dataset", "pascal", "--weights", "none.pt"],
        capture_output=True, text=True, env={**os.environ, "PANET_VOC_ROOT": str(tmp_path / "gone")},
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith(
        "panet_lite: There is no data set at "
    )
    assert str(tmp_path / "gone") in done.stderr


def test_a_checkpoint_that_holds_nan(tmp_path, weights):
    state = load_file(weights)
    state["features.0.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    model = PANet(vgg16(tmp_path / "nan.safetensors", NARROW)).eval()
    with pytest.raises(ValueError, match="not finite"):
        model(own(torch.ones(6, 7)))
