"""Convolutions: what an output reads, by torch, by Python and by the page; by mouse, touch and keyboard."""

import copy
import gzip
import json
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mounting import MODEL, line, page_of, spoil
from torch import nn
from traitlets import TraitError

from panet_lite.backbones import vgg16
from panet_lite.check.chapter02 import looks_at_reference as looks_at
from panet_lite.widgets.base import HERE, SHARED, module
from panet_lite.widgets.convolutions import Convolutions, coloured, output_side
from panet_lite.widgets.scenes import packed, unpacked

NAMES = ("coarse", "plain", "dilated")


def variants():
    """The paper's geometry, the one with its dilation taken out, and the one with stride 2 at maxpool4; one set of weights."""
    torch.manual_seed(0)
    dilated = vgg16(width=1 / 16).eval()
    coarse, plain = copy.deepcopy(dilated), copy.deepcopy(dilated)
    for network, stride in ((coarse, 2), (plain, 1)):
        for layer in network.features:
            if isinstance(layer, nn.Conv2d):
                layer.padding = layer.dilation = (1, 1)
        network.features[23].stride = stride
    return dict(zip(NAMES, (coarse, plain, dilated)))


@pytest.fixture(scope="module")
def picture(data):
    return data.image(3)


@pytest.fixture
def widget(picture):
    return Convolutions(picture, variants(), {"dilated": 93}, network="dilated")


@pytest.fixture
def shown(widget, shown):
    return lambda widget=widget, **options: shown(widget, **options)


def settings(n=200):
    """Random grids: (side, (kernel, stride, padding, dilation))."""
    draw = random.Random(0).randint
    return [(draw(4, 12), (draw(1, 5), draw(1, 3), draw(0, 4), draw(1, 3))) for _ in range(n)]


def stacks(n=200):
    """Random layers, one behind the other, and an output's index."""
    draw = random.Random(1).randint
    layer = lambda: (draw(1, 5), draw(1, 3), draw(0, 4), draw(1, 3))  # noqa: E731
    return [(draw(0, 30), [layer() for _ in range(draw(1, 17))]) for _ in range(n)]


# ---- Python -------------------------------------------------------------------------------------


def test_reads_and_outputs_are_those_of_torch():
    """The inputs with a gradient, and the number of outputs; 0 where torch refuses."""
    empty = 0
    for side, (k, s, p, d) in settings():
        grid = Convolutions(side=side, kernel=k, stride=s, padding=p, dilation=d)
        line = torch.zeros(1, 1, side, requires_grad=True)
        if grid.outputs == 0:
            empty += 1
            with pytest.raises(RuntimeError):
                F.conv1d(line, torch.ones(1, 1, k), None, s, p, d)
            continue
        out = F.conv1d(line, torch.ones(1, 1, k), None, s, p, d)[0, 0]
        assert grid.outputs == len(out)
        for i in range(len(out)):
            (gradient,) = torch.autograd.grad(out[i], line, retain_graph=True)
            assert gradient[0, 0].nonzero().flatten().tolist() == [j for j in grid.reads(i) if 0 <= j < side]
    assert 0 < empty < 100


def test_fields_are_those_that_gradients_reach(widget, picture):
    """Weights of one: then everything in the field has an influence."""
    network = variants()["dilated"]
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    ends = [i + 1 for i, m in enumerate(network.features) if isinstance(m, nn.MaxPool2d)] + [30]
    for block, (row, column) in ((1, (0, 95)), (2, (20, 30)), (3, (4, 20)), (4, (12, 12))):
        widget.block, widget.cell = block, (row, column)
        image = torch.ones(1, 3, 192, 192, dtype=torch.double, requires_grad=True)
        pools = nn.Sequential(
            *(
                nn.AvgPool2d(3, m.stride, 1) if isinstance(m, nn.MaxPool2d) else m
                for m in network.double().features[: ends[block - 1]]
            )
        )  # a maximum asks one of its inputs only
        pools(image)[0, :, row, column].sum().backward()
        reached = image.grad[0, 0].nonzero()
        for axis, (first, last) in enumerate(widget.field()):
            assert reached[:, axis].min() == max(0, first) and reached[:, axis].max() == min(191, last)


def test_the_chapters_numbers(widget):
    sizes = {}
    for name in NAMES:
        widget.network, widget.cell = name, (12, 12)
        sizes[name] = [widget.field(block)[0] for block in range(6)]
    assert [last - first + 1 for first, last in sizes["dilated"]] == [211, 103, 49, 21, 13, 1]
    assert sizes["dilated"][0] == (-9, 201)
    assert {n: b[0][1] - b[0][0] + 1 for n, b in sizes.items()} == {
        "coarse": 211,
        "plain": 163,
        "dilated": 211,
    }


def test_every_old_feature_is_among_the_new_ones(widget):
    """Also in its colour: the coarse network's last map is every second cell of the dilated one's."""
    last = {}
    for name in NAMES:
        facts = widget.scene["networks"][name]
        last[name] = unpacked(widget.scene["maps"][facts["maps"][-1]], "uint8").astype(int)
    assert [m.shape for m in last.values()] == [(12, 12, 3), (24, 24, 3), (24, 24, 3)]
    assert np.abs(last["coarse"] - last["dilated"][::2, ::2]).max() <= 1
    assert np.abs(last["plain"] - last["dilated"]).max() > 20
    used = [widget.scene["networks"][name]["maps"] for name in NAMES]
    assert used[0][:3] == used[1][:3] == used[2][:3] and used[1][3] == used[2][3]  # equal maps are held once


def test_colours_are_the_three_strongest_directions():
    torch.manual_seed(0)
    scores = torch.randn(3, 8, 8) * torch.tensor([9.0, 3.0, 1.0]).view(3, 1, 1)
    turn = torch.linalg.qr(torch.randn(6, 3)).Q
    (colours,) = coloured([torch.einsum("kc,chw->khw", turn, scores) + 5])
    assert colours.shape == (8, 8, 3) and colours.dtype == torch.uint8
    for k in range(3):
        r = np.corrcoef(colours[..., k].flatten(), scores[k].flatten())[0, 1]
        assert abs(r) > 0.95
    one = coloured([torch.randn(1, 4, 4)])[0]  # of one channel: grey
    assert (one[..., 0] == one[..., 1]).all() and (one[..., 1] == one[..., 2]).all()


def test_what_makes_no_sense_is_refused(widget, picture):
    for name, value in (("kernel", 6), ("side", 3), ("padding", -1), ("stride", 0), ("place", (0, -1))):
        with pytest.raises(TraitError):
            setattr(widget, name, value)
    with pytest.raises(TraitError, match="no network 'wide'"):
        widget.network = "wide"
    with pytest.raises(TraitError, match="no block 6: choose one from 1 to 5"):
        widget.block = 6
    with pytest.raises(TraitError, match="no network to look through"):
        Convolutions().view = "network"
    with pytest.raises(ValueError, match="belong together"):
        Convolutions(picture)
    with pytest.raises(ValueError, match="variants of one"):
        Convolutions(picture, {"a": variants()["plain"], "b": cut(variants()["plain"])})
    widget.set_state({"block": 9})
    assert widget.block == 5 and "no block 9" in widget.message
    widget.set_state({"kernel": 99})
    assert widget.kernel == 3 and widget.message


def cut(network):
    network.features = network.features[:24]
    return network


def test_beyond_the_last_cell_the_last_is_meant(widget):
    widget.cell = (10**9, 0)
    assert widget.field(5) == ((23, 23), (0, 0))
    widget.network = "coarse"
    assert widget.field(5) == ((11, 11), (0, 0))


def test_the_still_pictures_and_the_weight(widget):
    data, metadata = widget._repr_mimebundle_()
    assert 20_000 < len(data["image/png"]) < 200_000
    assert "behind block 5 can depend on rows -9 to 201" in metadata["image/png"]["alt"]
    assert "dashed, a square of 93" in widget.alt()
    assert len(widget.figure().axes) == 6
    grid = Convolutions(stride=2, place=(9, 9))
    assert "8 x 8 inputs and the 4 x 4 outputs" in grid.alt() and len(grid.figure().axes) == 2
    assert Convolutions(kernel=5, dilation=3, padding=0, side=4).figure()  # no output
    assert len(page_of(widget).encode()) < 150_000
    assert len(gzip.compress((page_of(widget) + page_of(grid)).encode())) < 100_000


# ---- in the page --------------------------------------------------------------------------------


def test_javascript_says_what_the_package_says(open_page, tmp_path):
    (tmp_path / "empty.html").write_text("<!doctype html><title>empty</title>")
    page = open_page((tmp_path / "empty.html").as_uri())
    text = (
        module(*Convolutions.parts[:1], shared=Convolutions.shared)
        + "\nexport { outputSide, looksAt, readsOf };"
    )
    grids, walks = settings(), stacks()
    run = """async ({ text, grids, walks }) => {
      const A = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
      return JSON.stringify([
        grids.map(([n, layer]) => [A.outputSide(n, layer), A.readsOf(1, layer)]),
        walks.map(([index, layers]) => A.looksAt(index, layers)),
      ]);
    }"""
    mine, back = json.loads(page.evaluate(run, {"text": text, "grids": grids, "walks": walks}))
    for (n, layer), (count, reads) in zip(grids, mine):
        k, s, p, d = layer
        assert count == output_side(n, layer)
        assert reads == Convolutions(side=n, kernel=k, stride=s, padding=p, dilation=d).reads(1)
    assert [tuple(ends) for ends in back] == [looks_at(*walk) for walk in walks]
    assert page.troubles == []


def set_slider(page, name, value):
    page.get_by_label(name, exact=True).filter(visible=True).fill(str(value))


def trait(page, name, value):
    page.wait_for_function(
        f"([n, v]) => JSON.stringify({MODEL}.get(n)) === v",
        arg=[name, json.dumps(value, separators=(",", ":"))],
    )


def test_the_grid(shown):
    page = shown(Convolutions())
    assert not page.get_by_text("Through the network").is_visible()
    told = line(page, "8\u00a0×\u00a08 outputs")
    assert "row 0, column 0 reads rows −1, 0, 1 and columns −1, 0, 1. Beyond 0 to 7 lies padding." in told
    assert "= ⌊(8 + 2 · 1 − 1 · (3 − 1) − 1) / 1⌋ + 1 = 8" in page.locator(".panet-body p").first.inner_text()
    for name, value in (("Stride s", 2), ("Dilation d", 2), ("Padding p", 2)):
        set_slider(page, name, value)
    told = line(page, "4\u00a0×\u00a04 outputs")
    assert "48 of 64 inputs are read by no output" in told
    assert page.locator(".panet-cell-cross").count() == 48
    assert page.locator("svg").first.locator(".panet-cell-chosen").count() == 9
    trait(page, "dilation", 2)
    box = page.locator("svg").nth(1).bounding_box()
    page.mouse.click(box["x"] + 2.5 * box["width"] / 12, box["y"] + 1.5 * box["width"] / 12)
    line(page, "row 1, column 2 reads rows 0, 2, 4 and columns 2, 4, 6")
    trait(page, "place", [1, 2])
    for name, value in (("Kernel k", 5), ("Dilation d", 3), ("Padding p", 0)):
        set_slider(page, name, value)
    line(page, "no output")
    assert page.troubles == []


def test_back_through_the_blocks(shown, widget):
    page = shown()
    told = line(page, "dilated: row 12, column 12 after block 5")
    assert "rows −9 to 201 and columns −9 to 201 of the picture, 211\u00a0×\u00a0211" in told
    assert "93\u00a0×\u00a093" in told
    canvases = page.locator(".panet-blocks canvas")
    assert canvases.count() == 6
    box = canvases.nth(2).bounding_box()
    page.mouse.click(box["x"] + 30.5 * box["width"] / 48, box["y"] + 20.5 * box["height"] / 48)
    widget.block, widget.cell = 2, (20, 30)
    (top, bottom), (left, right) = widget.field()
    line(
        page,
        f"row 20, column 30 after block 2 can depend on rows {top} to {bottom} and columns {left} to {right}",
    )
    trait(page, "block", 2)
    trait(page, "cell", [20, 30])
    assert "lit: 19\u00a0×\u00a019" in page.locator(".panet-blocks figcaption").first.inner_text()
    page.get_by_label("4", exact=True).check(force=True)
    line(page, "row 10, column 15 after block 4")  # at the same place of the picture
    page.get_by_label("5", exact=True).check(force=True)
    page.get_by_label("coarse").check(force=True)
    line(page, "coarse: row 5, column 7 after block 5")
    trait(page, "network", "coarse")
    page.get_by_label("One convolution").check(force=True)
    line(page, "outputs. The one in row 0")
    trait(page, "view", "grid")
    assert page.troubles == []


def test_the_lit_part_is_the_field(shown, widget):
    """Outside the frame the picture is darkened, inside it is as it was."""
    widget.block, widget.cell = 3, (12, 12)
    page = shown()
    line(page, "after block 3")
    dim = page.evaluate(
        """() => {
      const canvas = document.querySelectorAll(".panet-blocks canvas")[2], { width } = canvas;
      const { data } = canvas.getContext("2d").getImageData(0, 0, width, width);
      return Array.from({ length: 48 }, (_, i) => data[4 * Math.floor((i + 0.5) * width / 48 * width + width / 2) + 3] &&
        [...data.slice(4 * (Math.floor((i + 0.5) * width / 48) * width + width / 2)).slice(0, 3)]);
    }"""
    )
    facts = widget.scene["networks"]["dilated"]
    plain = unpacked(widget.scene["maps"][facts["maps"][1]], "uint8")[:, 24]
    first, last = widget.field(2)[0]
    for row in range(48):
        if row in (first - 1, first, last, last + 1):
            continue  # the frame's line
        share = 1.0 if first < row < last else 0.4
        assert np.abs(np.array(dim[row]) - plain[row] * share).max() <= 3, row


def test_by_touch_on_a_phone(shown):
    page = shown(has_touch=True, viewport={"width": 320, "height": 800})
    canvas = page.locator(".panet-blocks canvas").nth(5)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.touchscreen.tap(box["x"] + 0.02 * box["width"], box["y"] + 0.99 * box["height"])
    line(page, "row 23, column 0 after block 5")
    trait(page, "cell", [23, 0])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("One convolution").check(force=True)
    page.locator(".panet input[type=range]:visible").nth(6).wait_for()  # the grid's seven sliders
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    heights = page.locator(".panet input[type=range]:visible, .panet-choice span:visible").evaluate_all(
        "all => all.map((node) => node.getBoundingClientRect().height)"
    )
    assert len(heights) == 9 and min(heights) >= 24


def test_by_keyboard_alone(shown):
    page = shown()
    page.keyboard.press("Tab")
    for _ in range(2):
        page.keyboard.press("Tab")  # view, network, block
    page.keyboard.press("ArrowLeft")
    line(page, "after block 4")
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    line(page, "row 0, column 12 after block 4")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    line(page, "row 0, column 13 after block 4")
    trait(page, "cell", [0, 13])
    page.wait_for_function("document.querySelector('.panet-voice').textContent.includes('row 0, column 13')")
    assert page.troubles == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(open_page, tmp_path, axe, widget, theme):
    (tmp_path / "page.html").write_text(page_of(widget, theme=theme), encoding="utf-8")
    page = open_page((tmp_path / "page.html").as_uri())
    assert [found for found in axe(page) if ".panet" in found] == []
    page.get_by_label("One convolution").check(force=True)
    assert [found for found in axe(page) if ".panet" in found] == []


def test_code_moves_the_page(shown):
    page = shown()
    page.evaluate(f"{MODEL}.set({{ block: 1, cell: [95, 0], network: 'plain' }})")
    line(page, "plain: row 95, column 0 after block 1")
    page.evaluate(f"{MODEL}.set({{ view: 'grid', stride: 3 }})")
    line(page, "3\u00a0×\u00a03 outputs")
    assert page.troubles == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"view": "film"}, "There is no view film"),
        ({"kernel": 2.5}, "kernel should be a whole number from 1 to 5"),
        ({"side": 10**9}, "side should be a whole number from 4 to 12"),
        ({"place": "ab"}, "place should be"),
        ({"cell": [-1, 0]}, "cell should be"),
        ({"network": "<img src=x onerror=alert(1)>"}, "There is no network <img"),
        ({"block": 6}, "block should be a whole number from 1 to 5"),
        ({"scene": {}}, "There is no view network"),
        ({"scene": None}, "The scene is missing"),
        ({"scene": {"maps": None}}, "The blocks' pictures are missing"),
        ({"scene": {"maps": [packed(np.zeros((2, 2), np.uint8))]}}, "should be uint8 of shape 2 x 2 x 3"),
        ({"scene": {"networks": {}}}, "should have networks"),
        (
            {"scene": {"networks": {"dilated": {"layers": [[3, 1]], "ends": [1], "maps": [0]}}}},
            "A layer's number",
        ),
        ({"scene": {"networks": {"dilated": {"layers": 7}}}}, "layers are missing"),
        ({"scene": {"image": b"no picture"}}, "one of its pictures cannot be read"),
    ],
)
def test_malformed_state_gives_a_sentence(shown, widget, change, sentence, monkeypatch):
    spoil(widget, change, monkeypatch)
    page = shown()
    assert sentence in page.get_by_role("alert").inner_text()
    assert page.locator("img").count() == 0 and page.troubles == []


def test_a_wrong_value_later_on_gives_a_sentence_and_the_rest_goes_on(shown):
    page = shown()
    page.evaluate(f"{MODEL}.set('block', 77)")
    assert "block should be a whole number" in page.get_by_role("alert").inner_text()
    page.get_by_label("4", exact=True).check(force=True)
    line(page, "after block 4")
    assert page.troubles == []


def test_only_what_it_needs_is_carried():
    assert set(Convolutions.shared) < set(SHARED)
    assert (HERE / "arithmetic.js").read_text(encoding="utf-8") not in Convolutions._esm
