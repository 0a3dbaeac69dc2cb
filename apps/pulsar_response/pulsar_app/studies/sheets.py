"""Sheets of measured facts that a model's config asks for beside its answer; no network has a say in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from treatment_response.cases.brain_mask_cache import brain_mask_cached
from treatment_response.dicom.event_outlines import drawn_lesion
from treatment_response.features.tumour_board import DAYS_PER_MONTH, DoseVolume, SheetRow, sheet_rows
from treatment_response.longitudinal.event_sheet import BY_MASK, OUTLINE, event_lesion, event_sheet
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

from pulsar_app.studies.inputs import find
from pulsar_app.studies.pacs_datastore import PacsDatastore
from pulsar_app.studies.search import Search

_DECIMALS = 3
_DRAWN, _SUBTRACTED = "as outlined on this series", "not outlined: new enhancement, by subtraction of the earlier MR"


@dataclass(frozen=True)
class DoseCurve:
    """The dose-volume curve that goes with a sheet.

    Attributes:
        unit: of its dose, such as ``EQD2 Gy``. isodose_gy: dose on the 95 % isodose; None if that is not known.
    """

    measured: DoseVolume
    unit: str
    isodose_gy: float | None

    def content(self) -> dict[str, Any]:
        """For an answer: ``dose`` and ``share`` (in [0, 1], of the lesion with at least that dose), as lists."""
        return {
            "dose": self.measured.dose_gy.round(_DECIMALS).tolist(),
            "share": self.measured.share.round(_DECIMALS + 1).tolist(),
            "unit": self.unit,
            "isodose": _rounded(self.isodose_gy),
        }


def tumour_board_sheet(search: Search) -> tuple[list[SheetRow], DoseCurve | None]:
    """Dose, place, time and growth of the lesion on a contrast T1 after radiotherapy.

    The lesion is what is outlined on the series, else what enhances newly since the MR before radiotherapy. Without a
    lesion there is no curve.

    Raises:
        DataProblem: dates and courses are not known, an input is missing, or several outlines could be the lesion.
    """
    if not isinstance(search.datastore, PacsDatastore) or search.image.source is None:
        what = "only a PACS holds dates, courses and outlines"
        raise DataProblem(Problem("sheet", what, "see tumour_board.csv of a prepared data set"))
    earlier = find(search, "contrast T1 before radiotherapy")
    dose = find(search, "EQD2 of finished courses")
    given = dose.given
    assert given is not None  # it was found in a PACS
    tell("measuring the lesion", 0)
    event = search.image.volume
    brain = brain_mask_cached(search.cache, event)
    drawn, notes = drawn_lesion(search.image.source, search.image.objects)
    lesion, lesion_by = event_lesion(drawn, event, earlier.volume, brain)
    months = None if given.days_since is None else given.days_since / DAYS_PER_MONTH
    if lesion is None:
        why = "; ".join(["not outlined, and the subtraction shows no new enhancement", *notes])
        return [
            SheetRow("lesion", None, "", why),
            SheetRow("time since radiotherapy", months, "months", given.days_since_from),
        ], None
    measured = event_sheet(
        lesion,
        event,
        earlier.volume,
        brain,
        dose.volume,
        isodose_gy=given.isodose_gy,
        drawn_cavity=earlier.cavity,
        days_between=earlier.days_before,
        days_since_radiotherapy=given.days_since,
    )
    cavity_from = {OUTLINE: "as outlined", "": ""}.get(measured.cavity_by, f"{measured.cavity_by} of the earlier MR")
    rows = sheet_rows(
        measured.sheet,
        lesion_from="; ".join([_DRAWN if lesion_by == BY_MASK else _SUBTRACTED, *notes]),
        ventricles_from=measured.ventricles_by,
        cavity_from=cavity_from,
        dose_from=dose.told,
        dose_unit=given.unit.removeprefix("EQD2 "),
        earlier=f"the MR of {earlier.days_before} days before",
        end_from=given.days_since_from,
    )
    return rows, DoseCurve(measured.sheet.dose, given.unit, given.isodose_gy)


SHEETS: dict[str, Callable[[Search], tuple[list[SheetRow], DoseCurve | None]]] = {"tumour board": tumour_board_sheet}
"""By the names that a config's ``sheet`` uses."""


def check_sheet(sheet: str | None) -> None:
    """Refuse a model whose sheet nobody can fill.

    Raises:
        DataProblem: naming the sheets that there are.
    """
    if sheet is not None and sheet not in SHEETS:
        what = f"'sheet' names {sheet[:60]!r}, which is none"
        raise DataProblem(Problem("config", what, f"use {' or '.join(map(repr, SHEETS))}"))


def filled_sheet(search: Search, sheet: str | None) -> dict[str, Any]:
    """A sheet for an answer; what cannot be computed is a line that says why.

    Args:
        sheet: its name; None for a model without one.

    Returns:
        ``sheet``: ``name``, ``value`` (a number, words, or None for "not computed"), ``unit`` and ``note`` of each
        line; ``dose_volume``: see `DoseCurve.content`, None if there is none.
    """
    rows: Sequence[SheetRow] = []
    curve = None
    if sheet is not None:
        try:
            rows, curve = SHEETS[sheet](search)
        except DataProblem as problem:
            rows = [SheetRow(sheet, None, "", "; ".join(map(str, problem.problems)))]
    lines = [{**asdict(row), "value": _rounded(row.value)} for row in rows]
    return {"sheet": lines, "dose_volume": None if curve is None else curve.content()}


def _rounded(value: float | str | None) -> float | str | None:
    return round(float(value), _DECIMALS) if isinstance(value, int | float) else value
