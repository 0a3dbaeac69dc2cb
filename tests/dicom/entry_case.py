"""Entries of a scan as the ingest's tests need them, without files."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from treatment_response.dicom.entries import SeriesEntry, StructureSetEntry

FIRST = date(2024, 3, 1)


def series(day: int, name: str = "", **changes: Any) -> SeriesEntry:
    """An MR series with contrast of some day after the first."""
    uid = f"mr{day}{name}"
    values: dict[str, Any] = {
        "patient_id": "P",
        "person": "p",
        "study_uid": f"study{day}",
        "series_uid": uid,
        "frame_uid": f"frame{day}",
        "date": FIRST + timedelta(days=day),
        "description": "",
        "person_known": True,
        "modality": "MR",
        "sop_class_uid": "1",
        "contrast": True,
        "t1": True,
        "scanner": "",
        "station": "",
        "files": tuple((Path(f"{uid}.{k}"), f"{uid}.{k}") for k in range(3)),
    }
    return SeriesEntry(**{**values, **changes})


def drawn(on: SeriesEntry, *names: str, uid: str = "", **changes: Any) -> StructureSetEntry:
    """A structure set on a series that holds ROIs of some names."""
    values: dict[str, Any] = {
        "patient_id": "P",
        "person": "p",
        "study_uid": on.study_uid,
        "series_uid": "rs",
        "frame_uid": on.frame_uid,
        "date": on.date,
        "description": "",
        "person_known": True,
        "path": Path("rs"),
        "sop_uid": uid or f"rs-{on.series_uid}",
        "label": "",
        "referenced_series_uids": (on.series_uid,),
        "referenced_sop_uids": frozenset(),
        "roi_names": names,
        "frame_uids": frozenset({on.frame_uid}),
    }
    return StructureSetEntry(**{**values, **changes})
