"""The synthetic patients that `make serve` shows, in the PACS of this machine."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from treatment_response import __version__
from treatment_response.cohort.synthetic.folder import MARKER
from treatment_response.cohort.synthetic.simulate import simulate_cohort
from treatment_response.dicom.write_cohort import write_cohort

from pulsar_app.local.orthanc import Orthanc

STAMP = "stamp.json"


def cohort_of(demo: Path, folder: Path, patients: int) -> Path:
    """A synthetic cohort of at least ``patients`` patients: the demo's, else a small one that is made in ``folder``.

    Returns:
        Its folder, with ``dicom/`` in it.
    """
    if _patients_in(demo) >= patients:
        return demo
    small = folder / "cohort"
    if _patients_in(small) < patients:
        write_cohort(simulate_cohort(patients=patients, lesions=2 * patients, seed=0), small)
    return small


def _patients_in(cohort: Path) -> int:
    marker = cohort / MARKER
    return int(json.loads(marker.read_text())["patients"]) if marker.is_file() else 0


def files_of(cohort: Path, patients: int) -> list[Path]:
    """The DICOM files of the cohort's first patients, in a fixed order."""
    chosen = sorted((cohort / "dicom").iterdir())[:patients]
    return [file for patient in chosen for file in sorted(patient.rglob("IM*"))]


def clear_if_older(archive: Path, cohort: Path, patients: int, model: Path) -> bool:
    """Empty the archive's folder unless it holds just these patients and maps of just this model.

    Returns:
        Whether the patients are to be loaded.
    """
    stamp = {
        "cohort": json.loads((cohort / MARKER).read_text()),
        "patients": patients,
        "model": hashlib.sha256(model.read_bytes()).hexdigest(),
        "version": __version__,
    }
    file = archive / STAMP
    if file.is_file() and json.loads(file.read_text()) == stamp:
        return False
    shutil.rmtree(archive, ignore_errors=True)
    archive.mkdir(parents=True)
    (archive / f"new-{STAMP}").write_text(json.dumps(stamp, indent=2))
    return True


def stamp_loaded(archive: Path) -> None:
    """Note that all patients are loaded; a start that was stopped before begins anew."""
    (archive / f"new-{STAMP}").rename(archive / STAMP)


@dataclass(frozen=True)
class FirstMri:
    """The first MR series of one patient.

    Attributes:
        study_uid: its StudyInstanceUID.
        series_uid: its SeriesInstanceUID, which is the image's id in MONAI Label.
    """

    study_uid: str
    series_uid: str


def first_mris(orthanc: Orthanc) -> list[FirstMri]:
    """Each patient's earliest MR image series, in the order of the patients' ids.

    A parametric map made from an MR also has the modality MR; a series of image slices has more than one instance.
    """
    earliest: dict[str, tuple[str, FirstMri]] = {}
    fields = "PatientID,StudyDate,NumberOfSeriesRelatedInstances"
    for series in orthanc.search("series", Modality="MR", includefield=fields):
        if int(_value(series, "00201209", "1")) < 2:
            continue
        patient, day = _value(series, "00100020"), _value(series, "00080020")
        found = FirstMri(_value(series, "0020000D"), _value(series, "0020000E"))
        if patient not in earliest or day < earliest[patient][0]:
            earliest[patient] = (day, found)
    return [earliest[patient][1] for patient in sorted(earliest)]


def _value(series: dict[str, dict[str, list[object]]], tag: str, missing: str = "") -> str:
    return str((series.get(tag, {}).get("Value") or [missing])[0])
