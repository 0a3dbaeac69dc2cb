"""The methods that are compared: what each of them sees of a lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from treatment_response.cases.samples import MRI1, MRI2
from treatment_response.cohort.dataset import load_datalist
from treatment_response.evaluation.classical import METHODS as CLASSICAL
from treatment_response.features.cache import hash_of
from treatment_response.features.clinical import CLINICAL_GROUP, SIZE_GROUP, clinical_features
from treatment_response.features.deltas import GROUP as DELTA_GROUP
from treatment_response.features.deltas import delta_features
from treatment_response.features.extraction import extract_dataset
from treatment_response.features.gradients import GROUP as GRADIENT_GROUP
from treatment_response.features.groups import GROUPS
from treatment_response.features.groups import REVISION as groups_revision
from treatment_response.features.radiomics import DOSE_GROUP, RADIOMICS_GROUP
from treatment_response.features.robustness import CORRELATION_MM, PERTURBATIONS, perturbed_features
from treatment_response.features.robustness import REVISION as perturbed_revision
from treatment_response.features.scans import dataset_scans
from treatment_response.features.table import Known
from treatment_response.problems import DataProblem, Problem

NETWORK = "cnn"
NETWORKS: dict[str, tuple[str, ...]] = {NETWORK: (), "improved": ("improved.json",)}
"""Networks, each with what it puts on top of ``train.json``."""
MEASURED = {
    "radiomics": (RADIOMICS_GROUP,),
    "gradient": (GRADIENT_GROUP,),
    "dose": (DOSE_GROUP,),
    "ensemble": (RADIOMICS_GROUP, GRADIENT_GROUP, DOSE_GROUP),
    "delta": (RADIOMICS_GROUP, GRADIENT_GROUP),
    "ensemble-after-mri2": (RADIOMICS_GROUP, GRADIENT_GROUP, DOSE_GROUP),
}
"""Methods on features of the images, with the groups that are measured for them."""
CHANGING = (RADIOMICS_GROUP, GRADIENT_GROUP)
"""Groups whose change from MRI 1 to MRI 2 methods after MRI 2 see."""
AFTER_MRI_2 = tuple(name for name, method in CLASSICAL.items() if method.known is Known.AFTER_MRI_2)
"""Methods that see both MRIs: they stand in tables headed so, and in no other."""
FUSION = "fusion"
FUSED = ("improved", "gradient", "radiomics")
"""The mean of these methods' logits is the fusion; nothing is fitted."""
METHODS = (*(name for name in CLASSICAL if name not in AFTER_MRI_2), *NETWORKS, FUSION, *AFTER_MRI_2)
USUAL = ("size", "clinical", "radiomics", "gradient", "ensemble", NETWORK)


@dataclass(frozen=True)
class Seen:
    """What a classical method sees.

    Attributes:
        features: session → table with the index ``(subject, lesion)``. What a method after MRI 2 sees of both MRIs
            stands under MRI 2, for the lesions that have both.
        ratings: the features of MRI 1 under small perturbations, for the ICC filter; None without a filter.
        least_icc: the lowest ICC that stays.
    """

    features: dict[str, pd.DataFrame]
    ratings: pd.DataFrame | None = None
    least_icc: float = 0.75


Tables = dict[str, Seen]
"""Method → what it sees."""


def check_methods(methods: Sequence[str]) -> None:
    """Refuse names that are no method, twice the same, or none.

    Raises:
        DataProblem: with the names to choose from.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods or len(set(methods)) < len(methods):
        what = f"'{unknown[0]}' is no method" if unknown else "name at least one method, each once"
        raise DataProblem(Problem("--methods", what, f"choose from {', '.join(METHODS)}"))


def to_run(methods: Sequence[str]) -> list[str]:
    """What has to be computed for some methods, the fusion's parts included and itself left out."""
    parts = FUSED if FUSION in methods else ()
    return [method for method in METHODS if method in (*methods, *parts) and method != FUSION]


def feature_tables(
    dataset_dir: Path,
    methods: Sequence[str],
    cache_dir: Path,
    least_icc: float = 0.0,
    processes: int = 2,
    console: Console | None = None,
    groups: Sequence[str] | None = None,
) -> Tables:
    """What the classical methods see, in MRI 1 and in MRI 2 under the same names.

    A model is fitted on MRI 1. To score MRI 2 it gets the size or the texture measured there; clinical facts known
    before treatment stay what they were. Without any dose in the data set the ensemble goes without dose features.
    MRI 1 of the lesions without a label is measured too, to be scored; the ICC filter does not look at it.

    A method after MRI 2 sees both MRIs at once. Whether a change is robust is judged by its feature's ICC in MRI 1.

    Args:
        least_icc: above 0, MRI 1 is measured under perturbations too.
        groups: of features that are measured; those that the methods need and the data set has by default.

    Raises:
        DataProblem: a lesion cannot be measured; all of them are named.
    """
    tables: Tables = {}
    doubtful = unlabelled_lesions(dataset_dir)
    facts = clinical_features(dataset_dir, doubtful)
    before = facts.known_by(Known.BEFORE_TREATMENT)
    if "size" in methods:
        second = facts.values[["size.volume_mri2"]].rename(columns={"size.volume_mri2": "size.volume"})
        tables["size"] = Seen({MRI1: before.of_groups(SIZE_GROUP).values, MRI2: second})
    if "clinical" in methods:
        table = before.of_groups(CLINICAL_GROUP).values
        tables["clinical"] = Seen({MRI1: table, MRI2: table})
    if "size-after-mri2" in methods:
        both = facts.of_groups(SIZE_GROUP).values.dropna(subset=["size.volume_mri2"])
        tables["size-after-mri2"] = Seen({MRI2: both})
    measured = [method for method in methods if method in MEASURED]
    if measured:
        groups = groups_of(dataset_dir, measured) if groups is None else groups
        also = (MRI1,) if doubtful else ()
        everything = extract_dataset(dataset_dir, (MRI1, MRI2), cache_dir, processes, groups, console, also)
        ratings = perturbed_features(dataset_dir, cache_dir, MRI1, groups, processes, console) if least_icc else None
        for method in (method for method in measured if method not in AFTER_MRI_2):
            mine = everything.of_groups(*MEASURED[method])
            names = list(mine.values.columns)
            tables[method] = Seen(
                {session: mine.at(session).values for session in (MRI1, MRI2)},
                None if ratings is None else ratings[names],
                least_icc,
            )
        if any(method in AFTER_MRI_2 for method in measured):
            changes = delta_features(everything.of_groups(*CHANGING))
            beside = everything.at(MRI1).join(changes).values.loc[changes.values.index]
            if ratings is not None:
                ratings = pd.concat([ratings, ratings.add_prefix(f"{DELTA_GROUP}.")], axis=1)
            # Each takes the columns of its own groups.
            seen = Seen({MRI2: beside}, ratings, least_icc)
            tables |= dict.fromkeys((method for method in measured if method in AFTER_MRI_2), seen)
    return {method: tables[method] for method in METHODS if method in tables}


def unlabelled_lesions(dataset_dir: Path) -> list[dict[str, Any]]:
    """MRI 1 of the lesions without a label, as the data list has them."""
    return [entry for entry in load_datalist(dataset_dir, unlabelled=True) if entry["label"] is None]


def without_dose(tables: Tables) -> dict[str, int]:
    """Method on dose → how many lesions have a dose at MRI 1 and none at MRI 2; 0 is left out.

    The models fill such a gap with the training median, so that what they say of MRI 2 is not about dose.
    """
    found = {}
    for method, seen in ((method, seen) for method, seen in tables.items() if method not in AFTER_MRI_2):
        columns = [name for name in seen.features[MRI1].columns if name.startswith(f"{DOSE_GROUP}.")]
        first, second = (seen.features[session][columns].notna().any(axis=1) for session in (MRI1, MRI2))
        if lost := int((first.reindex(second.index, fill_value=False) & ~second).sum()):
            found[method] = lost
    return found


def feature_marks(dataset_dir: Path, methods: Sequence[str], least_icc: float) -> dict[str, str]:
    """Group of features → a short hash of the settings that decide its values, the perturbations' included."""
    groups = groups_of(dataset_dir, methods)
    marks = {name: hash_of(settings=GROUPS[name].settings, revision=groups_revision) for name in groups}
    if groups and least_icc:
        changes = [asdict(change) for change in PERTURBATIONS]
        marks["perturbations"] = hash_of(changes=changes, mm=CORRELATION_MM, revision=perturbed_revision)
    return {name: mark[:16] for name, mark in marks.items()}


def groups_of(dataset_dir: Path, methods: Sequence[str]) -> list[str]:
    """The groups of features that some methods need of a data set, in order."""
    groups = {group for method in methods for group in MEASURED.get(method, ())}
    without_dose = not any(scan.dose for scan in dataset_scans(dataset_dir, (MRI1, MRI2)))
    if without_dose and "dose" not in methods:
        groups.discard(DOSE_GROUP)
    return sorted(groups)


def candidate_features(method: str, measured: Mapping[str, int]) -> int | None:
    """How many features a method on features of the images may choose from; None for another method.

    Args:
        measured: group → number of its features, of the groups that were measured.
    """
    if method not in MEASURED:
        return None
    groups = [group for group in CLASSICAL[method].groups if group != DELTA_GROUP]
    changing = CHANGING if DELTA_GROUP in CLASSICAL[method].groups else ()
    return sum(measured.get(group, 0) for group in (*groups, *changing)) or None
