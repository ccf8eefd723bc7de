"""Your own photos in the page: files in, marks on them, label maps out; what it says is what `Segmenter` says."""

import base64
import io
import re

import numpy as np
import pytest
from mounting import HOST, line, page_of
from PIL import Image

from panet_lite import PANet, Segmenter, pretrained
from panet_lite.backbones import vgg16
from panet_lite.widgets import OwnPhotos
from panet_lite.widgets.network import script

SIZES = {"mug.png": (192, 192), "table.jpg": (500, 380), "late.webp": (300, 700)}  # width, height


@pytest.fixture
def widget(model, data):
    return OwnPhotos(model, [data.image(3), data.image(5)])


@pytest.fixture
def laboratory(open_page, tmp_path, widget, model):
    """`laboratory(**options)`: a page with the widget, the network in the folder beside it, as `make book` writes it."""

    def open(network=None, **options):
        (tmp_path / "_static").mkdir()
        host = HOST.read_text(encoding="utf-8")
        (tmp_path / "_static" / "widgets.js").write_text(host, encoding="utf-8")
        if network != "":
            (tmp_path / "_static" / "network.js").write_text(network or script(model.backbone))
        page = page_of(widget).replace(
            f"<script>{host}</script>", '<script src="_static/widgets.js"></script>'
        )
        (tmp_path / "page.html").write_text(page, encoding="utf-8")
        return open_page((tmp_path / "page.html").as_uri(), **options)

    return open


@pytest.fixture
def photos(tmp_path, data):
    """Photos of several kinds and sizes: {name: path}."""
    found = {}
    for i, (name, size) in enumerate(SIZES.items()):
        picture = Image.fromarray(data.image(3 + 2 * i).permute(1, 2, 0).numpy()).resize(size)
        picture.save(path := tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
        found[name] = path
    return found


def bring(page, *files):
    """Choose files, and wait until the network has looked at all of them."""
    before = page.locator(".panet-stage canvas").count()
    page.set_input_files("input[type=file]", list(map(str, files)))
    page.wait_for_function(
        "n => document.querySelectorAll('.panet-stage canvas').length === n && !document.querySelector('[data-busy]')",
        arg=before + len(files), timeout=120_000,
    )  # fmt: skip


def drag(page, number, start, end):
    """Press, move and let go on a photo's canvas; places as shares of its sides."""
    view = page.locator(".panet-stage canvas").nth(number)
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    at = lambda x, y: (box["x"] + x * box["width"], box["y"] + y * box["height"])  # noqa: E731
    page.mouse.move(*at(*start))
    page.mouse.down()
    page.mouse.move(*at(*end), steps=5)
    page.mouse.up()


def saved(page, number):
    """The label map that a photo's button saves: {name, picture}."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save the label map").nth(number).click()
    download = waiting.value
    return download.suggested_filename, Image.open(io.BytesIO(open(download.path(), "rb").read()))


def test_what_it_finds_is_what_the_package_finds(laboratory, photos, model, tmp_path):
    """A box and a stroke of the background on one photo, another class on a second, found in a third of another shape."""
    page = laboratory()
    bring(page, photos["mug.png"], photos["table.jpg"])
    assert "Mark thing 1 in" in line(page, "Mark thing")
    page.get_by_role("radio", name="Box").check()
    drag(page, 0, (0.3, 0.3), (0.6, 0.7))
    assert "photo 2: thing 1" in line(page, "photo 2")
    page.get_by_role("radio", name="Background").check()
    drag(page, 0, (0.05, 0.9), (0.9, 0.95))
    page.get_by_role("button", name="Another thing").click()
    page.get_by_role("textbox").fill("lamp")
    page.get_by_role("radio", name="Object").check()
    drag(page, 1, (0.7, 0.2), (0.8, 0.4))
    line(page, "All photos are marked")
    bring(page, photos["late.webp"])
    assert "lamp" in line(page, "photo 3: thing 1")
    marks = []
    for number, name in enumerate(["mug.png", "table.jpg"]):
        called, picture = saved(page, number)
        assert (
            called == f"{name.split('.')[0]}-marks.png"
            and picture.size == SIZES[name]
            and picture.mode == "P"
        )
        picture.save(path := tmp_path / called)
        marks.append(path)
    assert set(np.unique(Image.open(marks[0]))) == {0, 1, 255} and set(np.unique(Image.open(marks[1]))) == {
        2,
        255,
    }
    called, found = saved(page, 2)
    assert called == "late-found.png" and found.size == SIZES["late.webp"]
    segmenter = Segmenter(model).fit([photos["mug.png"], photos["table.jpg"]], marks)
    (wanted,) = segmenter.predict([photos["late.webp"]])
    assert segmenter.names == ("1", "2")
    said = re.findall(r"score (\d\.\d\d)", line(page, "photo 3: thing 1").split("photo 3")[1])
    assert list(map(float, said)) == pytest.approx(list(wanted.scores.values()), abs=0.03)
    same = np.asarray(found) == wanted.labels.numpy()
    assert (
        same.mean() > 0.98 and len(np.unique(wanted.labels)) > 1
    )  # JPEG and sizes are decoded by others here
    assert page.troubles == []


def test_files_that_are_no_photos_are_sentences(laboratory, photos, tmp_path):
    page = laboratory()
    wrong = {
        "none.png": (b"", "is empty"), "film.mp4": (b"\0" * 99, "is no photo"), "drawing.svg": (b"<svg/>", "is no photo"),
        "text.jpg": (b"no picture", "cannot be read by this browser"),
    }  # fmt: skip
    for name, (content, says) in wrong.items():
        (tmp_path / name).write_bytes(content)
        page.set_input_files("input[type=file]", str(tmp_path / name))
        page.wait_for_function(
            "t => document.querySelector('.panet-alarm').textContent.includes(t)", arg=says
        )
        page.wait_for_function("() => !document.querySelector('[data-busy]')")
    bring(page, photos["mug.png"])  # and it goes on
    assert page.locator(".panet-stage canvas").count() == 1 and page.troubles == []


def test_a_photo_too_large_is_a_sentence(laboratory, tmp_path):
    Image.new("L", (9000, 7000)).save(tmp_path / "huge.png")
    page = laboratory()
    page.set_input_files("input[type=file]", str(tmp_path / "huge.png"))
    says = "huge.png has 63 megapixels: make it smaller, 60 at most."
    page.wait_for_function("t => document.querySelector('.panet-alarm').textContent === t", arg=says)


def test_a_photo_turned_by_the_camera_stands(laboratory, tmp_path, data):
    """EXIF says which way is up, here as for the package."""
    picture = Image.fromarray(data.image(3).permute(1, 2, 0).numpy()).crop((0, 0, 192, 96))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    page = laboratory()
    bring(page, tmp_path / "turned.jpg")
    drag(page, 0, (0.4, 0.4), (0.6, 0.6))
    assert saved(page, 0)[1].size == (96, 192)


@pytest.mark.parametrize(
    "content, says",
    [
        ("", "network.js is missing"),
        ("globalThis.nothing = 1;", "network.js beside this page is spoilt"),
        (
            'globalThis.panetNetwork = {content: {}, buffers: ["H4sIAAAA"]};',
            "network.js beside this page is spoilt",
        ),
        ("another", "another network than this widget's"),
    ],
)
def test_a_network_that_is_none_is_one_sentence(laboratory, photos, content, says):
    """Missing, spoilt, or another fold's: no photo is searched by it, and the widget lives on."""
    page = laboratory(network=script(pretrained(1).backbone) if content == "another" else content)
    for _ in range(2):  # the second photo tries again
        page.set_input_files("input[type=file]", str(photos["mug.png"]))
        page.wait_for_function(
            "t => document.querySelector('.panet-alarm').textContent.includes(t)", arg=says
        )
        page.wait_for_function("() => !document.querySelector('[data-busy]')")
        page.get_by_role("button", name="Undo").click()  # going on takes the sentence away
        assert page.locator(".panet-alarm").is_hidden()


def test_nothing_leaves_the_page_and_nothing_is_kept(laboratory, photos):
    """Of requests there is the network's file alone, once; no storage is touched."""
    page = laboratory()
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    bring(page, photos["mug.png"], photos["table.jpg"])
    drag(page, 0, (0.4, 0.4), (0.6, 0.6))
    line(page, "photo 2")
    files = [url for url in sent if not url.startswith(("blob:", "data:"))]
    assert [url.rsplit("/", 1)[-1] for url in files] == ["network.js"] and files[0].startswith("file:")
    assert page.context.cookies() == [] and page.evaluate("[localStorage.length, sessionStorage.length]") == [
        0,
        0,
    ]


def test_rendered_scenes_undo_remove_and_keyboard(laboratory):
    page = laboratory()
    page.get_by_role("button", name="Rendered scenes").click()
    page.wait_for_function(
        "() => document.querySelectorAll('.panet-stage canvas').length === 2", timeout=120_000
    )
    view = page.locator(".panet-stage canvas").first
    view.focus()
    page.keyboard.press("Space")
    assert "photo 2: thing 1" in line(page, "photo 2")
    page.get_by_role("button", name="Undo").click()
    line(page, "Mark thing 1")
    drag(page, 1, (0.4, 0.4), (0.6, 0.6))
    line(page, "photo 1")
    page.get_by_role("button", name="Remove scene 2").click()
    line(page, "Add a second photo")
    assert page.troubles == []


def test_what_is_missing_is_said_and_clear_can_be_undone(laboratory, photos):
    page = laboratory()
    bring(page, photos["mug.png"], photos["table.jpg"])
    page.get_by_role("radio", name="Background").check()
    drag(page, 0, (0.1, 0.9), (0.3, 0.9))
    assert "Mark thing 1 in" in line(page, "Mark thing")  # background alone is no thing
    page.get_by_role("radio", name="Object").check()
    drag(page, 0, (0.4, 0.4), (0.6, 0.6))
    page.get_by_role("button", name="Another thing").click()
    assert "thing 2 is not marked yet" in line(page, "photo 2: thing 1")
    page.get_by_role("button", name="Clear").click()
    line(page, "Mark thing 2")
    page.get_by_role("button", name="Undo").click()
    line(page, "photo 2: thing 1")
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("radio", name="Box").check()
    drag(page, 0, (0.001, 0.001), (0.999, 0.999))  # all of it
    line(page, "Mark some of the background as well.")
    assert page.troubles == []


DROPPED = """([text, kind, list]) => {
  const bag = new DataTransfer();
  bag.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], `${kind}.png`, { type: "image/png" }));
  const event = new Event(kind, { bubbles: true, cancelable: true });
  Object.defineProperty(event, list, { value: bag });
  document.querySelector(".panet-body").dispatchEvent(event);
  return event.defaultPrevented;
}"""


def test_photos_are_dropped_and_pasted(laboratory, photos):
    page = laboratory()
    text = base64.b64encode(photos["mug.png"].read_bytes()).decode()
    for number, (kind, holder) in enumerate((("drop", "dataTransfer"), ("paste", "clipboardData")), 1):
        assert page.evaluate(DROPPED, [text, kind, holder])
        page.wait_for_function(
            "n => document.querySelectorAll('.panet-stage canvas').length === n", arg=number, timeout=120_000
        )
    assert "drop.png" in page.inner_text(".panet-stage") and "paste.png" in page.inner_text(".panet-stage")


CAMERA = """
  globalThis.streams = [];
  const source = document.createElement("canvas");
  source.getContext("2d").fillRect(0, 0, 40, 30);
  const devices = { getUserMedia: async () => {
    const stream = source.captureStream(5);
    streams.push(stream);
    setInterval(() => source.getContext("2d").fillRect(0, 0, 40, 30), 100);
    return stream;
  } };
  Object.defineProperty(navigator, "mediaDevices", { value: devices });
"""


def test_the_camera_is_asked_for_and_never_stays_on(laboratory):
    page = laboratory(prepare=lambda page: page.add_init_script(CAMERA))
    live = "() => streams.map((stream) => stream.getTracks()[0].readyState)"
    assert page.evaluate(live) == []
    page.get_by_role("button", name="Camera", exact=True).click()
    page.wait_for_function("() => document.querySelector('video')?.videoWidth")
    page.get_by_role("button", name="Take the photo").click()
    page.locator(".panet-stage canvas").wait_for(timeout=120_000)
    page.get_by_role("button", name="Camera", exact=True).click()  # once more
    page.wait_for_function("() => streams.length === 2 && streams[0].getTracks()[0].readyState === 'ended'")
    page.get_by_role("button", name="Close the camera").click()
    assert page.evaluate(live) == ["ended", "ended"] and page.locator("video").count() == 0


def test_a_page_without_a_camera_says_so(laboratory):
    page = laboratory()
    page.get_by_role("button", name="Camera", exact=True).click()
    page.wait_for_function("() => document.querySelector('.panet-alarm').textContent.includes('camera')")


def test_a_notebook_hands_the_network_over(widget, monkeypatch):
    """Where there is no folder beside the page, Python answers."""
    sent = []
    monkeypatch.setattr(widget, "send", lambda content, buffers: sent.append((content, buffers)))
    widget._handle_custom_msg({"ask": "network"}, [])
    widget._handle_custom_msg({"ask": "weather"}, [])
    ((content, buffers),) = sent
    assert content["network"]["channels"] == 112 and content["machinery"]["wasm"]["dtype"] == "uint8"
    wasm = buffers[content["machinery"]["wasm"]["data"]["buffer"]]
    assert wasm[:4] == b"\0asm" and len(buffers) == 4


def test_still_picture_and_another_network(widget):
    assert "photos of your own" in repr(widget) and len(widget.examples) == 2
    with pytest.raises(ValueError, match="The page computes EfficientNet-Lite0, not vgg16"):
        OwnPhotos(PANet(vgg16(width=0.25)))
    assert widget.figure() and OwnPhotos(widget_model := pretrained(0)).figure()
    assert OwnPhotos(widget_model).network == widget.network != OwnPhotos(pretrained(1)).network
