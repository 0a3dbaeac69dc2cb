"""The fuzz benchmark in short, and its parts: damaged files never change a result in silence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fuzzing.clean_cohort import write_dicom_cohort, write_nifti_cohort
from fuzzing.damage import KINDS, damage_file
from fuzzing.dicom_bytes import elements, replace_value
from fuzzing.outcome import Lesion, Outcome, Result, compare
from fuzzing.plausibility import is_plausible
from pydicom import dcmread
from pydicom.dataset import FileDataset

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
# Two or three of each kind, those among them that once hung, ended with a traceback or moved a label.
COHORTS = (5, 180, 11, 126, 181, 12, 17, 28, 128, 9, 99, 124)
LESION = Lesion(("1", "present", "", "90"), ("3000", "", "1400", "28", "18", "3"), (("ses-01 image", "a"),))
CLEAN = Result({("P1", "GTV 1"): LESION}, {"P1": {"a note"}}, set())
FOLDERS = {"P1": "a"}


def test_no_damage_of_a_dozen_cohorts_passes_in_silence() -> None:
    numbers = [word for number in COHORTS for word in ("--cohort", str(number))]
    command = [sys.executable, str(BENCHMARKS / "fuzz_ingest.py"), "--jobs", "2", *numbers]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"all {len(COHORTS)}" in done.stdout


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clean cohorts, ``dicom`` and ``nifti``. Tests write elsewhere."""
    root = tmp_path_factory.mktemp("clean")
    write_dicom_cohort(root / "dicom")
    write_nifti_cohort(root / "nifti")
    return root


@pytest.mark.parametrize("name", ["a/s1/rs.dcm", "b/s1/rs.dcm", "a/s1/rd.dcm", "b/s1/mr/IM0003.dcm", "c/s3/seg.dcm"])
def test_each_element_is_found_where_it_lies(cohort: Path, name: str) -> None:
    data = (cohort / "dicom" / name).read_bytes()
    found = elements(data)
    dataset = dcmread(cohort / "dicom" / name)
    expected = [element.keyword for element in (*dataset.file_meta, *dataset.iterall())]
    assert sorted(e.keyword for e in found if e.vr != "item") == sorted(expected)
    uid = next(e for e in found if e.path == "SOPInstanceUID")
    assert data[uid.value : uid.end].decode().rstrip("\0") == dataset.SOPInstanceUID


def test_another_value_deep_in_a_file_leaves_the_rest_valid(cohort: Path, tmp_path: Path) -> None:
    source = cohort / "dicom/a/s1/rs.dcm"
    data = source.read_bytes()
    numbers = [e for e in elements(data) if e.path == "ROIContourSequence.ContourSequence.ContourNumber"]
    (tmp_path / "rs.dcm").write_bytes(replace_value(data, numbers[3], b"4711"))
    before, after = dcmread(source), dcmread(tmp_path / "rs.dcm")
    changed = after.ROIContourSequence[0].ContourSequence[3]
    assert changed.ContourNumber == 4711
    changed.ContourNumber = before.ROIContourSequence[0].ContourSequence[3].ContourNumber
    assert after == before


@pytest.mark.parametrize("kind", [*KINDS])
def test_the_same_seed_does_the_same_damage(cohort: Path, tmp_path: Path, kind: str) -> None:
    source = cohort / ("nifti/p/s1/n1.nii" if kind == "nifti" else "dicom/a/s1/rs.dcm")
    others = [path for path in sorted(cohort.rglob("*.*")) if path != source]
    for seed in range(8):
        said, written = [], []
        for copy in ("one", "two"):
            path = tmp_path / f"{copy}-{seed}{source.suffix}"
            path.write_bytes(source.read_bytes())
            said.append(damage_file(kind, path, others, np.random.default_rng(seed)))
            written.append(path.read_bytes() if path.is_file() and not path.is_symlink() else b"")
        assert said[0].replace("one", "two") == said[1]
        assert written[0] == written[1]


def moved(x: float = 0.0, z: float = 0.0) -> Callable[[FileDataset], None]:
    """Move the first point of a contour."""

    def change(dataset: FileDataset) -> None:
        contour = dataset.ROIContourSequence[0].ContourSequence[2]
        values = [f"{value:.4f}" for value in map(float, contour.ContourData)]
        values[0], values[2] = f"{float(values[0]) + x:.4f}", f"{float(values[2]) + z:.4f}"
        contour.ContourData = values

    return change


def without_contour(number: int) -> Callable[[FileDataset], None]:
    """Take a contour out of an ROI."""

    def change(dataset: FileDataset) -> None:
        del dataset.ROIContourSequence[0].ContourSequence[number]

    return change


def with_values(**values: object) -> Callable[[FileDataset], None]:
    """Set elements."""

    def change(dataset: FileDataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def other_pixel(dataset: FileDataset) -> None:
    dataset.PixelData = dataset.PixelData[:2000] + b"\x21\x03" + dataset.PixelData[2002:]


def no_pixel(dataset: FileDataset) -> None:
    dataset.PixelData = bytes(len(dataset.PixelData))


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize(
    ("name", "change", "plausible"),
    [
        ("a/s1/rs.dcm", moved(x=2.0), True),
        ("a/s1/rs.dcm", moved(x=300.0), False),
        ("a/s1/rs.dcm", moved(z=3.0), False),
        ("a/s1/rs.dcm", without_contour(0), True),
        ("a/s1/rs.dcm", without_contour(-1), True),
        ("a/s1/rs.dcm", without_contour(2), False),
        ("a/s1/mr/IM0003.dcm", other_pixel, True),
        ("a/s1/mr/IM0003.dcm", no_pixel, False),
        ("a/s1/mr/IM0003.dcm", with_values(SeriesDescription="t1 post"), True),
        ("a/s1/mr/IM0003.dcm", with_values(PatientID="FUZZ-9"), False),
        ("a/s1/mr/IM0003.dcm", with_values(StudyDate="20240305"), False),
        ("a/s1/mr/IM0003.dcm", with_values(Rows=9), False),
        ("a/s1/rd.dcm", with_values(DoseGridScaling="0.0009"), True),
        ("a/s1/rd.dcm", with_values(DoseGridScaling="-0.0004"), False),
        ("a/s1/rd.dcm", with_values(DoseGridScaling="nan"), False),
    ],
)
def test_only_what_nothing_contradicts_is_plausible(
    cohort: Path, tmp_path: Path, name: str, change: Callable[[FileDataset], None], plausible: bool
) -> None:
    source = cohort / "dicom" / name
    dataset = dcmread(source)
    change(dataset)
    dataset.save_as(tmp_path / "changed.dcm", write_like_original=False)
    assert is_plausible(source.read_bytes(), tmp_path / "changed.dcm") is plausible


def test_a_file_that_is_cut_off_or_gone_is_not_plausible(cohort: Path, tmp_path: Path) -> None:
    for source in (cohort / "dicom/a/s1/rs.dcm", cohort / "nifti/p/s1/n1.nii", cohort / "nifti/q/s1/n1.nii.gz"):
        data, path = source.read_bytes(), tmp_path / source.name
        assert not is_plausible(data, path)
        path.write_bytes(data[:-40])
        assert not is_plausible(data, path)


@pytest.mark.parametrize(
    ("lesion", "lines", "plausible", "outcome"),
    [
        (LESION, {"a note", "another"}, False, Outcome.SAME),
        (replace(LESION, measured=("3001", "", "1400", "28", "18", "3")), {"a note"}, False, Outcome.SAME),
        (replace(LESION, measured=("3010", "", "1400", "28", "18", "3")), {"a note"}, False, Outcome.UNTOLD),
        (replace(LESION, measured=("3010", "", "1400", "", "18", "3")), set(), False, Outcome.UNTOLD),
        (replace(LESION, exact=("0", "present", "", "90")), {"a note"}, True, Outcome.PLAUSIBLE),
        (replace(LESION, exact=("0", "resolved", "", "90")), {"a note", "another"}, False, Outcome.LABEL),
        (replace(LESION, exact=("0", "resolved", "", "90")), {"a note", "another"}, True, Outcome.CHANGED),
        (replace(LESION, exact=("", "present", "", "90")), {"a note", "another"}, False, Outcome.CHANGED),
        (replace(LESION, files=(("ses-01 image", "b"),)), {"a note", "another"}, False, Outcome.CHANGED),
        (None, {"a note", "left out"}, False, Outcome.LESS),
        (None, {"a note"}, False, Outcome.UNTOLD),
    ],
)
def test_a_changed_result_is_told_or_it_is_a_failure(
    lesion: Lesion | None, lines: set[str], plausible: bool, outcome: Outcome
) -> None:
    result = Result({("P1", "GTV 1"): lesion} if lesion else {}, {"P1": lines}, set())
    assert compare(CLEAN, result, FOLDERS, {"a": plausible}) is outcome


@pytest.mark.parametrize(("path", "outcome"), [("a/s1/rs.dcm", Outcome.LESS), ("b/s1/rs.dcm", Outcome.UNTOLD)])
def test_a_fault_of_another_patients_file_does_not_count_as_told(path: str, outcome: Outcome) -> None:
    result = Result({}, {"P1": {"a note"}}, {("file: is not DICOM", path)})
    assert compare(CLEAN, result, FOLDERS, {"a": False}) is outcome
