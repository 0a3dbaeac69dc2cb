"""The page's section on the tumour board's sheets: what is known of each lesion without any network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from treatment_response.classes import Classes
from treatment_response.features.column_labels import column_label
from treatment_response.features.tumour_board import ISODOSE, SHOWN_ISODOSES, IsodoseClass, isodose_column
from treatment_response.report.figures.dvh import cohort_dvh_figure, dvh_figure, highest_dose
from treatment_response.report.sheets import CaseSheet, unit_of
from treatment_response.report.shown import Figures, Row, ShownTable

NOT_COMPUTED = "not computed"
_MEDIANS = {
    "lesion_volume_ml": 1,
    "lesion_mean_dose_gy": 1,
    "lesion_max_dose_gy": 1,
    "lesion_share_95": 0,
    "ventricle_distance_mm": 0,
    "cavity_distance_mm": 0,
    "months_since_radiotherapy": 1,
    "lesion_growth": 2,
}
"""Column → decimals."""
_BY = {"mask": "outlined", "subtraction": "found by subtraction"}


def sheet_tables(sheets: Sequence[CaseSheet], names: Sequence[str], cases: str, notes: Sequence[str]) -> dict[str, Any]:
    """What the template shows: the cohort by class, every case in a row, and a sheet per case.

    Args:
        names: of the classes. cases: what is counted. notes: that stand under every table.
    """
    unit = unit_of(sheets)
    table = pd.DataFrame([sheet.numbers for sheet in sheets]).assign(truth=[sheet.truth for sheet in sheets])
    several = [f"The doses are of several kinds ({unit}), which are not quite one scale."] if " or " in unit else []
    return {
        "by_class": ShownTable(
            "tumour_board_classes",
            f"The {cases} with a lesion, by class: median [quartiles], and of how many it is known",
            ("", *names),
            _by_class(table, names, unit),
            (*notes, *several),
        ),
        "every": ShownTable(
            "tumour_board",
            f"Every one of the {cases}",
            ("", "class", *(_head(column, unit) for column in _MEDIANS), "isodose class"),
            [_row(sheet) for sheet in sheets],
            notes,
            table,
        ),
        "sheets": [
            {
                "title": f"{sheet.subject} {sheet.case}",
                "truth": sheet.truth,
                "figure": _figure_name(sheet),
                "rows": _sheet_rows(sheet),
            }
            for sheet in sheets
        ],
    }


def sheet_figures(sheets: Sequence[CaseSheet], classes: Classes, synthetic: bool) -> Figures:
    """The cohort's dose-volume curves, and each lesion's."""
    if not sheets:
        return {}
    figures: Figures = {
        "dvh": (
            cohort_dvh_figure(sheets, classes, synthetic),
            "How much of each lesion got at least which dose: thin lines are single lesions, thick ones the median "
            "share of their class at each dose. Dose alone tells the classes apart as far as the thick lines are apart "
            "and the thin ones do not mix.",
        )
    }
    highest = highest_dose(sheets)
    for sheet in sheets:
        caption = f"Dose-volume curve of the lesion of {sheet.subject}; {sheet.dose_kind}."
        if sheet.isodoses:
            caption += " What is right of the dashed line lies inside the 95 % isodose."
        figures[_figure_name(sheet)] = (dvh_figure(sheet, highest, synthetic), caption)
    return figures


def _figure_name(sheet: CaseSheet) -> str:
    return f"dvh_{sheet.subject}_{sheet.case}"


def _by_class(table: pd.DataFrame, names: Sequence[str], unit: str) -> list[Row]:
    of_class = {name: table[table["truth"] == name] for name in names}
    rows: list[Row] = [("lesions", *(str(len(own)) for own in of_class.values()))]
    for column, digits in _MEDIANS.items():
        cells = [_quartiles(_numbers(own, column), digits) for own in of_class.values()]
        rows.append((_head(column, unit), *cells))
    for kind in IsodoseClass:
        counts = [(own.get("isodose_class", pd.Series(dtype=object)) == kind).sum() for own in of_class.values()]
        shares = [
            f"{count} ({count / len(own):.0%})" if len(own) else "0"
            for count, own in zip(counts, of_class.values(), strict=True)
        ]
        rows.append((f"isodose class {kind}", *shares))
    return rows


def _numbers(table: pd.DataFrame, column: str) -> pd.Series:
    if column not in table:
        return pd.Series(dtype=float)
    values = pd.to_numeric(table[column]).dropna()
    return values * 100 if column == "lesion_share_95" else values


def _quartiles(values: pd.Series, digits: int) -> str:
    if values.empty:
        return NOT_COMPUTED
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]; {len(values)}"


def _head(column: str, unit: str) -> str:
    """Shares are shown in percent, doses in the unit of the data set."""
    return f"{column_label(column, unit)}{', %' if column == 'lesion_share_95' else ''}"


def _row(sheet: CaseSheet) -> Row:
    cells = []
    for column, digits in _MEDIANS.items():
        value = sheet.numbers.get(column)
        scaled = value * 100 if column == "lesion_share_95" and value is not None else value
        cells.append("" if scaled is None else f"{scaled:.{digits}f}")
    return (sheet.subject, sheet.truth, *cells, str(sheet.numbers.get("isodose_class") or ""))


def _sheet_rows(sheet: CaseSheet) -> list[tuple[str, str]]:
    """Name and value of each line of a sheet."""
    numbers, unit = sheet.numbers, sheet.dose_kind

    def said(column: str, form: Callable[[Any], str]) -> str:
        value = numbers.get(column)
        return NOT_COMPUTED if value is None else form(value)

    def dose(column: str) -> str:
        return said(column, lambda value: f"{value:.1f}")

    def gap(column: str, by: str) -> str:
        how = numbers.get(by)
        shown = said(column, lambda value: "touches" if value == 0 else f"{value:.0f} mm")
        return f"{shown} ({how})" if how and shown != NOT_COMPUTED else shown

    inside = said("lesion_v95_ml", lambda value: f"{value:.1f} ml")
    share = said("lesion_share_95", lambda value: f"{value:.0%}")
    volume = said("lesion_volume_ml", lambda value: f"{value:.1f} ml")
    source = _BY.get(str(numbers.get("lesion_source")), "")
    levels = ", ".join(
        f"{share:.0%}: {numbers[isodose_column(share)]:.1f}" for share in SHOWN_ISODOSES if share in sheet.isodoses
    )
    return [
        ("volume", f"{volume} ({source})" if source else volume),
        (f"mean / highest dose, {unit}", f"{dose('lesion_mean_dose_gy')} / {dose('lesion_max_dose_gy')}"),
        (f"near-minimum D98 / near-maximum D2, {unit}", f"{dose('lesion_d98_gy')} / {dose('lesion_d2_gy')}"),
        (f"isodoses of the prescription, {unit}", levels or NOT_COMPUTED),
        (
            f"inside the {ISODOSE:.0%} isodose",
            NOT_COMPUTED if NOT_COMPUTED in (inside, share) else f"{share}, {inside}",
        ),
        ("isodose class", said("isodose_class", str)),
        ("distance to the ventricles", gap("ventricle_distance_mm", "ventricles_by")),
        ("distance to the cavity", gap("cavity_distance_mm", "cavity_by")),
        ("months since radiotherapy", said("months_since_radiotherapy", lambda value: f"{value:.1f}")),
        ("growth", said("lesion_growth", lambda value: f"{value:.2f} ml per month that did not enhance before")),
    ]
