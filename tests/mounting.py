"""A widget on a page of its own, as the book's pages carry it: state, view, and the book's host script.

`conftest.py` hands the fixtures on.
"""

import base64
import html
import json
from pathlib import Path

import numpy as np
import pytest
from ipywidgets.embed import dependency_state, embed_data

from panet_lite import pretrained
from panet_lite.datasets import Tabletop

HOST = Path(__file__).parents[1] / "book" / "_assets" / "widgets.js"
MODEL = "document.querySelector('.widget-host').model"


def page_of(*widgets, theme: str = "light") -> str:
    """HTML with the widgets and nothing else; `element.model` of each host element is its model."""
    state = dependency_state(widgets, drop_defaults=False)  # and not of all widgets that are alive
    data = embed_data(views=widgets, drop_defaults=False, state=state)

    def script(kind, value):
        text = json.dumps(value).replace("</", "<\\/")
        return f'<script type="application/vnd.jupyter.widget-{kind}+json">{text}</script>'

    body = [script("state", data["manager_state"])]
    body += [f"<p>{html.escape(repr(w))}</p>{script('view', v)}" for w, v in zip(widgets, data["view_specs"])]
    body.append(f"<script>{HOST.read_text(encoding='utf-8')}</script>")
    return (
        f'<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8"><title>widgets</title>'
        f'<meta name="viewport" content="width=device-width"><main><h1>Widgets</h1>{"".join(body)}</main>'
    )


def plain(value):
    """A scene as JSON: bytes become {"base64": ...}."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.fixture(scope="session")
def data():
    return Tabletop("val")


@pytest.fixture(scope="session")
def model():
    return pretrained(0)


@pytest.fixture
def shown(open_page, tmp_path):
    """`shown(widget, **options of the context)`: a page with the widget alone."""

    def show(widget, **options):
        path = tmp_path / "page.html"
        path.write_text(page_of(widget), encoding="utf-8")
        return open_page(path.as_uri(), **options)

    return show


def spoil(widget, change, monkeypatch):
    """The page gets the widget's state with `change`: {trait: value, or what is other in its scene}."""
    scene, whole = widget.scene, type(widget).get_state
    state = {k: scene | v if k == "scene" and v else v for k, v in change.items()}
    monkeypatch.setattr(
        type(widget), "get_state", lambda self, *args, **kwargs: whole(self, *args, **kwargs) | state
    )


def on_page(page, name):
    """A trait as the page has it; arrays as numpy arrays."""
    value = page.evaluate(f"""() => {{
        const value = {MODEL}.get("{name}");
        if (!value?.data) return value;
        const {{ buffer, byteOffset, byteLength }} = value.data;
        return {{ shape: value.shape, bytes: new Uint8Array(buffer, byteOffset, byteLength).join() }};
    }}""")
    if isinstance(value, dict) and "bytes" in value:
        return numbers(value["bytes"]).reshape(value["shape"])
    return value


def numbers(text):
    """Bytes that a page gave as text, with commas: so they cross at once, not one by one."""
    return np.fromstring(text, np.uint8, sep=",")


def line(page, text):
    """The sentence under the pictures, once it speaks of `text`."""
    page.wait_for_function(
        "text => document.querySelector('.panet-line').textContent.includes(text)", arg=text
    )
    return page.inner_text(".panet-line")
