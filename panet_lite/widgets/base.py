"""What every widget shares: its module's text, its still picture, arrays that cross to the page."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import anywidget
import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from ..figures import BACKGROUND, COLOURS
from ..matching import ALPHA
from ..prototypes import EPSILON, VOID
from .scenes import packed, unpacked

HERE = Path(__file__).parent
SHARED = ("scenes.js", "arithmetic.js", "page.js", "pictures.js", "brush.js")
CONSTANTS = {
    "COLOURS": COLOURS,
    "BACKGROUND": BACKGROUND,
    "VOID": VOID,
    "EPSILON": EPSILON,
    "ALPHA": ALPHA,
}  # written down once, in Python


def source(*names: str) -> str:
    """The text of files of this folder, one after the other."""
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


def module(*scripts: str, shared: tuple[str, ...] = SHARED) -> str:
    """The text of a widget's ES module: constants, what is shared of arithmetic and page, and the widget's own files.

    An anywidget's module is loaded from one string, where an import of a neighbour would find nothing; so is a worker.
    """
    known = CONSTANTS | ({"WORKER": source("embedding.js")} if "network.js" in scripts else {})
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in known.items())
    return constants + "\n" + source(*shared, *scripts)


class Array(traitlets.TraitType):  # type: ignore[type-arg]  # Colab's traitlets 5.7 takes none
    """A trait that is a numpy array of one dtype; tensors and lists are converted, `checked` is asked.

    A page's value that is no such array is refused: the old one stays, is sent back, and the widget's
    `message` says why.
    """

    def __init__(self, dtype: str, **kwargs: Any):
        super().__init__(default_value=None, allow_none=True, **kwargs)
        self.dtype = dtype
        self.tag(sync=True, to_json=lambda value, _: None if value is None else packed(value))
        self.tag(from_json=self.from_page)

    def validate(self, obj: Any, value: Any) -> Any:
        """The array of this trait's dtype that the widget accepts; a TraitError where there is none."""
        if value is None:
            return None
        value = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        with np.errstate(invalid="ignore"):
            array = np.ascontiguousarray(value, dtype=self.dtype)
        if not np.array_equal(array, value):
            raise traitlets.TraitError(f"{self.name} holds values that do not fit into {self.dtype}.")
        try:
            obj.checked(self.name, array)
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None
        return array

    def from_page(self, value: object, widget: Any) -> Any:
        """The array that the page sent; where it does not fit, the one held so far, and a message."""
        try:
            return self.validate(widget, unpacked(value, self.dtype))
        except (ValueError, traitlets.TraitError) as error:
            widget.message = str(error)
            return getattr(widget, str(self.name))


class Widget(anywidget.AnyWidget):
    """An anywidget with a still picture for where no JavaScript runs (GitHub, PDF, Colab unexecuted).

    A subclass names its ES module, `script = "paint.js"` (`parts`: more .js and .css of its own; `shared`:
    which of the common ones), and writes `figure()`, the still picture, and `alt()`, one sentence that says
    what the picture shows. `message` is shown in the widget.
    """

    parts: tuple[str, ...] = ()
    shared: tuple[str, ...] = SHARED
    message = traitlets.Unicode("").tag(sync=True)
    from_page = False  # whether the change being handled was made in the page
    _ipython_display_ = None  # ipywidgets 7 has one, which would show the view without the picture

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Attributes and no keywords of the class, which traitlets 5.7 (Colab's) refuses. An instance gets a
        # subclass of its own from anywidget, which names no script and inherits what was made of it here.
        if "script" in cls.__dict__:
            scripts, styles = ([p for p in cls.parts if p.endswith(end)] for end in (".js", ".css"))
            cls._esm = module(*scripts, cls.script, shared=cls.shared)
            cls._css = source("widgets.css", *styles)
        super().__init_subclass__(**kwargs)

    def checked(self, name: str, array: np.ndarray) -> None:
        """A ValueError where `array` cannot be the value of the trait `name`."""

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """The page's changes. Observers see `from_page`: what the page computed need not be computed again."""
        self.from_page = True
        try:
            super().set_state(sync_data)
        except traitlets.TraitError as error:  # nothing was changed; the page is told why, and what holds
            self.message = str(error)
            self.send_state([name for name in sync_data if name in self.keys])
        finally:
            self.from_page = False

    def figure(self) -> Figure:
        """The still picture."""
        raise NotImplementedError

    def alt(self) -> str:
        """One sentence that says what the still picture shows."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.alt()}"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        figure, buffer = self.figure(), io.BytesIO()
        figure.savefig(buffer, dpi=100, facecolor="white")
        plt.close(figure)
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        data["image/png"] = base64.b64encode(buffer.getvalue()).decode()
        return data, {**metadata, "image/png": {"alt": self.alt()}}


class SceneWidget(Widget):
    """A widget about one scene (see `scenes.scene`): N = W * K supports and Q queries of (H, W') pixels.

    label_map: uint8 (N, H, W'), what the supports are labelled with. prediction: uint8 (Q, H, W').
    """

    scene = traitlets.Dict().tag(sync=True)
    label_map = Array("uint8")
    prediction = Array("uint8")

    def checked(self, name: str, array: np.ndarray) -> None:
        """A ValueError where an array is not (supports or queries, H, W) of 0..ways and void."""
        ways, supports = self.scene["ways"], self.scene["ways"] * self.scene["shots"]
        counts = {"label_map": supports, "prediction": self.scene["queries"]}
        if name not in counts:
            return
        shape = (counts[name], *self.scene["size"])
        if array.shape != shape:
            raise ValueError(f"{name} is {array.shape}, and should be {shape}: one label map for each image.")
        if wrong := sorted(set(np.unique(array).tolist()) - {*range(ways + 1), VOID}):
            raise ValueError(f"{name} holds {wrong[0]}, which is no class: use 0 to {ways} and {VOID}.")
