"""Which classes weights were trained on, so that no test asks for them unawares (paper Sec. 3.1; chapter 7).

Classes of episodes count; ImageNet's do not, as nobody in the field counts them (Sec. 4.1). A class is its name,
whatever the data set: a chair of Tabletop's and one of PASCAL's are the same, as are COCO's couch and PASCAL's sofa.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path

from torch import nn

from ..datasets import PASCAL_CLASSES, TABLETOP_CLASSES
from .weights import header

SAME = {"airplane": "aeroplane", "couch": "sofa", "motorcycle": "motorbike", "tv": "tvmonitor"}
CLASSES = {"Tabletop": TABLETOP_CLASSES, "Pascal": PASCAL_CLASSES}  # of checkpoints that give only their fold


def trained_on(path: str | Path) -> dict[str, str]:
    """{class: by which weights} of all classes that a checkpoint of ours was trained on; a note where it does not say
    so. Nothing for a file of others."""
    about = header(path)
    dataset = str(about.get("dataset", "Tabletop" if "pretrain" in about else "")).partition("(")[0]
    names, fold, classes = about.get("trained_on"), about.get("fold"), CLASSES.get(dataset, ())
    if not isinstance(names, list):
        known = classes and type(fold) is int
        names = [name for i, name in enumerate(classes) if known and i // 5 != fold]
    if dataset and not names:
        says = f"{path} does not say which classes of {dataset} it was trained on"
        warnings.warn(f"{says}: see to it that no test asks for one of them.", stacklevel=2)
    return dict.fromkeys(map(str, names), f"{Path(path).name} (for fold {fold} of {dataset or 'some data'})")


def plain(name: str) -> str:
    """A name as it is compared: without capitals, spaces and hyphens."""
    letters = "".join(filter(str.isalnum, name.casefold())) or name
    return SAME.get(letters, letters)


def seen_among(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """{class: by which weights} of those classes that the model, or any part of it, was trained on."""
    known = [getattr(part, "trained_on", {}) for part in model.modules()]
    trained = {plain(name): whose for part in known for name, whose in part.items()}
    return {name: trained[plain(name)] for name in names if plain(name) in trained}


def check_unseen(model: nn.Module, names: Iterable[str], allowed: bool = False) -> tuple[str, ...]:
    """Those classes to be tested that the model was trained on. Errors: ValueError where it is not `allowed`."""
    if (seen := seen_among(model, names)) and not allowed:
        raise ValueError(
            f"{', '.join(seen)}: trained on by {', '.join(dict.fromkeys(seen.values()))}, so that no test of few "
            "shots may ask for it. Test the fold that the weights were trained for, take other weights ({fold} in "
            "--weights stands for the fold), or allow it by --allow-seen (allow_seen=True): the result says so."
        )
    return tuple(seen)
