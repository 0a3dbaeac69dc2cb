"""A measured study as an integer label map: its lesions, with the lines of both diameters drawn in them."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from treatment_response.class_colours import OUTLINES
from treatment_response.criteria.measurements import MeasuredStudy, box_of
from treatment_response.geometry import Volume
from treatment_response.ohif_colours import text_of_colour

NAMED = 9
"""Lesions that have a label of their own; the others share one."""
_COLOURS = OUTLINES[1:5]  # yellow is none that OHIF paints
_LINE = (0, 0, 0)
_BREAKS = (" ", ", ", ": ", " - ", "; ")
_LESION_WORDS = ("outline", "mask", "region", "contour", "volume", "segment", "drawn", "area", "voxels", "as outlined")
_LINE_WORDS = ("line", "axis", "drawn", "as a line", "in one slice", "in its plane", "of the lesion", "marked", "black")


@cache
def label_values() -> dict[str, int]:
    """The value of each label by its text, which viewers that go by it paint in the label's colour.

    Returns:
        Lesions 1 to `NAMED`, all further ones, the longest diameters, the perpendicular ones: 1, 2, ….
    """
    lesions = [f"lesion {number}" for number in range(1, NAMED + 1)]
    colours = [_COLOURS[number % len(_COLOURS)] for number in range(NAMED + 1)]
    texts = [
        _painted(name, _LESION_WORDS, rgb) for name, rgb in zip([*lesions, "further lesions"], colours, strict=True)
    ]
    texts += [_painted(name, _LINE_WORDS, _LINE) for name in ("longest diameter", "perpendicular diameter")]
    return {text: value for value, text in enumerate(texts, start=1)}


def label_of(lesion: str) -> str:
    """The label's text of a lesion, by its number."""
    return list(label_values())[min(int(lesion), NAMED + 1) - 1]


def response_labels(study: MeasuredStudy, grid: Volume) -> np.ndarray:
    """Draw the lesions of a study and their diameters.

    A diameter is drawn in the slice that it was measured in, one voxel wide.

    Args:
        study: its lesions are known by numbers.
        grid: that its masks were cropped from.

    Returns:
        uint8 ``(I, J, K)`` with the values of `label_values`.
    """
    labels = np.zeros(grid.array.shape, np.uint8, order="F")
    values = label_values()
    longest, perpendicular = list(values.values())[-2:]
    for name, parts in study.masks.items():
        for part in parts:
            labels[box_of(part, grid)][np.asarray(part.array) != 0] = values[label_of(name)]
    for lesion in study.lesions.values():
        for measured in lesion.parts:
            for ends, value in ((measured.longest, longest), (measured.perpendicular, perpendicular)):
                _draw(labels, grid.to_index(ends), value)
    return labels


def _draw(labels: np.ndarray, ends: np.ndarray, value: int) -> None:
    """Set the voxels along a line between two points, given as voxel indices; what lies outside is left out."""
    steps = 2 * int(np.ceil(np.abs(ends[1] - ends[0]).max())) + 1
    along = np.linspace(0, 1, steps + 1)[:, None]
    index = np.rint(ends[0] + along * (ends[1] - ends[0])).astype(int)
    inside = np.all((index >= 0) & (index < labels.shape), axis=1)
    labels[tuple(index[inside].T)] = value


def _painted(name: str, words: tuple[str, ...], colour: tuple[int, int, int]) -> str:
    """A text that people who name outlines of their own would not choose."""
    return text_of_colour((f"{name}{pause}{word}" for pause, word in product(_BREAKS, words)), colour)
