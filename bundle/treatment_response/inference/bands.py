"""A scaled map as an integer label map of bands, for viewers that show segments and no colour maps."""

from __future__ import annotations

import numpy as np

from treatment_response.problems import DataProblem, Problem

# OHIF's MONAI Label mode paints a label by its text alone: h = 4·length + Σ character codes, and red, green and blue
# are 2h, 3h and 5h mod 256. The wording was searched for by program so that the bands come out blue → cyan → green →
# orange → red there (tests/inference/test_bands.py holds the colours); another wording changes them.
_NAMES: dict[int, tuple[str, ...]] = {
    5: (
        "CAM 0 to 20% weakest",
        "CAM 20 to 40% moderately weak",
        "CAM 40 to 60% mid",
        "CAM 60 to 80% rather strong",
        "CAM 80 to 100% extremely strong",
    ),
    3: (
        "CAM 0 to 33% weakest",
        "CAM 33 to 67% moderately strong",
        "CAM 67 to 100% extremely strong",
    ),
}
_BLUE, _CYAN, _GREEN, _ORANGE, _RED = (0, 60, 255), (0, 200, 255), (0, 210, 60), (255, 150, 0), (235, 0, 0)
_COLOURS = {5: (_BLUE, _CYAN, _GREEN, _ORANGE, _RED), 3: (_BLUE, _GREEN, _RED)}

COUNTS = tuple(_NAMES)
"""The numbers of bands that can be asked for, the default first."""


def band_names(count: int) -> list[str]:
    """Names of the bands, low to high: the share of the model's stored scale that the contribution reaches.

    Raises:
        DataProblem: there are no names for this number of bands.
    """
    return list(_NAMES[_known(count)])


def band_colours(count: int) -> list[tuple[int, int, int]]:
    """RGB in [0, 255] of the bands, blue to red, for formats that store colours.

    Raises:
        DataProblem: as :func:`band_names`.
    """
    return list(_COLOURS[_known(count)])


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


def label_values() -> dict[str, int]:
    """The value of every band of every count in a label map: a viewer is told them once, before bands are chosen."""
    return {name: value for value, name in enumerate((name for names in _NAMES.values() for name in names), start=1)}


def to_labels(bands: np.ndarray, count: int) -> np.ndarray:
    """A label map, uint8, with the values of :func:`label_values`, from bands of :func:`to_bands`."""
    first = label_values()[band_names(count)[0]]
    return np.where(bands > 0, bands + np.uint8(first - 1), np.uint8(0)).astype(np.uint8)


def _known(count: int) -> int:
    if count not in _NAMES:
        choices = " or ".join(str(known) for known in sorted(_NAMES))
        raise DataProblem(Problem("bands", f"{count} bands cannot be shown", f"ask for {choices}"))
    return count
