"""A scaled map as an integer label map of bands, for viewers that show segments and no colour maps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from treatment_response.class_colours import MOST_COLOURS, class_colour, colour_numbers, ramp
from treatment_response.classes import RESPONSE, Classes
from treatment_response.ohif_colours import text_of_colour
from treatment_response.problems import DataProblem, Problem

COUNTS = (5, 3)
"""The numbers of bands that can be asked for, the default first."""

# A viewer paints a label by its text alone (see `ohif_colours`). These are the words to choose from, in five steps from
# weak to strong.
_STRENGTHS = (
    ("weakest", "very weak", "faint", "very faint", "slight", "very slight", "minimal", "lowest", "very low"),
    ("weak", "rather weak", "fairly weak", "low", "rather low", "fairly low", "mild", "modest", "moderately weak"),
    ("mid", "medium", "moderate", "middling", "intermediate", "average", "fairly mid"),
    ("strong", "rather strong", "fairly strong", "high", "rather high", "fairly high", "marked", "clear"),
    ("strongest", "very strong", "extremely strong", "highest", "very high", "extremely high", "maximal", "full"),
)
_ENDINGS = ("", " evidence", " share", " support", " signal", " effect", " activation", " contribution")
_BREAKS = (" ", ", ", ": ", " - ", "; ")
_NAME = re.compile(r"CAM (\S.* )?\d+ to \d+%")


@cache
def band_names(count: int, shown: str, classes: Classes = RESPONSE) -> tuple[str, ...]:
    """Names of the bands, low to high: the class, and the share of the model's stored scale that the evidence reaches.

    Args:
        count: one of :data:`COUNTS`.
        shown: the class whose evidence is shown, one of ``classes``.
        classes: of the model, see `check_colours`.

    Raises:
        DataProblem: there are no names for this number of bands.
    """
    strengths = {5: _STRENGTHS, 3: _STRENGTHS[::2]}[_known(count)]
    limits = [round(100 * step / count) for step in range(count + 1)]
    return tuple(
        _worded(f"CAM {shown} {low} to {high}%", words, colour)
        for low, high, words, colour in zip(
            limits, limits[1:], strengths, band_colours(count, shown, classes), strict=False
        )
    )


def band_colours(count: int, shown: str, classes: Classes = RESPONSE) -> list[tuple[int, int, int]]:
    """RGB in [0, 255] of the bands, low to high, in the class's colour; arguments and errors as :func:`band_names`."""
    return ramp(colour_numbers(classes)[classes.names.index(shown)], _known(count))


def check_colours(classes: Classes) -> None:
    """Refuse classes that could not be told apart in a viewer.

    Raises:
        DataProblem: there are more of them than colours.
    """
    if len(classes.names) > MOST_COLOURS:
        what = f"it has {len(classes.names)} classes, and viewers have colours for {MOST_COLOURS}"
        raise DataProblem(Problem("the model", what, "serve it without maps, by inference.json"))


def legend(count: int, classes: Classes = RESPONSE) -> Mapping[str, Any]:
    """What a viewer's legend says.

    Returns:
        ``colours``, class → ``#RRGGBB``; ``bands`` and ``band_colours``, class → list of the bands, low to high.
    """
    return {
        "colours": {
            shown: class_colour(number) for shown, number in zip(classes.names, colour_numbers(classes), strict=True)
        },
        "bands": {shown: list(band_names(count, shown, classes)) for shown in classes.names},
        "band_colours": {
            shown: [f"#{bytes(colour).hex().upper()}" for colour in band_colours(count, shown, classes)]
            for shown in classes.names
        },
    }


def to_bands(scaled: np.ndarray, count: int) -> np.ndarray:
    """Bands 1 to ``count`` of a map, 0 where it is 0: no evidence, or outside the lesion.

    Band b holds the values in ``((b − 1) / count, b / count]``.

    Args:
        scaled: shares of the stored scale in [0, 1], any shape.
        count: one of :data:`COUNTS`.

    Returns:
        uint8, of the same shape.

    Raises:
        DataProblem: as :func:`band_names`.
        ValueError: a value is outside [0, 1] or not finite.
    """
    count = _known(count)
    if scaled.size and not (scaled.min() >= 0 and scaled.max() <= 1):
        raise ValueError(f"bands are of values in [0, 1], got {scaled.min()} to {scaled.max()}.")
    return np.ceil(scaled * count).astype(np.uint8)


def label_values(classes: Classes = RESPONSE) -> dict[str, int]:
    """The value in a label map of every band of every class and count: a viewer is told them before it asks."""
    names = [name for count, shown in product(COUNTS, classes.names) for name in band_names(count, shown, classes)]
    return {name: value for value, name in enumerate(names, start=1)}


def to_labels(bands: np.ndarray, count: int, shown: str, classes: Classes = RESPONSE) -> np.ndarray:
    """A label map, uint8, with the values of :func:`label_values`, from bands of :func:`to_bands`."""
    first = label_values(classes)[band_names(count, shown, classes)[0]]
    return np.where(bands > 0, bands + np.uint8(first - 1), np.uint8(0)).astype(np.uint8)


def to_segments(
    labels: np.ndarray, count: int, classes: Classes = RESPONSE
) -> tuple[np.ndarray, list[str], list[tuple[int, int, int]]]:
    """A label map of :func:`to_labels` with the bands of all classes numbered from 1, their names and their colours."""
    names = [name for shown in classes.names for name in band_names(count, shown, classes)]
    colours = [colour for shown in classes.names for colour in band_colours(count, shown, classes)]
    before = np.uint8(label_values(classes)[names[0]] - 1)
    return np.where(labels > 0, labels - before, np.uint8(0)).astype(np.uint8), names, colours


def is_band_name(name: str) -> bool:
    """Whether a segment of this name is a band, of this version of the software or an earlier one."""
    return _NAME.match(name.strip()) is not None


def _worded(start: str, words: tuple[str, ...], colour: tuple[int, int, int]) -> str:
    texts = (f"{start}{pause}{word}{ending}" for pause, word, ending in product(_BREAKS, words, _ENDINGS))
    return text_of_colour(texts, colour)


def _known(count: int) -> int:
    if count not in COUNTS:
        choices = " or ".join(str(known) for known in sorted(COUNTS))
        raise DataProblem(Problem("bands", f"{count} bands cannot be shown", f"ask for {choices}"))
    return count
