"""What brings widgets to life in the static book: `book/_assets/widgets.js`, in a real browser."""

import base64
import json
import shutil
from pathlib import Path

import pytest

HOST = Path(__file__).resolve().parents[2] / "book" / "_assets" / "widgets.js"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
HELLO = "export default { render({ model, el }) { el.textContent = `hello ${model.get('n')}`; } };"


def model(esm=HELLO, buffers=(), **state):
    """A model's entry in a page's state; buffers: (path, bytes)."""
    packed = [
        {"path": path, "encoding": "base64", "data": base64.b64encode(data).decode()}
        for path, data in buffers
    ]
    return {"state": {"_esm": esm, "_css": ".a { top: 0 }", "_anywidget_id": "a", **state}, "buffers": packed}


@pytest.fixture
def show(open_page, tmp_path):
    """`show({"id": model()}, ["id"])` opens a page with those models and views, as the book writes them."""

    def open(states, views):
        shutil.copy(HOST, tmp_path)
        kind = "application/vnd.jupyter.widget-"
        boxes = "".join(
            f'<div class="widget-box"><img class="widget-still" alt="A still picture" src="{PIXEL}">'
            f'<script type="{kind}view+json">{json.dumps({"model_id": view})}</script></div>'
            for view in views
        )
        state = states if isinstance(states, str) else json.dumps({"version_major": 2, "state": states})
        (tmp_path / "page.html").write_text(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>page</title><link rel="icon" href="data:,">'
            f'<script defer src="widgets.js"></script>{boxes}<script type="{kind}state+json">{state}</script>',
            encoding="utf-8",
        )
        return open_page((tmp_path / "page.html").as_uri())

    return open


def run(page, body):
    """The value of a JavaScript function's body that may use `model`, the first widget's."""
    return page.evaluate(f"() => {{ const model = document.querySelector('.widget-host').model; {body} }}")


def test_a_widget_takes_the_place_of_its_picture(show):
    page = show({"one": model(n=3)}, ["one"])
    assert page.locator(".widget-host").all_text_contents() == ["hello 3"]
    assert page.locator("img:visible").count() == 0
    assert page.troubles == []


def test_two_views_of_a_model_share_it_and_its_style(show):
    page = show({"one": model(n=3), "two": model(n=4)}, ["one", "one", "two"])
    assert page.locator(".widget-host").all_text_contents() == ["hello 3", "hello 3", "hello 4"]
    assert (
        page.evaluate("[...document.querySelectorAll('.widget-host')].map((e) => e.model).indexOf(null)")
        == -1
    )
    assert (
        page.evaluate("new Set([...document.querySelectorAll('.widget-host')].map((e) => e.model)).size") == 2
    )
    assert page.locator("style[data-widget]").count() == 1


def test_bytes_come_back_to_their_places(show):
    buffers = [(["top"], b"\x00\xff"), (["deep", "list", 1], b"abc"), (["deep", "map"], b"")]
    page = show({"one": model(deep={"list": [1, None]}, buffers=buffers)}, ["one"])
    found = run(
        page,
        """const { list, map } = model.get("deep");
        return [model.get("top"), list[1], map].map((x) => [x instanceof DataView, ...new Uint8Array(x.buffer)]);""",
    )
    assert found == [[True, 0, 255], [True, 97, 98, 99], [True]]


def test_changes_are_told_once_and_only_where_a_value_differs(show):
    page = show({"one": model(n=1, list=[1, {"a": 2}], buffers=[(["bytes"], b"ab")])}, ["one"])
    told = run(
        page,
        """const told = [], note = (what) => (_, value) => told.push([what, value ?? null]);
        const first = note("n");
        model.on("change:n change:list", first); model.on("change:n", note("n too")); model.on("change", note("any"));
        model.on("change:bytes", () => told.push("bytes"));
        model.set("n", 1); model.set("list", [1, { a: 2 }]);
        model.set("bytes", new Uint8Array([97, 98]));
        model.set("n", 2); model.set({ n: 3, list: [] }); model.save_changes(); model.send({});
        model.off("change:n", first); model.set("n", 4);
        model.set("bytes", new Uint8Array([97, 99]));
        model.off(); model.set("n", 5);
        return [told, model.get("n"), model.get("nothing") === undefined];""",
    )
    expected = [
        *(["n", 2], ["n too", 2], ["any", None]),
        *(["n", 3], ["n too", 3], ["n", []], ["any", None]),
        *(["n too", 4], ["any", None]),
        *("bytes", ["any", None]),
    ]
    assert told == [expected, 5, True]


def test_modules_may_be_functions_wait_and_initialize(show):
    esm = """export default async () => ({
      initialize({ model }) { model.set("n", model.get("n") + 1); },
      async render({ model, el }) { await null; el.textContent = model.get("n"); } });"""
    page = show({"one": model(esm, n=1)}, ["one", "one"])
    assert page.locator(".widget-host").all_text_contents() == ["2", "2"]


BROKEN = {
    "throws": model("export default { render() { throw new Error('out of paint'); } };"),
    "rejects": model("export default { render: async () => { throw new Error('out of paint'); } };"),
    "no JavaScript": model("export default {"),
    "no module": {"state": {"_model_name": "IntSliderModel"}},
    "exports nothing": model("1;"),
    "wrong base64": {**model(), "buffers": [{"path": ["a"], "encoding": "base64", "data": "%"}]},
    "wrong encoding": {**model(), "buffers": [{"path": ["a"], "encoding": "hex", "data": "00"}]},
    "wrong path": {**model(), "buffers": [{"path": ["a", "b"], "encoding": "base64", "data": ""}]},
    "prototype": {**model(), "buffers": [{"path": ["__proto__", "p"], "encoding": "base64", "data": ""}]},
    "no state": {},
    "null": None,
    "number": 7,
}


@pytest.mark.parametrize("name", [*BROKEN, "not there"])
def test_a_broken_widget_says_so_and_its_neighbour_lives(name, show):
    page = show({**BROKEN, "good": model(n=1)}, [name, "good"])
    (said,) = page.locator(".widget-failed[role=alert]").all_text_contents()
    assert said.startswith("This widget could not start: ") and len(said) > 40
    assert "out of paint" in said or name not in ("throws", "rejects")
    assert page.locator(".widget-still:visible").count() == 1
    assert page.locator(".widget-host[data-ready]").all_text_contents() == ["hello 1"]
    assert page.evaluate("({}).p") is None
    assert page.troubles == []


@pytest.mark.parametrize("state", ["", "{", "null", "[]", '{"state": 3}', '{"state": {"one": '])
def test_a_state_that_cannot_be_read(state, show):
    page = show(state, ["one", "one"])
    said = page.locator(".widget-failed[role=alert]").all_text_contents()
    assert len(said) == 2 and all(s.startswith("This widget could not start: ") for s in said)
    assert page.locator(".widget-still:visible").count() == 2
    assert page.troubles == []
