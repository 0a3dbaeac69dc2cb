"""The command: from masks and a prepared data set to tables, a form for REDCap, and pages."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from shapes import draw, ellipsoid, grid
from treatment_response.cohort.layout import image_path, mask_path, write_volume
from treatment_response.criteria.tables import _DICTIONARY_COLUMNS
from treatment_response.geometry import Volume

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "measure_response.py"
EMPTY = grid((64, 56, 24), (1.0, 0.9, 2.0), (12.0, -8.0, 5.0))


def main(arguments: list[str]) -> int:
    spec = importlib.util.spec_from_file_location("measure_response_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return int(script.main([*arguments, "--workers", "1"]))


def ball(radius: float, x: float = 0.0) -> np.ndarray:
    return draw(ellipsoid((radius,) * 3, centre=(x, 0, 0)), EMPTY).array


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two patients: one whose tumour shrinks and who gets a new lesion, and one with a single study."""
    studies = {
        ("p1", "week-0", 0): ball(11, -12),
        ("p1", "week-8", 56): ball(7, -12),
        ("p1", "week-20", 140): ball(7, -12) | ball(7, 16),
        ("p2", "week-0", 0): ball(9),
    }
    rows = ["subject,study,day,mask,image"]
    for (subject, study, day), tumour in studies.items():
        values = np.where(ball(4, -12) & tumour, 2, tumour).astype(np.uint8)
        name = f"{subject}_{study}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(values, EMPTY.affine), tmp_path / name)
        picture = (100 + 80 * tumour).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(picture, EMPTY.affine), tmp_path / f"image_{name}")
        rows.append(f"{subject},{study},{day},{name},image_{name}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "clinical.csv").write_text("subject,day,steroids_mg,state\np1,0,2,stable\np1,56,0,improved\n")
    return tmp_path / "manifest.csv"


def test_from_masks_to_tables_and_pages(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["--masks", str(manifest), "--clinical", str(tmp_path / "clinical.csv"), "--out", str(out)]
    status = main([*command, "--labels", "1=enhancing", "2=necrosis", "--criteria", "rano2"])
    said = capsys.readouterr()
    assert status == 1
    assert "p2: has 1 study: there is no earlier one to compare with" in said.err
    assert "3 studies of 1 patients measured, 1 patients left out" in said.out
    response = pd.read_csv(out / "response.csv").set_index(["criteria", "study"])
    by_diameters = response.loc["RANO 2.0"]
    assert by_diameters["category"].tolist() == ["baseline", "PR", "PD"]
    assert by_diameters["kind"].tolist() == ["imaging category", "RANO 2.0", "imaging category"]
    assert by_diameters.loc["week-20", "rule"] == "lesion 2 is new since the baseline and measurable"
    assert by_diameters.loc["week-8", "confirmation"] == "not confirmed on day 140: PD"
    assert by_diameters.loc["week-8", "change_from_baseline_percent"] == pytest.approx(100 * (49 / 121 - 1), abs=6)
    shares = by_diameters.loc["week-8", [f"share_{name}" for name in ("CR", "PR", "MR", "SD", "PD")]]
    assert shares.sum() == pytest.approx(1)
    measurements = pd.read_csv(out / "measurements.csv")
    assert measurements["lesion"].tolist() == [1, 1, 1, 2]
    ends = np.array([float(value) for value in measurements["end_points_ras_mm"][3].replace(";", "").split()])
    middle = EMPTY.affine[:3, :3] / EMPTY.spacing @ [16, 0, 0] + [3, -7, 20]
    np.testing.assert_allclose(ends.reshape(4, 3)[:2].mean(axis=0), middle, atol=2)  # where it was drawn, in mm
    page = (out / "patients" / "p1.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    for part in ("RESEARCH USE ONLY", "This is an imaging category and no RANO", "of\n    plausible contours", "mm²"):
        assert part in page


def test_the_redcap_form_fits_its_dictionary(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    main(["--masks", str(manifest), "--labels", "1=enhancing", "2=necrosis", "--out", str(out), "--no-pages"])
    assert not (out / "patients").exists()
    form, dictionary = pd.read_csv(out / "redcap_import.csv"), pd.read_csv(out / "redcap_data_dictionary.csv")
    assert dictionary.columns.tolist() == list(_DICTIONARY_COLUMNS)
    own = [name for name in form.columns if not name.startswith("redcap_")]
    assert own == dictionary["Variable / Field Name"].tolist()
    assert all(name == name.lower() and len(name) <= 100 for name in own)
    assert form["redcap_repeat_instance"].tolist() == list(range(1, len(form) + 1))
    assert set(form["redcap_repeat_instrument"]) <= set(dictionary["Form Name"])


def test_from_a_prepared_data_set(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for session, radius, other in (("ses-01", 9, 6), ("ses-02", 8, 6), ("ses-03", 6, 0)):
        write_volume(data / image_path("sub-001", session), Volume(np.full((64, 56, 24), 7.0), EMPTY.affine))
        for lesion, mask in (("L01", ball(radius, -14)), ("L02", ball(max(other, 0.1), 14.2))):
            if mask.any():
                write_volume(data / mask_path("sub-001", session, lesion), Volume(mask.astype(np.uint8), EMPTY.affine))
    columns = "subject,lesion,fold,label,days_ses-02,days_ses-03,status_ses-03,synthetic"
    rows = ["sub-001,L01,0,1,21,90,present,True", "sub-001,L02,0,1,21,90,resolved,True"]
    (data / "lesions.csv").write_text("\n".join([columns, *rows]) + "\n")
    out = tmp_path / "out"
    assert main(["--dataset", str(data), "--criteria", "rano-bm", "--out", str(out)]) == 0
    response = pd.read_csv(out / "response.csv")
    assert response["category"].tolist() == ["baseline", "SD", "PR"]
    assert response["day"].tolist() == [0, 21, 90]
    changes = pd.read_csv(out / "lesion_changes.csv").set_index(["study", "lesion"])
    assert changes.loc[("ses-03", "L02"), "rano_bm_style"] == "CR"
    assert changes.loc[("ses-03", "L01"), "rano_bm_style"] == "PR"
    assert changes.loc[("ses-03", "L01"), "volume_change"] == pytest.approx((6 / 9) ** 3 - 1, abs=0.05)
    assert "SYNTHETIC DATA" in (out / "patients" / "sub-001.html").read_text()
