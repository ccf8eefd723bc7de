"""What the values of masks mean (appendix on data; "Your own pictures").

PASCAL VOC's convention is 0 for the background, 255 for void, 1, 2, ... for classes. What other programs write is read
by all that the masks of a folder show together, or by what one says; where two readings are possible, none is guessed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from .masks import VOID

MANY = 20  # classes without names: more values than these are the soft edges of a brush, or no mask at all
LOW, HIGH = 8, 248  # values below and from there on are 0 and 255 that were smeared


@dataclass(frozen=True)
class Meaning:
    """What the values of masks mean.

    table: uint8 (256,), from a value to its label, 0 background, 1.. `names`, 255 void. note: what was decided, for
    a reader who did not say so; "" where nothing was.
    """

    table: np.ndarray
    names: tuple[str, ...]
    note: str = ""

    @staticmethod
    def said(values: Mapping[int, str], areas: np.ndarray, what: str) -> "Meaning":
        """Of values that one has named: background, void and classes, in the order of their first mention."""
        if wrong := [value for value in values if value not in range(256)]:
            raise ValueError(f"A mask's values are 0..255, not {wrong[0]!r}: see --mask-values.")
        names = list(dict.fromkeys(name for name in values.values() if name not in ("background", "void")))
        if unsaid := [value for value in np.flatnonzero(areas.any(0)).tolist() if value not in values]:
            raise ValueError(
                f"{what}: the value {unsaid[0]} is there, which --mask-values does not name: add it."
            )
        labels = {"background": 0, "void": VOID} | {name: label for label, name in enumerate(names, start=1)}
        table = np.zeros(256, np.uint8)
        for value, name in values.items():
            table[value] = labels[name]
        return Meaning(table, tuple(names))

    @staticmethod
    def of(areas: np.ndarray, what: str, names: Sequence[str] = (), one: str = "object") -> "Meaning":
        """Of the values that masks hold, `areas` (N, 256) pixels of each in each mask.

        names: of classes 1, 2, ...; without them each value is a class, named by its number. Only 0 and 255, sharp or
        smeared: 255 is the class, called `one`. Errors: ValueError where two readings are possible, with the choice.
        """
        total = areas.sum(0)
        found = np.flatnonzero(total[1:VOID]) + 1  # neither background nor void, as it stands
        bright, many = np.count_nonzero(total[HIGH:]), len(found) > MANY
        edges = bright > 1 or (total[VOID] and (many or not len(found)))
        if edges and len(names) < 2 and total[:LOW].any():
            return Meaning.of_one(total, what, names[0] if names else one)
        if names:
            return Meaning(np.arange(256, dtype=np.uint8), tuple(names))
        if many:
            shown = f"{len(found)} values between 0 and 255 ({', '.join(map(str, found[:9]))}, ...)"
            refuse(f"{what}: {shown}, but a mask has one a class, no shades")
        if len(found) == 1 and total[VOID]:
            value, grey = int(found[0]), found[0] in (127, 128)
            if grey or not ((areas[:, value] > 0) & (areas[:, VOID] > 0)).any():
                example = f" 0=background {value}={'void' if grey else 'object'} 255=object"
                refuse(f"{what}: both {value} and 255 may be the object", example)
        table = np.zeros(256, np.uint8)
        table[[*found, VOID]] = [*range(1, len(found) + 1), VOID]
        return Meaning(table, tuple(map(str, found)))

    @staticmethod
    def of_one(total: np.ndarray, what: str, name: str) -> "Meaning":
        """Of masks whose one class is 255, with edges that may be soft; what lies between becomes void."""
        table = np.full(256, VOID, np.uint8)
        table[:LOW], table[HIGH:] = 0, 1
        between = total[LOW:HIGH].sum()
        if between > 0.1 * total.sum() or between > total[HIGH:].sum():
            kinds = np.count_nonzero(total)
            refuse(f"{what}: {kinds} different values, many of them shades, but a mask has one a class")
        if not total[1:VOID].any():
            return Meaning(table, (name,), f"{what}: only 0 and 255, so 255 was taken for the object.")
        return Meaning(
            table, (name,),
            f"{what}: soft edges; values near 0 and 255 were taken for the background and the object, those between, "
            f"{100 * between / total.sum():.1f} % of the pixels, for void.",
        )  # fmt: skip


def values_said(words: Sequence[str]) -> dict[int, str]:
    """What --mask-values says, {value: name}: words such as 0=background 128-255=object."""
    said: dict[int, str] = {}
    for word in " ".join(words).replace(",", " ").split():
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?=(\S+)", word)
        if not match or int(match[1]) in said:
            raise ValueError(
                f"--mask-values wants VALUE=NAME or FIRST-LAST=NAME, each value once, not {word!r}."
            )
        said |= dict.fromkeys(range(int(match[1]), int(match[2] or match[1]) + 1), match[3])
    return said


def refuse(why: str, example: str = " 0-127=background 128-255=object") -> NoReturn:
    """A ValueError with the choice to make."""
    raise ValueError(f"{why}. Say what they mean, as in --mask-values{example}, or save one value a class.")
