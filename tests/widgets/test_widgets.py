"""What all widgets share: packed arrays, small features, traits in step, and the arithmetic in JavaScript."""

import json

import numpy as np
import pytest
import torch
import traitlets
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from ipywidgets.widgets.widget import _remove_buffers
from mounting import plain

from panet_lite import EpisodeSampler, PANet, pretrained
from panet_lite.alignment import query_prototypes
from panet_lite.datasets import VOID
from panet_lite.evaluation import confusion, divide, true_false
from panet_lite.figures import COLOURS
from panet_lite.matching import ALPHA, match
from panet_lite.prototypes import support_prototypes
from panet_lite.widgets.base import CONSTANTS, HERE, SHARED, Array, Widget, module
from panet_lite.widgets.scenes import (
    CHANNELS,
    class_iou,
    compressed,
    features_of,
    packed,
    scene,
    segment,
    unpacked,
)

KINDS = ("dense", "scribble", "box", "point")
SHAPES = ((1, 1), (1, 3), (2, 1), (2, 2))


@pytest.fixture(scope="module")
def scenes(data, model):
    """Sixteen episodes of four shapes."""
    return [
        scene(EpisodeSampler(data, data.fold(0), ways, shots, seed=1).episode(i), model, starts=KINDS)
        for ways, shots in SHAPES
        for i in range(4)
    ]


# ---- arrays that cross -----------------------------------------------------------------------------


@given(arrays.arrays(st.sampled_from(["uint8", "int8", "float32"]), arrays.array_shapes(max_dims=4)))
def test_arrays_come_back(array):
    value = packed(array)
    json.dumps({**value, "data": None})  # all but the bytes is JSON
    assert np.array_equal(unpacked(value, str(array.dtype)), array, equal_nan=array.dtype.kind == "f")


GOOD = packed(np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"data": b"12345"}, "has 5 numbers"),
        ({"shape": [2, -3]}, "no list of sizes"),
        ({"shape": [2.0, 3]}, "no list of sizes"),
        ({"shape": [2**40]}, "no list of sizes"),
        ({"shape": "23"}, "no list of sizes"),
        ({"dtype": "float32"}, "must be bytes of uint8"),
        ({"data": "abcdef"}, "must be bytes of uint8"),
    ],
)
def test_an_untrusted_array_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        unpacked({**GOOD, **change}, "uint8")
    for nonsense in (None, 7, [], {"shape": [1]}):
        with pytest.raises(ValueError, match="dtype, shape, data"):
            unpacked(nonsense, "uint8")


# ---- small features --------------------------------------------------------------------------------


def test_all_channels_lose_only_the_rounding():
    torch.manual_seed(0)
    features = torch.randn(3, 16, 5, 6) + 3 * torch.randn(16, 1, 1)
    small, scale = compressed(features, 16)
    assert small.dtype == torch.int8 and small.shape == features.shape and small.abs().max() == 127
    back = small.float() * scale[:, None, None]
    gram = [f.transpose(0, 1).flatten(1) for f in (features, back)]
    exact, rounded = (g.T @ g for g in gram)
    lengths = exact.diagonal().sqrt()
    error = (exact - rounded).abs() / (lengths[:, None] * lengths)
    assert error.max() < 0.02
    wrong = torch.randn_like(back).transpose(0, 1).flatten(1)
    assert ((wrong.T @ wrong - exact).abs() / (lengths[:, None] * lengths)).max() > 0.02  # the bound can fail


def test_the_kept_directions_are_the_best():
    """No other k directions hold more of the squared length; centring would lose the mean."""
    torch.manual_seed(1)
    features = torch.randn(2, 12, 4, 4) + 5 * torch.randn(12, 1, 1)
    total = features.double().square().sum()
    singular = torch.linalg.svdvals(features.double().transpose(0, 1).flatten(1)).square()
    for k in (1, 3, 7):
        small, scale = compressed(features, k)
        kept = (small.double() * scale[:, None, None]).square().sum()
        assert kept / total == pytest.approx((singular[:k].sum() / total).item(), abs=0.01)


def test_more_channels_than_there_are():
    small, scale = compressed(torch.ones(1, 4, 2, 2), 32)
    assert small.shape == (1, 4, 2, 2) and scale.shape == (4,)


@pytest.mark.parametrize("fold", range(4))
def test_the_page_agrees_with_the_full_model(data, fold):
    """At least 98 % of the pixels, and the IoU of all episodes within a point."""
    model, counts, same = pretrained(fold), {"full": 0, "page": 0}, []
    for shots in (1, 5):
        sampler = EpisodeSampler(data, data.fold(fold), shots=shots, seed=fold)
        for i in range(6):
            episode = sampler.episode(i)
            facts = scene(episode, model)
            with torch.inference_mode():
                full = model(episode).labels()[0]
            page = segment(facts, unpacked(facts["starts"]["dense"], "uint8")).labels()[0]
            same.append((full == page).float().mean().item())
            for name, labels in (("full", full), ("page", page)):
                counts[name] += true_false(confusion(labels, episode.query_labels[0], 2).numpy()).sum(0)[1]
    assert np.mean(same) >= 0.98
    assert abs(divide(counts["full"]) - divide(counts["page"])) < 0.01
    assert CHANNELS == 48


def test_scene_and_features(scenes, data, model):
    facts = scenes[-1]
    assert (facts["ways"], facts["shots"], facts["queries"], facts["size"], facts["grid"]) == (2, 2, 1, [192, 192], [24, 24])  # fmt: skip
    support, query = features_of(facts)
    assert support.shape == (1, 2, 2, CHANNELS, 24, 24) and query.shape == (1, 1, CHANNELS, 24, 24)
    assert all(picture[:2] == b"\xff\xd8" for picture in facts["images"]) and len(facts["images"]) == 5
    euclid = PANet(model.backbone, distance="euclidean")
    other = scene(EpisodeSampler(data, data.fold(0), seed=1).episode(0), euclid)
    assert (other["distance"], other["alpha"]) == ("euclidean", 1.0)


def test_shots_can_be_left_out(scenes):
    facts = scenes[4]  # 1 way, 3 shots
    labels = unpacked(facts["starts"]["dense"], "uint8")
    support, query = features_of(facts)
    two = support_prototypes(support[:, :, [0, 2]], torch.from_numpy(labels)[None, None, [0, 2]])
    assert torch.allclose(segment(facts, labels, [True, False, True]).logits, match(query, two))
    assert not torch.allclose(segment(facts, labels).logits, match(query, two))


def test_class_iou():
    truth = torch.tensor([[[1, 1, 2, 0, VOID]]], dtype=torch.uint8)
    predicted = torch.tensor([[[1, 0, VOID, 1, 1]]], dtype=torch.uint8)
    assert class_iou(predicted, truth, 3) == pytest.approx([1 / 3, 0, float("nan")], nan_ok=True)


# ---- traits ------------------------------------------------------------------------------------------


class Probe(Widget):
    numbers = Array("uint8")

    def checked(self, name, array):
        if array.ndim != 1:
            raise ValueError("one dimension is wanted")


def from_page(widget, **values):
    """What the kernel does when the page sends a state."""
    widget.set_state(values)


def test_array_trait_takes_what_python_has():
    probe = Probe(numbers=[1, 2, 3])
    for value in ([4, 5], np.array([4, 5]), torch.tensor([4, 5]), np.array([4.0, 5.0])):
        probe.numbers = [1]
        probe.numbers = value
        assert probe.numbers.dtype == np.uint8 and probe.numbers.tolist() == [4, 5]
    for value in ([300], [-1], [0.5], [float("nan")], [[1], [2]]):
        with pytest.raises(traitlets.TraitError):
            probe.numbers = value
        assert probe.numbers.tolist() == [4, 5]
    state, paths, buffers = _remove_buffers(probe.get_state(["numbers"]))
    assert (
        state["numbers"]["shape"] == [2] and paths == [["numbers", "data"]] and bytes(buffers[0]) == b"\4\5"
    )


def test_array_trait_refuses_what_the_page_spoils():
    probe = Probe(numbers=[1, 2])
    from_page(probe, numbers=packed(np.array([7], np.uint8)))
    assert probe.numbers.tolist() == [7] and probe.message == ""
    for value in ({"dtype": "uint8", "shape": [3], "data": b"1"}, packed(np.zeros((1, 1), np.uint8)), "x"):
        probe.message = ""
        from_page(probe, numbers=value)
        assert probe.numbers.tolist() == [7] and probe.message
    assert probe.from_page is False


def test_one_source_for_the_constants():
    text = module("paint.js")
    assert f"const COLOURS = {json.dumps(COLOURS)};" in text and f"const VOID = {VOID};" in text
    assert "import " not in text.replace("import(", "") and text.count("export default") == 1
    assert set(CONSTANTS) <= {"COLOURS", "BACKGROUND", "VOID", "EPSILON", "ALPHA"}


@pytest.mark.parametrize("path", sorted(HERE.glob("*.js")), ids=lambda p: p.name)
def test_scripts_are_short_and_put_no_text_in_as_html(path):
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")  # a name, never asked for
    assert len(text.splitlines()) <= 250
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "http://",
        "https://",
    ):
        assert forbidden not in text


# ---- the arithmetic, in a browser --------------------------------------------------------------------

EXPORTS = """
export { openScene, supportMeans, supportPrototypes, match, segment, queryPrototypes, upsample,
  intersectionOverUnion, adjointUpsample, gridOf };
"""
RUN = """async ({ text, scene, bytes }) => {
  const put = (value) => {
    if (value && typeof value === "object" && "base64" in value)
      return new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer);
    if (Array.isArray(value)) return value.map(put);
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, put(v)]));
    return value;
  };
  const A = (globalThis.A ??= await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" }))));
  const s = A.openScene(put(scene));
  const out = [];
  for (const kind of Object.keys(s.starts)) for (const distance of ["cosine", "euclidean"]) {
    const means = s.starts[kind].map((map, n) => A.supportMeans(s, n, map));
    const prototypes = A.supportPrototypes(s, means);
    const features = s.features.slice(s.supports);
    const logits = features.map((f) => A.match(f, prototypes, s, { cosine: 20, euclidean: 1 }[distance], distance));
    const answers = logits.map((l) => A.segment(l, s));
    const back = A.queryPrototypes(features, logits, s);
    out.push({ kind, distance, prototypes: [...prototypes], logits: logits.map((l) => [...l]),
      labels: answers.map((a) => [...a.labels]), back: [...back.prototypes], predicted: back.predicted,
      likely: answers.map((a) => a.probabilities[0]),
      iou: s.names.map((_, i) => A.intersectionOverUnion(answers[0].labels, s.truth[0], i + 1)) });
  }
  return JSON.stringify(out);  // a text crosses at once, numbers one by one
}"""


def test_javascript_says_what_the_package_says(open_page, scenes, tmp_path):
    """Same label maps in: prototypes, logits, label maps, IoU and alignment's prototypes come out the same."""
    (tmp_path / "empty.html").write_text("<!doctype html><title>empty</title>")
    page = open_page((tmp_path / "empty.html").as_uri())
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in CONSTANTS.items())
    names = [name for name in SHARED if name in ("scenes.js", "arithmetic.js")]
    text = constants + "".join((HERE / name).read_text(encoding="utf-8") for name in names) + EXPORTS
    assert len(names) == 2
    for facts in scenes:
        answers = json.loads(page.evaluate(RUN, {"text": text, "scene": plain(facts)}))
        assert len(answers) == 2 * len(KINDS)
        for got in answers:
            labels = unpacked(facts["starts"][got["kind"]], "uint8")
            said = segment(facts, labels, alpha=ALPHA[got["distance"]], distance=got["distance"])
            largest = said.logits.abs().max()
            logits = torch.tensor(got["logits"], dtype=torch.float32).view(said.logits.shape)
            assert torch.allclose(logits / largest, said.logits / largest, atol=1e-5)
            assert torch.allclose(
                torch.tensor(got["prototypes"], dtype=torch.float32).view(said.prototypes.shape),
                said.prototypes,
                atol=1e-4,
            )
            predicted = said.labels()[0]
            mine = torch.tensor(got["labels"]).view(predicted.shape)
            assert (mine != predicted).sum() <= 2  # ties
            first = said.probabilities()[0, :, 0, 0, 0]
            assert torch.allclose(torch.tensor(got["likely"], dtype=torch.float32), first, atol=1e-4)
            truth = torch.from_numpy(unpacked(facts["truth"], "uint8"))
            assert got["iou"] == pytest.approx(class_iou(mine.to(torch.uint8), truth, facts["ways"]))
            back, there = query_prototypes(said.features.query, said.logits)
            assert torch.allclose(
                torch.tensor(got["back"], dtype=torch.float32).view(back.shape), back, atol=1e-3
            )
            assert got["predicted"] == there[0].tolist()
    assert page.troubles == []


def test_the_parity_test_could_fail(scenes):
    """The tolerance is far below what a wrong distance or a shifted label map would change."""
    facts = scenes[0]
    labels = unpacked(facts["starts"]["dense"], "uint8")
    right = segment(facts, labels)
    shifted = segment(facts, np.roll(labels, 2, axis=1))
    assert (right.logits - shifted.logits).abs().max() / right.logits.abs().max() > 1e-3
