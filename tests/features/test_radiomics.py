"""Radiomics against pyradiomics' published values, and what is ours around it."""

from __future__ import annotations

import ast
import copy
import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from analytic_lesions import AFFINES, CENTRE, make_lesion, stored_otherwise, three_voxels
from treatment_response.features.radiomics import (
    DOSE_FEATURES,
    DOSIOMICS,
    RADIOMICS,
    RADIOMICS_FEATURES,
    dosiomic_features,
    measure,
    radiomic_features,
)
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

# Relative tolerance per feature class. The golden values of shape without resampling come from an older surface mesh of
# pyradiomics (1.3); all others were made by code that has not changed since.
TOLERANCE = {"shape": 1e-3, "firstorder": 1e-9, "glcm": 1e-9, "glrlm": 1e-9, "glszm": 1e-9, "gldm": 1e-9, "ngtdm": 1e-9}
SMALLEST = 1e-9
VARIANTS = ("", "_2d", "_FBN", "_combined", "_flatRegion", "_normalization", "_resampling", "_resegmentation")
QUICK: dict[str, Any] = {**RADIOMICS, "featureClass": ["firstorder", "glcm"]}
FIRST_ORDER: dict[str, Any] = {**RADIOMICS, "featureClass": ["firstorder"]}


@pytest.fixture(scope="module")
def brain(shared_data: Path) -> tuple[sitk.Image, sitk.Image]:
    folder = shared_data / "radiomics_case"
    return sitk.ReadImage(str(folder / "brain1_image.nrrd")), sitk.ReadImage(str(folder / "brain1_label.nrrd"))


@pytest.fixture(scope="module")
def brain_volumes(brain: tuple[sitk.Image, sitk.Image]) -> tuple[Volume, np.ndarray]:
    image, mask = brain
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    affine[:2] *= -1  # LPS to RAS
    arrays = [sitk.GetArrayFromImage(item).transpose(2, 1, 0) for item in (image, mask)]
    return Volume(arrays[0].astype(float), affine), arrays[1] == 1


@pytest.mark.parametrize("feature_class", TOLERANCE)
def test_values_are_those_that_pyradiomics_publishes(
    shared_data: Path, brain: tuple[sitk.Image, sitk.Image], feature_class: str
) -> None:
    with (shared_data / "radiomics_case" / f"baseline_{feature_class}.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    columns = [f"brain1{variant}" for variant in VARIANTS if f"brain1{variant}" in rows[0]]
    assert "brain1" in columns
    for column in columns:
        golden = {row["featureName"]: row[column] for row in rows}
        setting = ast.literal_eval(golden["diagnostics_Configuration_Settings"]) | {"additionalInfo": False}
        images = ast.literal_eval(golden["diagnostics_Configuration_EnabledImageTypes"])
        settings = {"setting": setting, "imageType": images, "featureClass": [feature_class]}
        expected = {name: float(value) for name, value in golden.items() if name.startswith("original_")}
        found = measure(*brain, settings, "brain1")
        assert found == pytest.approx(expected, rel=TOLERANCE[feature_class], abs=SMALLEST), column


def test_a_wider_pad_changes_nothing_and_a_narrow_one_does(brain_volumes: tuple[Volume, np.ndarray]) -> None:
    image, mask = brain_volumes
    ours, wider, narrow = (
        radiomic_features(image, mask, settings={**FIRST_ORDER, "grid": {"step_mm": 1.0, "padding": padding}})
        for padding in (RADIOMICS["grid"]["padding"], 48, 5)
    )
    assert wider == pytest.approx(ours, rel=1e-5, abs=1e-6, nan_ok=True)
    assert narrow != pytest.approx(ours, rel=1e-3, abs=1e-3, nan_ok=True)


def test_on_a_grid_of_one_millimetre_the_image_is_measured_as_it_is() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(100, 30, (64, 64, 64))
    mask = np.zeros(array.shape, dtype=bool)
    mask[28:36, 26:38, 29:35] = True
    mask[26:38, 30:34, 31:33] = True
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = CENTRE
    native = [sitk.GetImageFromArray(item.transpose(2, 1, 0)) for item in (array, mask.astype(np.uint8))]
    settings = {**RADIOMICS, "imageType": {"Original": {}}}
    expected = {f"radiomics.{name}": value for name, value in measure(*native, settings, "case").items()}
    assert radiomic_features(Volume(array, affine), mask, settings=settings) == pytest.approx(expected, rel=1e-6)


def texture(points: np.ndarray) -> np.ndarray:
    return 120 + 30 * np.cos(points @ np.array([0.9, 0.5, 0.3])) + 10 * np.sin(points @ np.array([0.2, 1.1, 0.7]))


def test_names_are_complete_and_in_the_documented_order() -> None:
    found = radiomic_features(*make_lesion(texture, radius=5.03))
    assert list(found) == [feature.name for feature in RADIOMICS_FEATURES]
    # 14 of shape and 93 of each of the original, 8 wavelet parts and 3 sizes of LoG.
    assert len(found) == 14 + 93 * 12
    assert all(np.isfinite(value) for value in found.values())


@pytest.mark.parametrize("matrix", AFFINES.values(), ids=AFFINES)
def test_size_is_in_millimetres_on_every_grid(matrix: np.ndarray) -> None:
    image, mask = make_lesion(texture, matrix=matrix)
    settings = {**RADIOMICS, "imageType": {"Original": {}}, "featureClass": ["shape", "firstorder"]}
    found = radiomic_features(image, mask, settings=settings)
    volume = 4 / 3 * np.pi * 8.03**3
    assert found["radiomics.original_shape_MeshVolume"] == pytest.approx(volume, rel=0.05)
    # A ball's surface on voxels is rougher than a ball's: one voxel of the mask, and a tenth of the surface.
    assert found["radiomics.original_shape_Maximum3DDiameter"] == pytest.approx(16.06, abs=1.8)
    assert found["radiomics.original_shape_Sphericity"] == pytest.approx(0.9, abs=0.05)
    assert found["radiomics.original_firstorder_Mean"] == pytest.approx(image.array[mask].mean(), abs=1.0)


def test_the_order_of_storage_changes_nothing() -> None:
    image, mask = make_lesion(texture, radius=5.03, matrix=AFFINES["oblique"])
    mask[: mask.shape[0] // 2, :, :4] = False
    first = radiomic_features(image, mask, settings=QUICK)
    second = radiomic_features(*stored_otherwise(image, mask), settings=QUICK)
    assert second == pytest.approx(first, rel=1e-6, abs=1e-6)


def test_it_is_quiet(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        radiomic_features(*make_lesion(texture, radius=3.03), settings=QUICK)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("matrix", AFFINES.values(), ids=AFFINES)
def test_a_lesion_of_three_voxels_has_what_can_be_measured(matrix: np.ndarray) -> None:
    image, _ = make_lesion(texture, matrix=matrix)
    found = radiomic_features(image, three_voxels(image))
    assert list(found) == [feature.name for feature in RADIOMICS_FEATURES]
    assert not np.isinf(list(found.values())).any()
    assert np.isfinite(found["radiomics.original_firstorder_Mean"])
    assert np.isfinite(found["radiomics.original_shape_VoxelVolume"])


def test_a_constant_image_has_no_texture() -> None:
    found = radiomic_features(*make_lesion(lambda points: np.full(len(points), 100.0), radius=5.03))
    assert found["radiomics.original_firstorder_Mean"] == pytest.approx(100)
    assert found["radiomics.original_firstorder_Entropy"] == pytest.approx(0, abs=1e-9)
    assert not np.isinf(list(found.values())).any()


def test_bad_input_is_one_sentence() -> None:
    image, mask = make_lesion(texture, radius=5.03)
    holed = image.array.copy()
    holed[tuple(np.argwhere(mask)[0])] = np.nan
    with pytest.raises(DataProblem, match="sub-001 L01: the image holds NaN"):
        radiomic_features(Volume(holed, image.affine), mask, "sub-001 L01")
    with pytest.raises(DataProblem, match="the mask is empty"):
        radiomic_features(image, np.zeros_like(mask))
    refused = copy.deepcopy(QUICK)
    refused["setting"]["minimumROISize"] = 10**6
    with pytest.raises(DataProblem, match="sub-001 L01: pyradiomics refuses the lesion"):
        radiomic_features(image, mask, "sub-001 L01", settings=refused)


def dose_on_its_own_grid(reach: float) -> Volume:
    """30 Gy in the lesion's centre, falling by 1 Gy per mm towards the right, on 1.5 mm voxels."""
    dose, _ = make_lesion(lambda points: 30.0 - points[:, 0], matrix=np.diag([-1.5, -1.5, 1.5]), reach=reach)
    return dose


def test_dose_is_measured_where_the_lesion_lies_in_scanner_coordinates() -> None:
    image, mask = make_lesion(texture, matrix=AFFINES["oblique"])
    moved = image.affine.copy()
    moved[:3, 3] += [3.0, 0.0, 0.0]
    for affine, mean in ((image.affine, 30.0), (moved, 27.0)):
        found = dosiomic_features(dose_on_its_own_grid(14.0), Volume(mask, affine))
        assert list(found) == [feature.name for feature in DOSE_FEATURES]
        assert found["dose.original_firstorder_Mean"] == pytest.approx(mean, abs=0.1)
        assert found["dose.original_firstorder_Range"] == pytest.approx(16.0, abs=1.0)


def test_a_lesion_outside_the_dose_grid_is_refused() -> None:
    image, mask = make_lesion(texture)
    with pytest.raises(DataProblem, match=r"sub-001 L01: \d+% of the lesion lies outside the dose grid"):
        dosiomic_features(dose_on_its_own_grid(-3.0), Volume(mask, image.affine), "sub-001 L01")


def test_dose_has_no_shape() -> None:
    assert "shape" not in DOSIOMICS["featureClass"]
    assert len(DOSE_FEATURES) == 93 * 12
