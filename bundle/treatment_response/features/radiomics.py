"""Radiomics of the MR and dosiomics of the dose map, by pyradiomics on an isotropic grid around the lesion.

All settings stand in ``radiomics.json`` (intensities with air 0 and head tissue 100, `intensity.scale_to_head`) and
``dosiomics.json`` (Gy). ``grid`` is ours: ``step_mm`` between points, ``padding`` in points (a test holds that a wider
one changes nothing). ``setting``, ``imageType`` and ``featureClass`` are pyradiomics' own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics import getFeatureClasses
from radiomics.featureextractor import RadiomicsFeatureExtractor

from treatment_response.features.grid import LesionGrid, lesion_grid, mask_on
from treatment_response.features.table import Feature
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

RADIOMICS_GROUP, DOSE_GROUP = "radiomics", "dose"
_WAVELETS = ("LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH", "LLL")


def read_settings(name: str) -> dict[str, Any]:
    """The settings of ``radiomics`` or ``dosiomics``."""
    content: dict[str, Any] = json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
    return content


def feature_names(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What these settings give: ``<image type>_<class>_<feature>``, as pyradiomics writes them."""
    classes = {
        name: [feature for feature, deprecated in getFeatureClasses()[name].getFeatureNames().items() if not deprecated]
        for name in settings["featureClass"]
    }
    images: list[str] = []
    for image_type, arguments in settings["imageType"].items():
        if image_type == "Wavelet":
            images += [f"wavelet-{part}" for part in _WAVELETS]
        elif image_type == "LoG":
            images += [f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D" for sigma in arguments["sigma"]]
        else:
            images.append(image_type.lower())
    shape = [f"original_shape_{feature}" for feature in classes.pop("shape", [])]
    return (*shape, *(f"{i}_{name}_{feature}" for i in images for name, found in classes.items() for feature in found))


RADIOMICS, DOSIOMICS = read_settings("radiomics"), read_settings("dosiomics")
RADIOMICS_FEATURES = tuple(Feature(f"{RADIOMICS_GROUP}.{name}", RADIOMICS_GROUP) for name in feature_names(RADIOMICS))
DOSE_FEATURES = tuple(Feature(f"{DOSE_GROUP}.{name}", DOSE_GROUP) for name in feature_names(DOSIOMICS))


def radiomic_features(
    image: Volume, mask: np.ndarray, where: str = "lesion", settings: Mapping[str, Any] = RADIOMICS
) -> dict[str, float]:
    """The radiomic features of a lesion.

    Args:
        image: intensities on a common scale, any affine.
        mask: bool, or numbers above 0 inside, on the image's grid.
        where: the case, for messages.
        settings: as ``radiomics.json``.

    Returns:
        Value by name, in the order of ``RADIOMICS_FEATURES``; NaN where there is none (a texture of one voxel).

    Raises:
        DataProblem: the mask is empty or on another grid, or the image holds NaN around it.
    """
    grid = _grid(mask_on(image, mask, where), settings, where)
    values, _ = grid.sample(image, where)
    return _named(RADIOMICS_GROUP, _measure_on(grid, values, settings, where), settings)


def dosiomic_features(
    dose: Volume, mask: Volume, where: str = "lesion", settings: Mapping[str, Any] = DOSIOMICS
) -> dict[str, float]:
    """The dosiomic features of a lesion: its texture classes on the dose instead of the MR; no shape.

    Args:
        dose: in Gy, on its own grid; beyond it, filters see the dose of its edge.
        mask: above 0 inside, in the same scanner coordinates.
        where: the case, for messages.
        settings: as ``dosiomics.json``.

    Returns:
        Value by name, in the order of ``DOSE_FEATURES``.

    Raises:
        DataProblem: the mask is empty, the lesion lies partly outside the dose grid, or the dose holds NaN.
    """
    grid = _grid(mask, settings, where)
    values, valid = grid.sample(dose, where)
    if not valid[grid.mask].all():
        share = 1.0 - valid[grid.mask].mean()
        what = f"{share:.0%} of the lesion lies outside the dose grid"
        raise DataProblem(Problem(where, what, "export a dose that covers the target, or leave the dose out"))
    return _named(DOSE_GROUP, _measure_on(grid, values, settings, where), settings)


def measure(image: sitk.Image, mask: sitk.Image, settings: Mapping[str, Any], where: str) -> dict[str, float]:
    """Run pyradiomics, quietly, on an image and a mask (1 inside) as they are.

    Returns:
        pyradiomics' values by its own names; what is not finite is NaN.

    Raises:
        DataProblem: pyradiomics refuses the lesion; the message says why.
    """
    # Its warnings name things that are known (a symmetric GLCM) or become NaN here.
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    extractor = RadiomicsFeatureExtractor(**settings["setting"])
    extractor.disableAllImageTypes()
    extractor.enableImageTypes(**settings["imageType"])
    extractor.disableAllFeatures()
    for name in settings["featureClass"]:
        extractor.enableFeatureClassByName(name)
    try:
        with np.errstate(all="ignore"):
            found = extractor.execute(image, mask)
    except ValueError as error:
        what = f"pyradiomics refuses the lesion ({error})"
        raise DataProblem(Problem(where, what, "check its outline, or leave the lesion out")) from None
    return {name: _real(value) for name, value in found.items() if not name.startswith("diagnostics_")}


def _real(value: Any) -> float:
    """A finite number or NaN; the maximal correlation coefficient of few voxels comes with an imaginary part."""
    number = complex(value)
    real = number.real if abs(number.imag) <= 1e-9 * abs(number.real) else float("nan")
    return real if np.isfinite(real) else float("nan")


def _grid(mask: Volume, settings: Mapping[str, Any], where: str) -> LesionGrid:
    step = settings["grid"]["step_mm"]
    return lesion_grid(mask, step, settings["grid"]["padding"] * step, where)


def _measure_on(grid: LesionGrid, values: np.ndarray, settings: Mapping[str, Any], where: str) -> dict[str, float]:
    image, mask = _to_sitk(values, grid.step), _to_sitk(grid.mask.astype(np.uint8), grid.step)
    return measure(image, mask, settings, where)


def _to_sitk(array: np.ndarray, step: float) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing((step, step, step))
    return image


def _named(group: str, found: Mapping[str, float], settings: Mapping[str, Any]) -> dict[str, float]:
    return {f"{group}.{name}": found.get(name, float("nan")) for name in feature_names(settings)}
