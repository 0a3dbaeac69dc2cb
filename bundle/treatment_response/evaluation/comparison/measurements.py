"""What methods on features see of a data set's lesions, measured once for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from treatment_response.cases.samples import MRI1, MRI2
from treatment_response.cohort.dataset import load_datalist
from treatment_response.features.cache import hash_of
from treatment_response.features.clinical import clinical_features
from treatment_response.features.extraction import extract_dataset
from treatment_response.features.groups import GROUPS
from treatment_response.features.groups import REVISION as groups_revision
from treatment_response.features.radiomics import DOSE_GROUP
from treatment_response.features.robustness import CORRELATION_MM, PERTURBATIONS, perturbed_features
from treatment_response.features.robustness import REVISION as perturbed_revision
from treatment_response.features.scans import dataset_scans
from treatment_response.features.table import FeatureTable


@dataclass(frozen=True)
class Seen:
    """What a method on features sees.

    Attributes:
        features: session → table with the index ``(subject, lesion)``. What a method after MRI 2 sees of both MRIs
            stands under MRI 2, for the lesions that have both.
        ratings: the features of MRI 1 under small perturbations, for the ICC filter; None without a filter.
        least_icc: the lowest ICC that stays.
    """

    features: dict[str, pd.DataFrame]
    ratings: pd.DataFrame | None = None
    least_icc: float = 0.75


@dataclass(frozen=True)
class Measurements:
    """The features of a prepared data set. What no method asks for is not measured.

    Attributes:
        dataset_dir: the data set. groups: of features that are measured in its images (`measured_groups`).
        cache_dir: keeps what was measured.
        least_icc: above 0, MRI 1 is measured under perturbations too.
        processes, console: of the measuring.
    """

    dataset_dir: Path
    groups: Sequence[str]
    cache_dir: Path
    least_icc: float = 0.0
    processes: int = 2
    console: Console | None = None

    @cached_property
    def facts(self) -> FeatureTable:
        """Size and clinical facts, one row per lesion, those without a label included."""
        return clinical_features(self.dataset_dir, self._unlabelled)

    @cached_property
    def images(self) -> FeatureTable:
        """Features of the images in MRI 1 and MRI 2. MRI 1 of the lesions without a label is measured too.

        Raises:
            DataProblem: a lesion cannot be measured; all of them are named.
        """
        also = (MRI1,) if self._unlabelled else ()
        return extract_dataset(
            self.dataset_dir, (MRI1, MRI2), self.cache_dir, self.processes, self.groups, self.console, also
        )

    @cached_property
    def ratings(self) -> pd.DataFrame | None:
        """Features of MRI 1 of the labelled lesions under perturbations; None without an ICC filter."""
        if not self.least_icc:
            return None
        return perturbed_features(self.dataset_dir, self.cache_dir, MRI1, self.groups, self.processes, self.console)

    @cached_property
    def _unlabelled(self) -> list[dict[str, Any]]:
        """MRI 1 of the lesions without a label, as the data list has them."""
        return [entry for entry in load_datalist(self.dataset_dir, unlabelled=True) if entry["label"] is None]


def measured_groups(dataset_dir: Path, wanted: Iterable[Sequence[str]]) -> list[str]:
    """The groups of features that are measured in a data set, in order.

    Dose is measured where the data set has some. It is demanded of a data set without any by a method on dose alone.

    Args:
        wanted: per method the groups that it takes.
    """
    demands = [set(groups) for groups in wanted]
    groups = set().union(*demands)
    without_dose = not any(scan.dose for scan in dataset_scans(dataset_dir, (MRI1, MRI2)))
    if without_dose and {DOSE_GROUP} not in demands:
        groups.discard(DOSE_GROUP)
    return sorted(groups)


def feature_marks(groups: Sequence[str], least_icc: float) -> dict[str, str]:
    """Group of features → a short hash of the settings that decide its values, the perturbations' included."""
    marks = {name: hash_of(settings=GROUPS[name].settings, revision=groups_revision) for name in groups}
    if groups and least_icc:
        changes = [asdict(change) for change in PERTURBATIONS]
        marks["perturbations"] = hash_of(changes=changes, mm=CORRELATION_MM, revision=perturbed_revision)
    return {name: mark[:16] for name, mark in marks.items()}


def without_dose(seen: Mapping[str, Seen]) -> dict[str, int]:
    """Method on dose → how many lesions have a dose at MRI 1 and none at MRI 2; 0 is left out.

    The models fill such a gap with the training median, so that their predictions of MRI 2 are not about dose.

    Args:
        seen: method → what it sees. A method after MRI 2 has no table of MRI 1 alone, and is left out.
    """
    found = {}
    for method, features in ((method, each.features) for method, each in seen.items() if MRI1 in each.features):
        columns = [name for name in features[MRI1].columns if name.startswith(f"{DOSE_GROUP}.")]
        first, second = (features[session][columns].notna().any(axis=1) for session in (MRI1, MRI2))
        if lost := int((first.reindex(second.index, fill_value=False) & ~second).sum()):
            found[method] = lost
    return found
