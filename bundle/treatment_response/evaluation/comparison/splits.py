"""Which lesions a comparison is about, and the splits by patient that every method gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from treatment_response.cases.samples import MRI1, MRI2, SampleRow, Samples
from treatment_response.cohort.check import check_list
from treatment_response.cohort.dataset import read_dataset
from treatment_response.cohort.splits import patient_folds, persons_in, persons_of, with_persons
from treatment_response.features.table import LESION_KEY
from treatment_response.metrics.scores import HELD_OUT_AFTER
from treatment_response.problems import DataProblem, Problem

FOLDS = 5
"""Each split holds one fifth of the patients out, as the paper's 80/20 splits do with lesions."""
REPEAT_SEEDS = 1000
"""Repeats of another seed never share a seed with this one's, up to so many repeats."""
LARGEST_SEED = 2**32 // (REPEAT_SEEDS * FOLDS) - 1
"""The seeds of its trials are still seeds for numpy and scikit-learn, which take 32 bits."""

_COMPARED = ("A", "B")
"""Protocols that a comparison knows."""


@dataclass(frozen=True)
class Split:
    """One trial: who is held out, and the seed of whatever a method draws.

    Attributes:
        trial: its number, from 0. seed: of the fitted model.
        held_out: subjects, those with no labelled lesion too; none with protocol A.
    """

    trial: int
    seed: int
    held_out: tuple[str, ...]

    @property
    def fold(self) -> int:
        """Of its repeat's folds the one that it holds out."""
        return self.trial % FOLDS

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

    def roles_after_mri2(self, lesions: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
        """The same for a method that sees both MRIs: the held-out lesions that have both."""
        held = lesions[lesions["subject"].isin(self.held_out) & lesions["has_mri2"]]
        return {HELD_OUT_AFTER: (MRI2, held)} if len(held) else {}

    def holds(self, subject: str, case: str) -> bool:
        """Whether a case is held out."""
        return subject in self.held_out

    def training(self, lesions: pd.DataFrame) -> pd.DataFrame:
        """The lesions whose MRI 1 is trained on."""
        return lesions[~lesions["subject"].isin(self.held_out)]

    def held_out_lesions(self, lesions: pd.DataFrame) -> pd.DataFrame:
        """The lesions of the held-out patients."""
        return lesions[lesions["subject"].isin(self.held_out)]


@dataclass(frozen=True)
class CaseSplit(Split):
    """A trial that holds out single cases, whoever's they are: their patients may be trained on.

    Attributes:
        cases: (subject, case) of those held out; `held_out` names their subjects.
    """

    cases: tuple[tuple[str, str], ...] = ()

    def holds(self, subject: str, case: str) -> bool:
        return (subject, case) in self.cases

    def training(self, lesions: pd.DataFrame) -> pd.DataFrame:
        return lesions[~self._rows(lesions)]

    def held_out_lesions(self, lesions: pd.DataFrame) -> pd.DataFrame:
        return lesions[self._rows(lesions)]

    def _rows(self, cases: pd.DataFrame) -> NDArray[np.bool_]:
        return pd.MultiIndex.from_frame(cases[["subject", "case"]]).isin(self.cases)


def read_lesions(dataset_dir: str | Path, threshold: float | None = None) -> pd.DataFrame:
    """One row per labelled lesion that has an MRI 1: ``subject, lesion, label, has_mri2``, sorted.

    Where two subjects are one person, there is a column ``person`` too.

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
    return with_persons(lesions[[*LESION_KEY, "label", "has_mri2"]], persons_in(content))


def read_unlabelled(content: Mapping[str, Any]) -> pd.DataFrame:
    """One row per lesion without a label that has an MRI 1: ``subject, lesion``, and ``person`` as in `read_lesions`.

    Args:
        content: of ``dataset.json``.
    """
    samples = pd.DataFrame(content.get("unlabelled", []), columns=[*LESION_KEY, "session"])
    lesions = samples.loc[samples["session"] == MRI1, LESION_KEY].sort_values(LESION_KEY, ignore_index=True)
    return with_persons(lesions, persons_in(content))


def shuffled(lesions: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same lesions, or cases, with labels dealt out anew, patient by patient (see `shuffled_by_patient`)."""
    from treatment_response.evaluation.cross_validation import shuffled_by_patient  # imports MONAI

    names = lesions["case" if "case" in lesions else "lesion"]
    columns = zip(lesions["subject"], names, lesions["label"], persons_of(lesions), strict=True)
    rows = [SampleRow(subject, name, MRI1, 0, int(label), person=person) for subject, name, label, person in columns]
    dealt = shuffled_by_patient(Samples(torch.zeros(len(rows), 0), rows), seed)
    return lesions.assign(label=[int(label) for label in dealt.label.flatten().tolist()])


def make_splits(
    lesions: pd.DataFrame, trials: int, protocol: str, seed: int = 0, unlabelled: pd.DataFrame | None = None
) -> list[Split]:
    """The splits that every method gets; the first ones stay the same when more are asked for.

    Protocol B repeats a stratified 5-fold division by patient with another seed each time, so each split holds a fifth
    of the patients out and after 5, 10, … trials every lesion was held out equally often. Protocol A holds nobody out:
    its trials differ only in the fitted models' seeds. A patient is a person: subjects that are one person are held
    out together.

    Args:
        lesions: from `read_lesions`. trials: how many. seed: of the first repeat.
        unlabelled: from `read_unlabelled`; patients with none but such lesions are dealt to the folds of every repeat,
            and change nobody else's fold.

    Raises:
        DataProblem: an unknown protocol, fewer than one trial, a seed out of range, fewer persons than folds, or one
            class to train on.
    """
    if protocol not in _COMPARED:
        what = f"'{protocol}' is no protocol"
        raise DataProblem(Problem("--protocol", what, f"choose one of {', '.join(_COMPARED)}"))
    if not 1 <= trials <= FOLDS * REPEAT_SEEDS:
        what = f"{trials} trials were asked for"
        raise DataProblem(Problem("--trials", what, f"ask for 1 to {FOLDS * REPEAT_SEEDS}; 50 is usual"))
    first = seed_of(seed)
    if protocol == "A":
        return [Split(trial, first + trial, ()) for trial in range(trials)]
    persons = persons_of(lesions)
    patients = persons.nunique()
    if patients < FOLDS:
        what = f"{patients} patient(s) are too few, each of {FOLDS} folds needs at least one"
        raise DataProblem(Problem("data set", what, "bring more patients, or use --protocol A"))
    splits = []
    fold_of: dict[str, int] = {}
    for trial in range(trials):
        repeat, fold = divmod(trial, FOLDS)
        if fold == 0:
            folds = patient_folds(persons.tolist(), lesions["label"].tolist(), FOLDS, first + repeat)
            fold_of = dict(zip(lesions["subject"], folds.tolist(), strict=True))
            if unlabelled is not None:
                fold_of |= _folds_of_others(unlabelled, dict(zip(persons, folds.tolist(), strict=True)), first + repeat)
        split = Split(trial, first + trial, tuple(sorted(s for s, drawn in fold_of.items() if drawn == fold)))
        if split.training(lesions)["label"].nunique() < 2:
            what = f"trial {trial} would train on one class only"
            raise DataProblem(Problem("data set", what, "bring more patients of the rarer class"))
        splits.append(split)
    return splits


def stored_splits(fold_of: Mapping[str, int], repeats: int, seed: int = 0) -> list[Split]:
    """The data set's own folds, each held out once per repeat; repeats differ in the fitted models' seeds alone.

    Args:
        fold_of: subject → fold, of all cases with a label. repeats: how many. seed: of the first model.

    Raises:
        DataProblem: fewer than two folds, or a number of repeats or a seed that is out of range.
    """
    folds = sorted(set(fold_of.values()))
    if len(folds) < 2:
        raise DataProblem(Problem("--folds", f"the data set holds {len(folds)} fold(s)", "prepare it with 2 or more"))
    if not 1 <= repeats <= REPEAT_SEEDS:
        raise DataProblem(
            Problem("--trials", "fewer trials than the data set has folds", f"ask for {len(folds)} or more")
        )
    first = seed_of(seed)
    held = {fold: tuple(sorted(subject for subject, own in fold_of.items() if own == fold)) for fold in folds}
    return [
        Split(repeat * len(folds) + number, first + repeat * len(folds) + number, held[fold])
        for repeat in range(repeats)
        for number, fold in enumerate(folds)
    ]


def stored_case_splits(fold_of: Mapping[tuple[str, str], int], repeats: int, seed: int = 0) -> list[Split]:
    """The same for folds of single cases, whoever's they are.

    Args:
        fold_of: (subject, case) → fold.

    Raises:
        DataProblem: as `stored_splits`.
    """
    names = {f"{number:06d}": key for number, key in enumerate(sorted(fold_of))}
    by_name = stored_splits({name: fold_of[key] for name, key in names.items()}, repeats, seed)
    splits: list[Split] = []
    for split in by_name:
        cases = tuple(names[name] for name in split.held_out)
        subjects = tuple(sorted({subject for subject, _ in cases}))
        splits.append(CaseSplit(split.trial, split.seed, subjects, cases))
    return splits


def seed_of(seed: int) -> int:
    """The seed of a comparison's first trial.

    Raises:
        DataProblem: it is out of range.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise DataProblem(Problem("--seed", f"{seed} was asked for", f"use one from 0 to {LARGEST_SEED}"))
    return seed * REPEAT_SEEDS * FOLDS


def _folds_of_others(unlabelled: pd.DataFrame, fold_of_person: Mapping[str, int], seed: int) -> dict[str, int]:
    """Subject → fold for the lesions without a label; persons without any label are dealt to the folds in turn."""
    persons = persons_of(unlabelled)
    others = sorted(set(persons) - set(fold_of_person))
    order = np.random.default_rng(seed).permutation(len(others))
    dealt = {others[person]: place % FOLDS for place, person in enumerate(order)}
    fold_of = {**fold_of_person, **dealt}
    return {subject: fold_of[person] for subject, person in zip(unlabelled["subject"], persons, strict=True)}
