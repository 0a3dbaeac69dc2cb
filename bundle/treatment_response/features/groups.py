"""The groups of features that are measured lesion by lesion, and how a lesion's values are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from treatment_response.features import gradients, radiomics
from treatment_response.features.cache import FeatureCache, hash_of
from treatment_response.features.scans import OpenScan
from treatment_response.features.table import Feature
from treatment_response.problems import DataProblem, Problem

REVISION = 2
"""Raise it when the code of a group gives other values than before: what was cached is measured again."""
_LIBRARIES = ("numpy", "scipy", "SimpleITK", "pyradiomics", "PyWavelets")


@dataclass(frozen=True)
class Group:
    """A group of features that is measured lesion by lesion.

    Attributes:
        features: what it gives, in order.
        settings: all that decides the values besides the images; part of the cache's key.
        of_dose: measured on the dose instead of the MR; without a dose the values are missing.
        measure: from an open scan and a lesion's id to the values by name.
    """

    features: tuple[Feature, ...]
    settings: dict[str, Any]
    of_dose: bool
    measure: Callable[[OpenScan, str], dict[str, float]]


GROUPS = {
    gradients.GROUP: Group(
        gradients.FEATURES,
        {
            "step_mm": gradients.STEP_MM,
            "large_mm3": gradients.LARGE_LESION_MM3,
            "margins_mm": [gradients.MARGIN_LARGE_MM, gradients.MARGIN_SMALL_MM],
        },
        False,
        lambda scan, lesion: gradients.gradient_features(scan.image, scan.mask(lesion).array, f"{scan.where} {lesion}"),
    ),
    radiomics.RADIOMICS_GROUP: Group(
        radiomics.RADIOMICS_FEATURES,
        radiomics.RADIOMICS,
        False,
        lambda scan, lesion: radiomics.radiomic_features(scan.image, scan.mask(lesion).array, f"{scan.where} {lesion}"),
    ),
    radiomics.DOSE_GROUP: Group(
        radiomics.DOSE_FEATURES,
        radiomics.DOSIOMICS,
        True,
        lambda scan, lesion: radiomics.dosiomic_features(scan.dose, scan.mask(lesion), f"{scan.where} {lesion}"),
    ),
}


def check_groups(groups: Sequence[str]) -> None:
    """Refuse groups that are not in ``GROUPS``, or none.

    Raises:
        DataProblem: with the names to choose from.
    """
    unknown = [group for group in groups if group not in GROUPS]
    if unknown or not groups:
        what = f"unknown feature group {', '.join(unknown)}" if unknown else "no feature group was chosen"
        raise DataProblem(Problem("groups", what, f"choose from {', '.join(GROUPS)}"))


def measured(scan: OpenScan, lesion: str, name: str, cache: FeatureCache, **changed: Any) -> dict[str, float]:
    """A lesion's values of one group, from the cache if they are there.

    Args:
        scan: as it is, or changed on purpose. changed: what then decides the values besides the files.

    Returns:
        Value by name; nothing for a group on the dose if the session has none.

    Raises:
        DataProblem: a file is missing, or the lesion cannot be measured.
    """
    group = GROUPS[name]
    source = scan.scan.dose if group.of_dose else scan.scan.image
    if source is None:
        return {}
    for file in (source, scan.scan.masks[lesion]):
        if not file.is_file():
            what = f"{file.name} is missing"
            raise DataProblem(Problem(f"{scan.where} {lesion}", what, "prepare the data set again"))
    libraries = {library: version(library) for library in _LIBRARIES}
    facts = {"group": name, "revision": REVISION, "settings": group.settings, "libraries": libraries, **changed}
    key = hash_of(source, scan.scan.masks[lesion], **facts)
    names = [feature.name for feature in group.features]
    values = cache.get(key, names)
    if values is None:
        values = group.measure(scan, lesion)
        cache.put(key, values)
    return values
