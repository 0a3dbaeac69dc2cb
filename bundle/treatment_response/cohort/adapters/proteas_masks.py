"""Which voxels of a PROTEAS mask are lesion: BraTS numbers the parts of a tumour, and oedema is none of the lesion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

OEDEMA = 2
CORE = (1, 3, 4)
"""Necrosis (1) and enhancing tumour (3, in older data 4): what contrast T1 shows, and what clinics outline."""
_PARTS = {OEDEMA, *CORE}
_NEIGHBOURS = np.ones((3, 3, 3))


def lesion_voxels(mask: np.ndarray, values: Sequence[float]) -> np.ndarray:
    """The lesions: the tumour core where a mask has parts, else all that is above 0.

    Args:
        mask: ``(I, J, K)``.
        values: the different values above 0 in it, ascending.

    Returns:
        bool ``(I, J, K)``.
    """
    return np.isin(mask, CORE) if len(values) > 1 else mask > 0


def lesion_fault(mask: np.ndarray, values: Sequence[float], others: Sequence[Sequence[float]]) -> str:
    """Why it is not known which voxels of a mask are lesion; empty if it is.

    Args:
        mask: ``(I, J, K)``.
        values: the different values above 0 in it, ascending; empty for an empty mask.
        others: those of the patient's other masks.
    """
    if len(values) > 1 and not _PARTS.issuperset(values):
        return f"holds the values {_listed(values)}, and BraTS has the parts 1 to 4 only"
    if len(values) > 1 and _mostly_apart(mask == OEDEMA, np.isin(mask, CORE)):
        return f"holds the values {_listed(values)}, and 2 touches no other: it may number lesions, not their parts"
    if list(values) == [OEDEMA]:
        return "holds the value 2 alone, which is oedema in BraTS"
    if (
        len(values) == 1
        and values[0] not in CORE[1:]
        and any(len(other) > 1 and _PARTS.issuperset(other) for other in others)
    ):
        return f"holds the value {_listed(values)} alone, and another mask of the patient holds several"
    return ""


def values_note(values: Sequence[float]) -> str:
    """What to tell about a mask that is not simply 0 and 1; empty if it is."""
    if len(values) > 1:
        oedema = ", 2 (oedema) is not" if OEDEMA in values else ""
        return (
            f"its mask holds the values {_listed(values)}: 1, 3 and 4 (tumour core of BraTS) are read as lesion{oedema}"
        )
    if values and values[0] != 1:
        return f"its mask holds 0 and {_listed(values)}; {_listed(values)} is read as lesion"
    return ""


def _mostly_apart(part: np.ndarray, core: np.ndarray) -> bool:
    """Whether most of a part, by volume, lies in pieces that touch no core."""
    labelled, count = ndimage.label(part, structure=_NEIGHBOURS)
    if not count:
        return False
    sizes = np.bincount(labelled.ravel())
    touching = np.unique(labelled[ndimage.binary_dilation(core, structure=_NEIGHBOURS) & part])
    return bool(sizes[touching].sum() < 0.5 * sizes[1:].sum())


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
