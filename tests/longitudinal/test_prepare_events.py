"""From a hospital's DICOM to a prepared data set of events: everything lies where it was planted, in millimetres."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
from event_case import (
    CAVITY,
    EVENT_DAY,
    FIRST,
    FRACTIONS,
    LESION,
    PRESCRIPTION_GY,
    Hospital,
    dose_gy,
    motion,
    place_mm,
    script,
)
from PIL import Image
from planted_head import template_points
from scipy import ndimage
from treatment_response.dicom.event_studies import find_events
from treatment_response.geometry import Volume, moved_points
from treatment_response.geometry.eqd2 import equivalent_dose
from treatment_response.geometry.ventricles import template_ventricles
from treatment_response.longitudinal import patient as patient_module
from treatment_response.longitudinal.pipeline import prepare_events
from treatment_response.longitudinal.settings import LongitudinalSettings


def read(path: Path) -> Volume:
    image = nibabel.load(path)
    return Volume(np.asarray(image.dataobj), image.affine)


def centre(mask: Volume) -> np.ndarray:
    return mask.to_world(np.argwhere(mask.array > 0)).mean(axis=0)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two patients that can be used, one labelled mixed and one without a row."""
    folder = tmp_path_factory.mktemp("events")
    hospital = Hospital(folder / "dicom")
    hospital.patient("A", later_course=True, records=27, fractions_delivered="27")
    hospital.patient("B", "Radiation_Effect", outline=False, dose_type="EFFECTIVE")
    hospital.patient("C", "mixed", images=False, outline=False)
    hospital.patient("D", images=False, outline=False, row=False)
    out = folder / "dataset"
    arguments = [str(hospital.folder), "--clinical", str(hospital.table()), "--out", str(out), "--folds", "2",
                 "--workers", "1"]  # fmt: skip
    assert script().main(arguments) == 0
    content = json.loads((out / "dataset.json").read_text())
    cases = {case["subject"]: case for case in [*content["training"], *content["test"]]}
    table = pd.read_csv(out / "cases.csv").set_index("subject")
    return SimpleNamespace(folder=folder, out=out, content=content, cases=cases, table=table, arguments=arguments)


def test_all_images_lie_on_the_events_grid_and_where_they_were_planted(prepared) -> None:
    case = prepared.cases["sub-001"]
    images = {name: read(prepared.out / path) for name, path in case["images"].items()}
    assert set(images) == {"post_operative", "event", "dose", "brain"}
    event = images["event"]
    for volume in (*images.values(), read(prepared.out / case["mask"])):
        assert volume.array.shape == event.array.shape
        np.testing.assert_allclose(volume.affine, event.affine, atol=1e-3)
    np.testing.assert_allclose(centre(read(prepared.out / case["mask"])), place_mm(LESION), atol=0.7)
    inside = images["brain"].array > 0
    near = np.linalg.norm(event.to_world(np.argwhere(inside)) - place_mm(CAVITY), axis=1) < 18
    index = np.argwhere(inside)[near]
    dark = images["post_operative"].array[tuple(index.T)] < 180
    np.testing.assert_allclose(event.to_world(index[dark]).mean(axis=0), place_mm(CAVITY), atol=0.8)


def test_the_dose_is_eqd2_of_what_was_delivered(prepared) -> None:
    """27 of 30 fractions, in the frame of the post-operative MR, at points of the event."""
    dose = read(prepared.out / prepared.cases["sub-001"]["images"]["dose"])
    middle = moved_points(motion(), place_mm(CAVITY)[None])[0]
    points = place_mm(CAVITY) + np.array([(0, 0, 0), (22, 0, 0), (0, -26, 0), (0, 8, 24), (33, 0, 0)])
    planned = dose_gy(moved_points(motion(), points), middle)
    expected = equivalent_dose(0.9 * planned, 27)
    found = ndimage.map_coordinates(dose.array, dose.to_index(points).T, order=1)
    np.testing.assert_allclose(found, expected, rtol=0.04, atol=0.6)
    assert prepared.content["dose"] == "EQD2, alpha/beta 2 Gy"


def test_the_table_says_what_was_found(prepared) -> None:
    one, other = prepared.table.loc["sub-001"], prepared.table.loc["sub-002"]
    assert list(prepared.table.reset_index().columns[:4]) == ["subject", "case", "fold", "label"]
    assert (one["case"], one["label"], other["label"]) == ("event", 1, 0)
    assert (one["fractions"], one["courses"], one["prescription_gy"], one["modality"]) == (27, 1, 60, "photon")
    assert (one["lesion_source"], other["lesion_source"]) == ("mask", "subtraction")
    assert (one["dose_kind"], other["dose_kind"]) == ("EQD2 Gy", "EQD2 Gy(RBE)")
    assert (one["days_between"], one["label_date_days"], one["label_source"]) == (EVENT_DAY, EVENT_DAY + 30, "biopsy")
    assert one["months_since_radiotherapy"] == pytest.approx((EVENT_DAY - 62) / 30.4375)
    volume = 4 / 3 * np.pi * LESION[1] ** 3 / 1000
    assert one["lesion_volume_ml"] == pytest.approx(volume, rel=0.08)
    assert other["lesion_volume_ml"] == pytest.approx(volume, rel=0.15)  # by subtraction
    gap = np.linalg.norm(place_mm(LESION) - place_mm(CAVITY)) - LESION[1] - CAVITY[1]
    assert other["cavity_distance_mm"] == pytest.approx(gap, abs=3)
    assert one["stripping"] == "template, refined"


def test_the_ventricles_are_found_where_the_template_was_put(prepared) -> None:
    event = read(prepared.out / prepared.cases["sub-001"]["images"]["event"])
    known = template_ventricles()
    points = known.to_index(template_points(event)).T
    truth = ndimage.map_coordinates(known.array.astype(np.float32), points, order=1).reshape(event.array.shape) > 0.5
    lesion = read(prepared.out / prepared.cases["sub-001"]["mask"]).array > 0
    expected = ndimage.distance_transform_edt(~truth, sampling=event.spacing)[lesion].min()
    assert prepared.table.loc["sub-001", "ventricle_distance_mm"] == pytest.approx(expected, abs=3.5)


def test_sheet_curves_pictures_and_report(prepared) -> None:
    board = pd.read_csv(prepared.out / "tumour_board.csv")
    assert list(board["subject"]) == ["sub-001", "sub-002"]
    curves = pd.read_csv(prepared.out / "dvh.csv").groupby("subject")
    assert curves["share"].max().tolist() == [1.0, 1.0]
    assert curves["dose_gy"].max()["sub-001"] == pytest.approx(
        prepared.table.loc["sub-001", "lesion_max_dose_gy"], rel=1e-4
    )
    with Image.open(prepared.out / "quality" / "sub-001.png") as picture:
        assert min(picture.size) > 600
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 200
    report = (prepared.out / "ingest_report.txt").read_text()
    assert "2 cases taken: 1 radiation effect, 1 recurrence." in report
    assert "1 labelled mixed and 1 others left out." in report
    assert "sub-004: clinical table: has no row for this patient" in report
    assert "1 course not over before the event left out" in report
    assert "27 of 30 planned fractions were delivered by the clinical table" in report
    assert "Gy(RBE)" in report


def test_nothing_tells_who_the_patients_are(prepared) -> None:
    day = FIRST + timedelta(days=EVENT_DAY)
    secrets = [b"SYN-A", b"SYNTHETIC^", b"19600101", f"{day:%Y%m%d}".encode(), str(day).encode()]
    for path in prepared.out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            content += nibabel.load(path).header.binaryblock if path.suffix == ".gz" else b""
            assert not [secret for secret in secrets if secret in content], path.name
    assert not list(prepared.folder.glob(".dataset*"))


def test_a_second_run_makes_only_what_changed(prepared, monkeypatch, capsys) -> None:
    made: list[str] = []
    load = patient_module._prepared

    def watched(source, *arguments):
        made.append(source.subject)
        return load(source, *arguments)

    monkeypatch.setattr(patient_module, "_prepared", watched)
    before = {path: path.read_bytes() for path in prepared.out.rglob("*") if path.is_file()}
    assert script().main(prepared.arguments) == 0
    assert made == []
    assert {path: path.read_bytes() for path in prepared.out.rglob("*") if path.is_file()} == before
    capsys.readouterr()


def test_a_dry_run_tells_and_writes_nothing(prepared, capsys) -> None:
    place = prepared.folder / "dry"
    arguments = [str(place) if one == str(prepared.out) else one for one in prepared.arguments]
    assert script().main([*arguments, "--dry-run", "--strict"]) == 1
    told = capsys.readouterr().out
    assert "2 cases would be taken (dry run, nothing was written), 2 left out" in told
    assert "27 of 30 planned fractions" in told
    (heading,) = [line.split() for line in told.splitlines() if "days_between" in line]
    rows = [dict(zip(heading, line.split(), strict=True)) for line in told.splitlines() if "recurrence  " in line]
    assert [row["subject"] for row in rows] == ["sub-001"]
    expected = {"days_between": str(EVENT_DAY), "courses": "1", "prescription_gy": "60", "fractions": "27"}
    assert expected.items() <= rows[0].items()
    assert rows[0]["lesion_outline"] == "yes"
    assert "no" in [line.split()[-1] for line in told.splitlines() if line.strip().startswith("sub-002")]
    assert not list(prepared.folder.glob("*dry*"))
    assert equivalent_dose(PRESCRIPTION_GY, FRACTIONS) == pytest.approx(60)


@pytest.mark.parametrize("by", ["files", "images"])
def test_two_subjects_of_one_person_share_a_fold_and_say_so(prepared, tmp_path: Path, by: str) -> None:
    """Whether their files have one name and birth date, or they hold the same image."""
    out = shutil.copytree(prepared.out, tmp_path / "dataset")
    cohort = find_events(prepared.folder / "dicom", prepared.folder / "dicom" / "clinical.csv")
    if by == "files":
        cohort = replace(cohort, same_person=[("sub-001", "sub-002")])
    else:
        paths = [out / "derivatives" / "preparation" / f"sub-00{number}.json" for number in (1, 2)]
        first, second = (json.loads(path.read_text()) for path in paths)
        paths[1].write_text(json.dumps(second | {"image_marks": [second["image_marks"][0], first["image_marks"][1]]}))
    prepare_events(cohort, out, LongitudinalSettings(folds=2), workers=1)  # takes what is prepared
    content = json.loads((out / "dataset.json").read_text())
    entries = [*content["training"], *content["test"]]
    assert [entry["person"] for entry in entries] == ["sub-001", "sub-001"]
    assert len({entry["fold"] for entry in entries}) == 1
    told = (out / "ingest_report.txt").read_text()
    reason = {"files": "the same name and birth date", "images": "the same images"}[by]
    assert f"one person with sub-001: {reason}; all of them are in one fold" in told
