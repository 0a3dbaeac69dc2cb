"""Which lesions a comparison is about, and the splits by patient that every method gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from treatment_response.cohort.check import check_list
from treatment_response.cohort.dataset import read_dataset
from treatment_response.cohort.splits import patient_folds
from treatment_response.evaluation.cross_validation import shuffled_by_patient
from treatment_response.features.table import LESION_KEY
from treatment_response.problems import DataProblem, Problem
from treatment_response.training.samples import MRI1, MRI2, PROTOCOLS, SampleRow, Samples

FOLDS = 5
"""Each split holds one fifth of the patients out, as the paper's 80/20 splits do with lesions."""
REPEAT_SEEDS = 1000
"""Repeats of another seed never share a seed with this one's, up to so many repeats."""
LARGEST_SEED = 2**32 // (REPEAT_SEEDS * FOLDS) - 1
"""The seeds of its trials are still seeds for numpy and scikit-learn, which take 32 bits."""


@dataclass(frozen=True)
class Split:
    """One trial: who is held out, and the seed of whatever a method draws.

    Attributes:
        trial: its number, from 0. seed: of the fitted model. held_out: patients; none with protocol A.
    """

    trial: int
    seed: int
    held_out: tuple[str, ...]

    def roles(self, lesions: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
        """Role → (session, lesions to score); roles without a lesion are left out."""
        held = lesions["subject"].isin(self.held_out)
        second = lesions["has_mri2"]
        roles = {
            "train_mri2": (MRI2, lesions[~held & second]),
            "heldout_mri2": (MRI2, lesions[held & second]),
            "heldout_mri1": (MRI1, lesions[held]),
        }
        return {role: chosen for role, chosen in roles.items() if len(chosen[1])}

    def training(self, lesions: pd.DataFrame) -> pd.DataFrame:
        """The lesions whose MRI 1 is trained on."""
        return lesions[~lesions["subject"].isin(self.held_out)]


def read_lesions(dataset_dir: str | Path, threshold: float | None = None) -> pd.DataFrame:
    """One row per lesion that has an MRI 1: ``subject, lesion, label, has_mri2``, sorted.

    Args:
        dataset_dir: a prepared data set.
        threshold: loss of volume that counts as response; the data set's own labels by default.

    Raises:
        DataProblem: no data set, a list with faults (a lesion twice or with two labels), a threshold outside (0, 1) or
            for lesions that were not measured, or one class only.
    """
    content = read_dataset(dataset_dir)
    if problems := check_list(content):
        raise DataProblem(*problems)
    if threshold is not None and not 0 < threshold < 1:
        what = f"{threshold:g} is no loss of volume between 0 and 1"
        raise DataProblem(Problem("--threshold", what, "say 0.2 for a fifth of the volume"))
    samples = pd.DataFrame(content["training"], columns=[*LESION_KEY, "session", "label", "volume_change"])
    if threshold is not None and (rated := samples.loc[samples["volume_change"].isna(), LESION_KEY]).size:
        # Not below any threshold, they would all count as non-response.
        what = f"{len(rated.drop_duplicates())} lesions have a rating as their label and no change of volume"
        raise DataProblem(Problem("--threshold", what, "leave it out to compare by the data set's own labels"))
    second = pd.MultiIndex.from_frame(samples.loc[samples["session"] == MRI2, LESION_KEY])
    lesions = samples[samples["session"] == MRI1].sort_values(LESION_KEY, ignore_index=True)
    if threshold is not None and threshold != content.get("response_threshold"):
        lesions["label"] = (lesions["volume_change"] < -threshold).astype(int)
    lesions["has_mri2"] = pd.MultiIndex.from_frame(lesions[LESION_KEY]).isin(second)
    if lesions["label"].nunique() < 2:
        where = "labels" if threshold is None else f"--threshold {threshold:g}"
        what = f"all {len(lesions)} lesions are of one class, so nothing can be learned or compared"
        raise DataProblem(Problem(where, what, "choose another --threshold, or bring other patients"))
    return lesions[[*LESION_KEY, "label", "has_mri2"]]


def shuffled(lesions: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same lesions with labels dealt out anew, patient by patient (see `shuffled_by_patient`)."""
    columns = zip(lesions["subject"], lesions["lesion"], lesions["label"], strict=True)
    rows = [SampleRow(subject, lesion, MRI1, 0, int(label)) for subject, lesion, label in columns]
    dealt = shuffled_by_patient(Samples(torch.zeros(len(rows), 0), rows), seed)
    return lesions.assign(label=[row.label for row in dealt.rows])


def make_splits(lesions: pd.DataFrame, trials: int, protocol: str, seed: int = 0) -> list[Split]:
    """The splits that every method gets; the first ones stay the same when more are asked for.

    Protocol B repeats a stratified 5-fold division by patient with another seed each time, so each split holds a fifth
    of the patients out and after 5, 10, … trials every lesion was held out equally often. Protocol A holds nobody out:
    its trials differ only in the fitted models' seeds.

    Raises:
        DataProblem: an unknown protocol, fewer than one trial, a seed out of range, fewer patients than folds, or one
            class to train on.
    """
    if protocol not in PROTOCOLS:
        what = f"'{protocol}' is no protocol"
        raise DataProblem(Problem("--protocol", what, f"choose one of {', '.join(PROTOCOLS)}"))
    if not 1 <= trials <= FOLDS * REPEAT_SEEDS:
        what = f"{trials} trials were asked for"
        raise DataProblem(Problem("--trials", what, f"ask for 1 to {FOLDS * REPEAT_SEEDS}; 50 is usual"))
    if not 0 <= seed <= LARGEST_SEED:
        raise DataProblem(Problem("--seed", f"{seed} was asked for", f"use one from 0 to {LARGEST_SEED}"))
    first = seed * REPEAT_SEEDS * FOLDS
    if protocol == "A":
        return [Split(trial, first + trial, ()) for trial in range(trials)]
    patients = lesions["subject"].nunique()
    if patients < FOLDS:
        what = f"{patients} patient(s) are too few, each of {FOLDS} folds needs at least one"
        raise DataProblem(Problem("data set", what, "bring more patients, or use --protocol A"))
    splits = []
    folds = np.empty(0)
    for trial in range(trials):
        repeat, fold = divmod(trial, FOLDS)
        if fold == 0:
            folds = patient_folds(lesions["subject"].tolist(), lesions["label"].tolist(), FOLDS, first + repeat)
        split = Split(trial, first + trial, tuple(sorted(set(lesions.loc[folds == fold, "subject"]))))
        if split.training(lesions)["label"].nunique() < 2:
            what = f"trial {trial} would train on one class only"
            raise DataProblem(Problem("data set", what, "bring more patients of the rarer class"))
        splits.append(split)
    return splits
