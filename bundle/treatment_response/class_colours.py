"""The colours of the classes: one class has one colour on every screen, in every figure and in every stored object."""

from __future__ import annotations

import numpy as np

from treatment_response.classes import Classes

# The colours by their numbers: warm for what one looks for, then cool. Okabe and Ito's palette: told apart by
# colour-blind readers.
_CLASS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")
MOST_COLOURS = len(_CLASS)
"""How many classes can be told apart by colour."""
# From weak to strong evidence, at the middle of five equal steps: off the class's hue and dull, light, then full and
# dark. All are colours that OHIF's MONAI Label mode can paint (see `bands`), and equally
# light at each step but for green, which readers who see no red or no green tell from vermillion by its lightness.
_RAMPS = (
    ((188, 154, 86), (252, 122, 118), (236, 98, 78), (220, 74, 38), (206, 53, 3)),  # ochre to vermillion
    ((24, 164, 188), (102, 153, 255), (92, 138, 230), (82, 123, 205), (72, 108, 180)),  # teal to blue
    ((168, 252, 164), (160, 240, 144), (152, 228, 124), (142, 213, 99), (132, 198, 74)),  # light green
    ((204, 50, 254), (196, 38, 234), (190, 29, 219), (182, 17, 199), (174, 5, 179)),  # purple
)
OUTLINE = "#FFFF00"
"""A lesion's outline: a colour of no class."""
OUTLINES = ((255, 255, 0), (0, 255, 0), (255, 0, 255), (255, 255, 255), (190, 255, 120), (220, 170, 255))
"""RGB 0 to 255 of several lesions' outlines, by their order; the first is `OUTLINE`."""


def colour_numbers(classes: Classes) -> tuple[int, ...]:
    """Of each class the number of its colour.

    The finding, which one looks for, is vermillion (0), in every system. The others are blue (1), green (2) and purple
    (3), from the best to the worst where the classes have an order, else as they are numbered: blue is recovery or no
    finding. PULSAR's classes have the colours 0 and 1, as they are numbered. Classes beyond `MOST_COLOURS` have numbers
    without a colour.
    """
    others = [name for name in classes.order or classes.names if name != classes.finding]
    numbers = {name: number for number, name in enumerate([classes.finding, *others])}
    return tuple(numbers[name] for name in classes.names)


def class_colour(number: int) -> str:
    """A colour as ``#RRGGBB``.

    Args:
        number: of the class's colour, see `colour_numbers`.

    Raises:
        IndexError: there are no more than `MOST_COLOURS`.
    """
    return _CLASS[number]


def ramp(number: int, steps: int) -> list[tuple[int, int, int]]:
    """RGB 0 to 255 of 3 or 5 steps of evidence for a class, weak to strong; ``number`` as in :func:`class_colour`."""
    return list({5: _RAMPS[number], 3: _RAMPS[number][::2]}[steps])


def shade(values: np.ndarray, number: int) -> np.ndarray:
    """RGB 0 to 255, float ``(…, 3)``, of evidence for a class; the ramp of five steps, drawn out.

    Args:
        values: shares of the stored scale in [0, 1], any shape.
        number: as in :func:`class_colour`.
    """
    middles = np.linspace(0.1, 0.9, len(_RAMPS[number]))
    return np.stack([np.interp(values, middles, channel) for channel in zip(*_RAMPS[number], strict=True)], axis=-1)


def opacity(values: np.ndarray) -> np.ndarray:
    """How strongly evidence covers the picture under it, 0 to 1: not at all where there is none, else by its share."""
    return np.where(np.asarray(values) > 0, 0.45 + 0.4 * np.clip(values, 0, 1), 0.0)


def rgb(colour: str) -> tuple[int, int, int]:
    """``#RRGGBB`` as three numbers, 0 to 255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
