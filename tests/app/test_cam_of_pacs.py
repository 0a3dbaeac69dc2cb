"""One oblique DICOM series by two ways: prepared and through inference.json, and from the PACS through the server."""

from __future__ import annotations

import json
import subprocess
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from app_server import REPOSITORY, AppServer
from monai.bundle import ConfigWorkflow
from pacs_case import retrieve, send
from phantom_case import LESIONS, affine, ball, head
from preloaded_python import preloaded_python
from pulsar_app.local.maps import map_series
from pydicom.dataset import Dataset
from treatment_response.dicom.write import PatientIds, StudyIds, write_series, write_structure_set
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import outline_mask

MODEL = "pulsar_response"
CONFIG = REPOSITORY / "bundle" / "configs" / "inference.json"
FIRST_DAY = date(2020, 1, 31)
VISITS = ((0, 1.0, True), (21, 0.95, True), (92, 0.7, False))
"""Day, radius as a share of that before treatment, contrast."""


def write_patient(folder: Path) -> tuple[str, str]:
    """Three examinations of the phantom; returns study and series UID of the first MR."""
    patient = PatientIds("SYN-901", "SYNTHETIC^901", "19500102", "F")
    for day, share, contrast in reversed(VISITS):
        name = f"way {day}"
        when = f"{FIRST_DAY + timedelta(day):%Y%m%d}"
        study = StudyIds(derived_uid("way study", name), when, "SYNTHETIC MR head")
        written = write_series(
            head(),
            folder / f"{day}" / "mr",
            patient=patient,
            study=study,
            series_uid=derived_uid("way series", name),
            frame_uid=derived_uid("way frame", name),
            contrast=contrast,
        )
        contours = {
            roi: [points for _, points in outline_mask(ball(centre, radius * share), affine())]
            for roi, (centre, radius) in LESIONS.items()
        }
        write_structure_set(
            contours, folder / f"{day}" / "rtstruct.dcm", patient=patient, study=study, referenced=written
        )
    return study.study_uid, written.series_uid


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> tuple[Path, Path, tuple[str, str]]:
    """Folder of the first examination, the prepared data set, UIDs of the first examination."""
    folder = tmp_path_factory.mktemp("two-ways")
    uids = write_patient(folder / "dicom")
    script = REPOSITORY / "scripts" / "prepare_dicom.py"
    command = [preloaded_python().python, str(script), str(folder / "dicom"), "--out", str(folder / "data")]
    done = subprocess.run([*command, "--folds", "1", "--workers", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dicom" / "0", folder / "data", uids


def written_maps(dataset: Path, out: Path) -> dict[tuple[int, int, int], tuple[dict[str, Any], Path]]:
    """What inference.json writes for each lesion of the first MR; by the lesion's middle in mm."""
    samples = json.loads((dataset / "dataset.json").read_text())["training"]
    found = {}
    for sample in samples:
        if sample["session"] != "ses-01":
            continue
        folder = out / sample["lesion"]
        workflow = ConfigWorkflow(
            config_file=str(CONFIG),
            workflow_type="infer",
            logging_file=False,
            output_dir=str(folder),
            image=str(dataset / sample["image"]),
            mask=str(dataset / sample["mask"]),
            device="$torch.device('cpu')",
            plain_problems=None,
        )
        workflow.initialize()
        workflow.run()
        mask = nibabel.load(dataset / sample["mask"])
        middle = nibabel.affines.apply_affine(mask.affine, np.argwhere(np.asarray(mask.dataobj)).mean(axis=0))
        found[tuple(np.rint(middle).astype(int))] = (
            json.loads((folder / "lesions.json").read_text())["lesions"][0],
            folder,
        )
    return found


def points_and_values(parametric: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """RAS mm of every pixel of a Parametric Map, from its own frames' headers, and what it says there."""
    rows, columns = parametric.Rows, parametric.Columns
    values = np.frombuffer(parametric.FloatPixelData, np.float32).reshape(-1, rows, columns)
    shared = parametric.SharedFunctionalGroupsSequence[0]
    right, down = np.reshape(np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float), (2, 3))
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    row, column = np.mgrid[:rows, :columns]
    offsets = column[..., None] * right * between_columns + row[..., None] * down * between_rows
    places = [
        np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float) + offsets
        for frame in parametric.PerFrameFunctionalGroupsSequence
    ]
    return np.stack(places) * [-1, -1, 1], values


def test_the_stored_map_is_inference_jsons_map_voxel_by_voxel_at_the_same_millimetres(orthanc, case, tmp_path):
    examination, dataset, (study, series) = case
    send(examination, orthanc.dicomweb)
    expected = written_maps(dataset, tmp_path / "cams")
    assert len(expected) == len(LESIONS)
    with AppServer(orthanc.dicomweb, tmp_path / "server", ready="/info/") as server:
        for roi in LESIONS:
            for shown, cam in (("predicted", "pixelwise"), ("non-response", "gradcampp")):
                params = {"rois": [roi], "store": True, "shown": shown, "cam": cam}
                response = server.infer(MODEL, series, params)
                assert response.status_code == 200, response.text
                (told,) = response.json()["lesions"]
                (entry, folder) = expected[tuple(np.rint(told["location_mm"]).astype(int))]
                assert told["p_response"] == pytest.approx(entry["p_response"], abs=2e-6)
                assert told["class"] == entry["class"]
                of = entry["class"] if shown == "predicted" else shown
                (parametric,) = retrieve(orthanc.dicomweb, study, map_series(response.json(), of))
                assert parametric.SeriesDescription.startswith("RESEARCH ONLY")
                (known,) = (one for one in entry["maps"] if (one["variant"], one["class"]) == (cam, of))
                written = nibabel.load(folder / known["scaled"])
                places, values = points_and_values(parametric)
                index = nibabel.affines.apply_affine(np.linalg.inv(written.affine), places)
                voxels = np.rint(index).astype(int)
                # Millimetres, not shares of a voxel: slices are 2 mm apart, pixels 1 mm.
                off = (index - voxels) * np.linalg.norm(written.affine[:3, :3], axis=0)
                assert np.abs(off).max() < 0.01
                scaled = np.asarray(written.dataobj)
                assert values.size == scaled.size
                np.testing.assert_allclose(values, scaled[tuple(np.moveaxis(voxels, -1, 0))], atol=1e-6)
                assert (values > 0).sum() == (scaled > 0).sum()
                assert values.any() or not scaled.any()
