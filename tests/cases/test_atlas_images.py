"""Scans moved onto an atlas: a planted tumour lands where the head's deformation puts it, in millimetres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from treatment_response.cases.atlas_images import ScannedImages, most_isotropic, without_bias
from treatment_response.cohort.layout import write_volume
from treatment_response.cohort.synthetic.rano.course import CourseStudy, TumourFocus
from treatment_response.cohort.synthetic.rano.placement import Place
from treatment_response.cohort.synthetic.rano.render import image_on, labels_on, scanned_grid, tissue_on
from treatment_response.cohort.synthetic.rice.head import CENTRE, random_patient_head
from treatment_response.cohort.synthetic.simulate import Session, rotation_about_axes
from treatment_response.geometry import Volume
from treatment_response.geometry.template import template

VOXEL_MM = 4
PLANTED = np.array([32.0, -30.0, 28.0])


def test_a_tumour_lands_on_the_atlas_where_the_head_has_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    head = random_patient_head(rng)
    study = CourseStudy(12, 0, {"L1": TumourFocus(9000.0, 1.1, 0.5, 6.0)})
    for name, degrees, shift in (("CT1", (4, -6, 9), (9, -6, 12)), ("T2", (-5, 3, 2), (-4, 7, -6))):
        turn = rotation_about_axes(np.deg2rad(degrees))
        session = Session(0, turn, CENTRE - CENTRE @ turn.T + np.array(shift), contrast=True)
        grid = scanned_grid(False, session, VOXEL_MM)
        tissue = tissue_on(grid, head, session)
        labels = labels_on(tissue, study, {"L1": Place(PLANTED)})
        write_volume(tmp_path / f"{name}.nii.gz", Volume(image_on(name, tissue, labels, True, rng), grid.affine))
        mask = tmp_path / f"DeepBraTumIA-segmentation/native/segmentation/{name.lower()}_seg_mask.nii.gz"
        write_volume(mask, Volume(labels, grid.affine))
    step = slice(None, None, VOXEL_MM)
    whole = template("t1")
    coarse = whole.affine @ np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    write_volume(tmp_path / "atlas.nii.gz", Volume(whole.array[step, step, step], coarse))
    reader = ScannedImages(tmp_path / "atlas.nii.gz")
    read = reader.read(tmp_path, ("CT1", "T2"), Volume(labels, grid.affine), "sub-001 week-012")
    expected = head.to_template(PLANTED[None])[0]
    assert read.labels is not None
    core = np.argwhere(np.isin(read.labels.array, (1, 2)))
    # Within a voxel of the atlas: the head is bent by some 2 mm, which no affine transform takes back.
    assert np.linalg.norm(read.labels.to_world(core).mean(axis=0) - expected) < VOXEL_MM
    ring, inside = (np.isin(read.labels.array, values) for values in ((1,), (2,)))
    brain = read.labels.array == 0
    assert np.median(read.images["CT1"].array[ring]) > 1.2 * np.median(read.images["CT1"].array[inside])
    t2 = read.images["T2"].array
    assert np.median(t2[inside]) > 1.5 * np.median(t2[brain & (t2 > 0.2 * t2.max())])  # the other scan is moved too
    assert {image.array.shape for image in read.images.values()} == {read.labels.array.shape}
    told = ScannedImages(tmp_path / "atlas.nii.gz", read_only=True).read(tmp_path, ("CT1", "T2"), None, "sub-001")
    assert told.images["T2"].array.shape == t2.shape


def test_the_most_isotropic_image_is_chosen_and_its_bias_is_taken_out() -> None:
    affines = {"T1": np.diag([1, 1, 5, 1.0]), "CT1": np.diag([1, 1, 1.5, 1.0]), "T2": np.diag([0.5, 0.5, 2, 1.0])}
    assert most_isotropic({name: Volume(np.zeros((9, 9, 9)), affine) for name, affine in affines.items()}) == "CT1"
    i, j, k = np.indices((24, 24, 24)) - 11.5
    ball = i**2 + j**2 + k**2 < 100
    rng = np.random.default_rng(0)
    image = np.where(ball, 100 * np.exp(0.03 * i), 1) + rng.normal(0, 1, ball.shape)
    flat = without_bias(Volume(image, np.diag([2, 2, 2, 1.0]))).array

    def slope(values: np.ndarray) -> float:
        return float(abs(np.polyfit(i[ball], values[ball] / values[ball].mean(), 1)[0]))

    assert slope(image) == pytest.approx(0.03, abs=0.005)
    assert slope(flat) < 0.3 * slope(image)
