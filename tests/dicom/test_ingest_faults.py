"""Every kind of bad input gets its clear line, and the rest is prepared: one hospital full of odd patients."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from ingest_bench import BACK, FRONT, Case, Visit, shrinking, turned, write_case
from treatment_response.cohort.check import check_dataset
from treatment_response.cohort.pipeline import prepare_cohort
from treatment_response.cohort.prepare import PrepareSettings
from treatment_response.dicom.ingest import IngestSettings, ingest_folder

DOSE = (2.8, 18.0)
Spoil = Callable[[Path], None]


def files(root: Path, visit: int, kind: str) -> list[Path]:
    """Files of one visit: ``MR`` slices, ``RS``, ``RP`` or ``RD``."""
    folder = sorted(root.iterdir())[visit]
    return sorted(folder.rglob("I*")) if kind == "MR" else list(folder.rglob(kind))


def edit(path: Path, **values: Any) -> None:
    dataset = pydicom.dcmread(path)
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


def other_frame(root: Path) -> None:
    path = files(root, 0, "RS")[0]
    dataset = pydicom.dcmread(path)
    dataset.FrameOfReferenceUID = dataset.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "1.2.3"
    dataset.save_as(path)


def nothing(root: Path) -> None:
    """The fault is in the case itself."""


def two_visits(first: dict[str, Any], last: dict[str, Any], **more: Any) -> Case:
    visits = [Visit(0, first), Visit(90, last, pose=turned(3, (1, 2, -2)), contrast=False)]
    return Case("", visits, **more)


def with_change(change: Callable[[Case], None], **more: Any) -> Case:
    case = shrinking("", **more)
    change(case)
    return case


def empty_at_follow_up(case: Case) -> None:
    del case.visits[2].lesions["GTV-2 R occipital"]
    case.visits[2].empty_rois = ("GTV 2 R occipital",)


def without_contrast(case: Case) -> None:
    for visit in case.visits:
        visit.contrast, visit.description = False, "t1 nativ"


def empty_first(case: Case) -> None:
    case.visits[0].empty_rois = ("GTV_03",)


(FRONT_CENTRE, _), (BACK_CENTRE, _) = FRONT, BACK
NEAR = ((FRONT_CENTRE[0] - 14.0, *FRONT_CENTRE[1:]), 5.0)
BOTH = ((FRONT_CENTRE[0] - 6.0, *FRONT_CENTRE[1:]), 15.0)
FAR = ((BACK_CENTRE[0], -BACK_CENTRE[1], BACK_CENTRE[2]), 8.0)


def part(offset: float) -> tuple[tuple[float, float, float], float]:
    return ((FRONT_CENTRE[0], FRONT_CENTRE[1] + offset, FRONT_CENTRE[2]), 4.0)


# name: (case, how its files are spoilt, lesions still taken, what the report says of it)
FAULTS: dict[str, tuple[Case, Spoil, list[str], str]] = {
    "missing-slices": (shrinking(""), lambda r: files(r, 0, "MR")[9].unlink(), [], "misses 1 slice"),
    "mixed-orientations": (
        shrinking(""),
        lambda r: edit(files(r, 0, "MR")[9], ImageOrientationPatient=["0", "1", "0", "0", "0", "1"]),
        [],
        "mixes slices of different orientations",
    ),
    "structure-set-without-series": (
        shrinking(""),
        lambda r: [path.unlink() for path in files(r, 2, "MR")],  # type: ignore[func-returns-value]
        [],
        "the series that it was drawn on is not among the files",
    ),
    "other-frame-of-reference": (shrinking(""), other_frame, [], "is on another frame of reference than its series"),
    "empty-roi": (
        with_change(empty_first),
        nothing,
        ["L01", "L02"],
        "its ROI is empty",
    ),
    "empty-roi-at-follow-up": (
        with_change(empty_at_follow_up),
        nothing,
        ["L01", "L02"],
        "L02: its ROI is gone at follow-up, taken as resolved",
    ),
    "unclosed-roi": (
        with_change(lambda c: c.visits[0].rtstruct.update(geometric_type="OPEN_PLANAR")),
        nothing,
        [],
        "unclosed contours",
    ),
    "no-follow-up": (with_change(lambda c: c.visits.pop()), nothing, [], "no follow-up session within 60 to 135 days"),
    "follow-up-too-late": (
        with_change(lambda c: setattr(c.visits[2], "day", 300)),
        nothing,
        [],
        "later MR on day 21, 300",
    ),
    "follow-up-not-drawn": (
        with_change(lambda c: setattr(c.visits[2], "structures", False)),
        nothing,
        [],
        "the MR of day 92 has no structure set",
    ),
    "truncated": (
        shrinking(""),
        lambda r: files(r, 1, "MR")[5].write_bytes(files(r, 1, "MR")[5].read_bytes()[:2000]),  # type: ignore[func-returns-value]
        ["L01", "L02"],
        "taken without MRI 2",
    ),
    "duplicate-patient-id": (
        shrinking(""),
        lambda r: edit(files(r, 2, "RS")[0], PatientName="Andere^Anna", PatientBirthDate="19800101"),
        [],
        "one patient id is used for 2 persons",
    ),
    "relative-dose": (
        shrinking("", dose=DOSE, dose_options={"units": "RELATIVE"}),
        nothing,
        ["L01", "L02"],
        "holds relative dose, which is refused",
    ),
    "dose-on-another-frame": (
        shrinking("", dose=DOSE, dose_options={"frame_uid": "1.2.3"}),
        nothing,
        ["L01", "L02"],
        "dose: is on another frame of reference",
    ),
    "no-prescription": (
        shrinking("", dose=DOSE, plan=False),
        nothing,
        ["L01", "L02"],
        "L01: Gradient Index not computed (no prescr",
    ),
    "high-gradient-index": (shrinking("", dose=(5.0, 18.0)), nothing, ["L02"], "above 4 (--max-gradient-index)"),
    "resolved": (
        with_change(lambda c: c.visits[2].lesions.pop("GTV-2 R occipital")),
        nothing,
        ["L01", "L02"],
        "L02: its ROI is gone at follow-up, taken as resolved",
    ),
    "elsewhere": (
        two_visits({"GTV 1": FRONT, "GTV 2": BACK}, {"GTV 1": FRONT, "GTV 2": FAR}),
        nothing,
        ["L01"],
        "the ROI of its name lies 80 mm off",
    ),
    "split": (
        two_visits({"GTV 1": FRONT}, {"GTV 1": part(4.5), "GTV 1b": part(-4.5)}),
        nothing,
        [],
        "split: two ROIs lie at its place",
    ),
    "merged": (
        two_visits({"GTV 1": FRONT, "GTV 2": NEAR}, {"GTV 1": BOTH}),
        nothing,
        [],
        "merged with a neighbour",
    ),
    "renamed": (
        two_visits({"GTV left": FRONT, "GTV right": BACK}, {"GTV left": FRONT, "GTV B": BACK}),
        nothing,
        ["L01"],
        "an ROI of another name lies at its place",
    ),
    "odd-name": (
        two_visits({"GTV left": FRONT, "GTV right": BACK}, {"GTV left": FRONT, "Frau Beispiel": BACK}),
        nothing,
        ["L01"],
        "in doubt at follow-up: a structure lies at its place",
    ),
    "resected": (
        two_visits({"GTV 1": FRONT, "GTV 2": BACK}, {"GTV 1": FRONT, "GTV 2 cavity": BACK}),
        nothing,
        ["L01"],
        "resected: an ROI calls it a cavity",
    ),
    "drawn-twice": (
        two_visits({"GTV 1": FRONT, "Met 1 copy": FRONT}, {"GTV 1": FRONT, "Met 1 copy": FRONT}),
        nothing,
        ["L01"],
        "drawn twice: the same as L01",
    ),
    "margin": (
        two_visits(*[{"GTV 1": FRONT, "Target 1": (FRONT_CENTRE, 11.0)}] * 2),
        nothing,
        ["L01"],
        "a margin (PTV) around a target: it encloses L01",
    ),
    "no-contrast": (
        with_change(
            lambda c: [setattr(v, "contrast", False) or setattr(v, "description", "t1 nativ") for v in c.visits]
        ),
        nothing,
        [],
        "no contrast T1 series with a target",
    ),
    "no-target": (
        two_visits({"PTV 1": FRONT}, {"PTV 1": FRONT}),
        nothing,
        [],
        "no MR series with a structure set that holds a target",
    ),
    "ct": (
        shrinking(""),
        lambda r: [edit(path, Modality="CT") for path in files(r, 0, "MR")],  # type: ignore[func-returns-value]
        [],
        "was drawn on CT, not on MR",
    ),
    "same-name-twice": (
        two_visits({"GTV 1": FRONT, "gtv_01": BACK}, {"GTV 1": FRONT}),
        nothing,
        [],
        "two ROIs of one session have this name",
    ),
}
NAMES = ["good", "good-2", *FAULTS]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hospital") / "export"
    for number, name in enumerate(NAMES):
        case, spoil = FAULTS[name][:2] if name in FAULTS else (shrinking("", dose=DOSE), nothing)
        case.patient_id, case.seed = f"HN{number:04d}", number
        write_case(root, case)
        spoil(root / f"Mustermann {case.patient_id}")
    (root / "notes.dcm").write_bytes(b"this is no DICOM at all, only a text" * 20)
    return root


@pytest.fixture(scope="module")
def prepared(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("out") / "data"
    cohort = ingest_folder(hospital, IngestSettings())
    summary = prepare_cohort(cohort, out, PrepareSettings(folds=3), workers=2)
    assert summary.left_out > len(FAULTS) / 2
    return out, json.loads((out / "ingest_report.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_fault(prepared: tuple[Path, dict[str, Any]], name: str) -> None:
    out, report = prepared
    subject = f"sub-{NAMES.index(name) + 1:03d}"
    table = pd.read_csv(out / "lesions.csv")
    own = table.loc[table["subject"] == subject, "lesion"].tolist()
    patient = next(item for item in report["patients"] if item["subject"] == subject)
    left_out = [f"{i['lesion']}: {i['reason']}" for i in report["left_out"] if i["subject"] == subject]
    told = "\n".join([*left_out, *patient["notes"], *patient["problems"]])
    taken, text = FAULTS[name][2:] if name in FAULTS else (["L01", "L02"], "")
    assert own == taken, told
    assert text in told, told
    assert "unexpected" not in told
    if not taken:
        assert left_out


def test_files_that_are_no_dicom_are_told_without_their_names(prepared: tuple[Path, dict[str, Any]]) -> None:
    told = prepared[1]["input_problems"]
    assert any("is not DICOM" in line for line in told)
    assert any("truncated" in line for line in told)
    assert not any("notes.dcm" in line for line in told)


def test_what_is_left_is_fit_for_training(prepared: tuple[Path, dict[str, Any]]) -> None:
    assert check_dataset(prepared[0]) == []


def test_good_patients_have_the_right_numbers(prepared: tuple[Path, dict[str, Any]]) -> None:
    table = pd.read_csv(prepared[0] / "lesions.csv").query("subject == 'sub-001'")
    volumes = [4 / 3 * np.pi * 9**3, 4 / 3 * np.pi * 8**3]
    np.testing.assert_allclose(table["volume_ses-01_mm3"], volumes, rtol=0.005)
    np.testing.assert_allclose(table["volume_change"], [-0.5, 0.2], atol=0.01)
    assert table["label"].tolist() == [1, 0]
    assert table["days_ses-02"].tolist() == [21, 21]
    assert table["days_ses-03"].tolist() == [92, 92]
    assert table["gradient_index"].tolist()[0] == pytest.approx(2.8, abs=0.1)
    assert table["max_dose_gy"].tolist()[0] == pytest.approx(36.0, rel=0.05)


def test_no_trace_of_persons_is_written(prepared: tuple[Path, dict[str, Any]]) -> None:
    out = prepared[0]
    secrets = ("Muster", "Erika", "HN00", "1949", "2024", "20240301", "Beispiel", "frontal", "occipital", "1.2.826")
    for path in out.rglob("*"):
        assert not any(secret in str(path.relative_to(out)) for secret in secrets)
        if path.suffix in {".json", ".csv", ".txt"}:
            text = path.read_text()
            assert not [secret for secret in secrets if secret in text], path.name
