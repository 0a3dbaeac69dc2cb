"""Every lesion with its picture, what became of it, what the methods said, and what to be careful about."""

from __future__ import annotations

import base64
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatment_response.classes import CLASS_NAMES
from treatment_response.report.lesions.tables import is_sure
from treatment_response.report.shown import NO_BREAK, Row, ShownTable, known

FEW_CELLS = 9
"""A lesion with fewer CAM cells is too small for its map to mean anything."""
WRONG = "✗"


@dataclass(frozen=True)
class LesionPicture:
    """A lesion's thumbnail and what its slice says of it.

    Attributes:
        png: slice with contour, and CAM of non-response beside it if there is one.
        mapped: whether there is a CAM. coarse: whether its pixels are larger than the others' (a lesion wider than the
            field). cells: CAM cells that hold any of it.
    """

    png: bytes
    mapped: bool
    coarse: bool
    cells: int

    @property
    def uri(self) -> str:
        """The picture for ``src``."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class LesionRow:
    """A row of the page's table.

    Attributes:
        cells: text, the lesion's name first. kinds: CSS classes that the filters look for. picture: or None.
    """

    cells: Row
    kinds: str
    picture: LesionPicture | None


FILTERS = {
    "all": "all",
    "non": "non-response",
    "unsure": "uncertain label",
    "missed": "decided wrongly by every method",
    "coarse": "coarse pixels or few cells",
}


def lesion_rows(
    lesions: pd.DataFrame,
    predictions: Mapping[str, pd.DataFrame],
    pictures: Mapping[tuple[str, str], LesionPicture],
) -> tuple[ShownTable, list[LesionRow]]:
    """The table as text (for CSV and JSON) and as rows with pictures.

    Args:
        lesions: rows of ``lesions.csv``.
        predictions: method in words → one row per lesion of the primary role with ``p_response``.
        pictures: (subject, lesion) → picture; may be empty.
    """
    said: dict[str, dict[tuple[str, str], float]] = {
        method: dict(zip(zip(rows["subject"], rows["lesion"], strict=True), rows["p_response"], strict=True))
        for method, rows in predictions.items()
    }
    rows = []
    for lesion in lesions.sort_values(["subject", "lesion"]).to_dict("records"):
        key = (str(lesion["subject"]), str(lesion["lesion"]))
        answers = [table.get(key) for table in said.values()]
        label = int(lesion["label"])
        wrong = [p is not None and (p >= 0.5) != (label == 1) for p in answers]
        picture = pictures.get(key)
        # A rating has no such probability.
        sure = not known(lesion["p_response"]) or bool(is_sure(pd.Series([lesion["p_response"]])).iloc[0])
        flags = _flags(lesion, sure, picture)
        cells = (
            f"{key[0]} {key[1]}",
            f"{lesion['volume_ses-01_mm3'] / 1000:.2f}",
            f"{lesion['volume_change']:+.0%}" if known(lesion["volume_change"]) else "not measured",
            CLASS_NAMES[label],
            "; ".join(flags),
            *(_answer(p, bad) for p, bad in zip(answers, wrong, strict=True)),
        )
        small = picture is not None and (picture.coarse or picture.cells < FEW_CELLS)
        kinds = {"non": label == 0, "unsure": not sure, "missed": bool(wrong) and all(wrong), "coarse": small}
        rows.append(LesionRow(cells, " ".join(kind for kind, holds in kinds.items() if holds), picture))
    columns = ("lesion", "volume at MRI 1 (cm³)", "change at follow-up", "label", "careful:", *said)
    notes = [
        f"Numbers under a method are its P(response); {WRONG} marks a decision at 0.5 that was wrong. All are of "
        "lesions held out from the model where the data allow it, averaged over the trials.",
        "Uncertain label: an error of contouring would change it in more than one case of ten.",
        "Research use only.",
    ]
    return ShownTable("lesions", "Lesion by lesion", columns, [row.cells for row in rows], notes), rows


def _answer(p: float | None, wrong: bool) -> str:
    return "not scored" if p is None else f"{p:.2f}{NO_BREAK}{WRONG}" if wrong else f"{p:.2f}"


def _flags(lesion: Mapping[Hashable, Any], sure: bool, picture: LesionPicture | None) -> Sequence[str]:
    flags = [] if sure else ["uncertain label"]
    if lesion.get("status_ses-03") == "resolved":
        flags.append("resolved at follow-up")
    if picture is not None and picture.coarse:
        flags.append("coarse pixels")
    if picture is not None and picture.cells < FEW_CELLS:
        flags.append(f"only {picture.cells} CAM cells")
    return flags
