"""Maps of the shown patients, computed by the running app and stored in the PACS, so that a link opens one at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from treatment_response.problems import DataProblem, Problem

from pulsar_app.local.patients import FirstMri

FILE = "maps.json"
INFER_SECONDS = 300


def stored_maps(mris: list[FirstMri], server: str, archive: Path) -> Iterator[tuple[FirstMri, str]]:
    """Each MR with the series of its stored map; what an earlier start stored is not stored again.

    Args:
        mris: the MR series to predict.
        server: root of the MONAI Label server.
        archive: the archive's folder, which also keeps the note of what is stored.

    Raises:
        DataProblem: the server refused.
    """
    note = archive / FILE
    known: dict[str, str] = json.loads(note.read_text()) if note.is_file() else {}
    for mri in mris:
        if mri.series_uid not in known:
            known[mri.series_uid] = store_map(mri, server)
            part = note.with_suffix(".part")
            part.write_text(json.dumps(known, indent=2))
            part.rename(note)
        yield mri, known[mri.series_uid]


def store_map(mri: FirstMri, server: str) -> str:
    """Predict one MR's lesions and store the results; returns the series of the parametric map."""
    answer = requests.post(
        f"{server}/infer/pulsar_response",
        params={"image": mri.series_uid, "output": "json"},
        data={"params": json.dumps({"store": True})},
        timeout=INFER_SECONDS,
    )
    if not answer.ok:
        raise DataProblem(Problem("the app", f"did not predict a synthetic patient: {_said(answer)}", "read its log"))
    return map_series(answer.json())


def map_series(answer: dict[str, Any]) -> str:
    """The series of the parametric map that an inference has stored.

    Args:
        answer: the inference's JSON.
    """
    series = next((item["series_uid"] for item in answer["stored"] if "map" in item["kind"].lower()), None)
    if series is None:
        raise DataProblem(Problem("the app", "stored no map of a synthetic patient", "read its log"))
    return str(series)


def _said(answer: requests.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def prediction_link(origin: str, mri: FirstMri) -> str:
    """Opens the MR's study in OHIF's MONAI Label mode."""
    return f"{origin}/ohif/monai-label?StudyInstanceUIDs={mri.study_uid}"


def map_link(origin: str, mri: FirstMri, map_series: str) -> str:
    """Opens the MR's study in OHIF for review with the map laid over it."""
    return f"{origin}/viewer?StudyInstanceUIDs={mri.study_uid}&initialSeriesInstanceUID={map_series}"
