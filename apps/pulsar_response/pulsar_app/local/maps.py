"""Maps of the shown patients, computed by the running app and stored in the PACS, so that a link opens one at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from treatment_response.files import write_whole
from treatment_response.problems import DataProblem, Problem

from pulsar_app.local.patients import FirstMri

FILE = "maps.json"
INFER_SECONDS = 300


@dataclass(frozen=True)
class StoredMap:
    """A map in the PACS.

    Attributes:
        mr: what it was computed on.
        series_uid: of the parametric map.
        at: place of the lesion with the strongest evidence, RAS mm.
    """

    mr: FirstMri
    series_uid: str
    at: tuple[float, float, float]


def stored_maps(mris: list[FirstMri], server: str, archive: Path) -> Iterator[StoredMap]:
    """The map of each MR; what an earlier start stored is not stored again.

    Args:
        mris: the MR series to predict.
        server: root of the MONAI Label server.
        archive: the archive's folder, which also keeps the note of what is stored.

    Raises:
        DataProblem: the server refused.
    """
    note = archive / FILE
    known: dict[str, Any] = json.loads(note.read_text()) if note.is_file() else {}
    for mri in mris:
        if mri.series_uid not in known:
            answer = predict_and_store(mri, server)
            most = max(answer["lesions"], key=lambda lesion: float(lesion["highest_raw"]))
            known[mri.series_uid] = {"series_uid": map_series(answer, most["shown_class"]), "at": most["location_mm"]}
            write_whole(note, json.dumps(known, indent=2))
        found = known[mri.series_uid]
        yield StoredMap(mri, found["series_uid"], tuple(found["at"]))


def predict_and_store(mri: FirstMri, server: str) -> dict[str, Any]:
    """Predict one MR's lesions and store the results in the PACS; returns the answer."""
    reply = requests.post(
        f"{server}/infer/pulsar_response",
        params={"image": mri.series_uid, "output": "json"},
        data={"params": json.dumps({"store": True})},
        timeout=INFER_SECONDS,
    )
    if not reply.ok:
        raise DataProblem(Problem("the app", f"did not predict a synthetic patient: {_said(reply)}", "read its log"))
    answer: dict[str, Any] = reply.json()
    if not answer["lesions"]:
        raise DataProblem(
            Problem("the app", f"found no lesion of a synthetic patient: {answer['message']}", "read its log")
        )
    return answer


def map_series(answer: dict[str, Any], shown: str) -> str:
    """The series of the parametric map of a class that an inference has stored.

    Args:
        answer: the inference's JSON.
        shown: the class.
    """
    series = next((item["series_uid"] for item in answer["stored"] if item.get("class") == shown), None)
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


def map_link(origin: str, found: StoredMap) -> str:
    """Opens the MR's study in OHIF for review with the map laid over it, at the slice through a lesion."""
    query = f"StudyInstanceUIDs={found.mr.study_uid}&initialSeriesInstanceUID={found.series_uid}"
    return f"{origin}/viewer?{query}#at={','.join(f'{value:.1f}' for value in found.at)}"
