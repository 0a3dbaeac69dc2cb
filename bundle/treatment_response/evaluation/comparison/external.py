"""External validation: models of one prepared data set, scored on the patients of another.

Everything is fitted on the first: all of its labelled lesions, with its scaling, selection and calibration. The second
is only scored. Its patients keep their names, those of the first are marked, so that two patients of one name stay two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from treatment_response.cases.samples import MRI1, Samples
from treatment_response.classes import RESPONSE, read_classes
from treatment_response.cohort.dataset import dataset_digest, load_datalist, read_dataset
from treatment_response.cohort.layout import DATALIST
from treatment_response.cohort.shared_images import shared_image
from treatment_response.cohort.splits import PERSON, persons_of
from treatment_response.evaluation.comparison.measurements import Seen
from treatment_response.evaluation.comparison.splits import read_lesions
from treatment_response.metrics.scores import EXTERNAL, HELD_OUT
from treatment_response.problems import DataProblem, Problem

MARK = "training data set: "
"""Before the names of the patients that are trained on."""
NAMED = 5
"""So many features are named in a note."""


@dataclass(frozen=True)
class TrainingData:
    """The data set that models are fitted on.

    Attributes:
        dataset_dir: where it lies. content: of its ``dataset.json``. lesions: from `read_lesions`, patients marked.
    """

    dataset_dir: Path
    content: dict[str, Any]
    lesions: pd.DataFrame

    @property
    def name(self) -> str:
        """Of the data set."""
        return str(self.content.get("name") or "data set")


def read_training(training_dir: Path, dataset_dir: Path, threshold: float | None, later: Sequence[str]) -> TrainingData:
    """The training data set, checked against the one that is scored.

    Args:
        later: the methods that see MRI 2.

    Raises:
        DataProblem: they are one data set, share an image, have other classes or call different things a response; or a
            method sees MRI 2.
    """
    if later:
        what = f"external validation scores MRI 1, and {later[0]} sees MRI 2"
        raise DataProblem(Problem("--methods", what, "leave it out"))
    content, scored = read_dataset(training_dir), read_dataset(dataset_dir)
    if dataset_digest(training_dir) == dataset_digest(dataset_dir):
        what = "it is the data set that is trained on"
        raise DataProblem(Problem("--external", what, "name another data set"))
    if (classes := read_classes(scored, DATALIST)) != RESPONSE:
        what = f"its classes are {', '.join(classes.names)}, those of the training data set {', '.join(RESPONSE.names)}"
        raise DataProblem(Problem("--external", what, "name a data set of the same classes"))
    rules = [each.get("response_threshold") for each in (content, scored)]
    if threshold is None and rules[0] != rules[1]:
        here, there = ("no threshold" if rule is None else f"a loss of more than {rule:.0%}" for rule in rules)
        what = f"response means {there} there and {here} in the training data set"
        raise DataProblem(Problem("--external", what, "give --threshold for both, or prepare them alike"))
    if shared := _shared_image(training_dir, dataset_dir):
        what = f"{shared[1]} has the same MRI 1 as {shared[0]} of the training data set, so a person is in both"
        raise DataProblem(Problem("--external", what, "leave the person out of one of the two data sets"))
    lesions = read_lesions(training_dir, threshold)
    marked = lesions.assign(subject=MARK + lesions["subject"])
    if PERSON in lesions:
        marked[PERSON] = MARK + persons_of(lesions)
    return TrainingData(training_dir, content, marked)


def with_training(training: TrainingData, lesions: pd.DataFrame) -> pd.DataFrame:
    """The lesions of both data sets, for one split; MRI 2 of neither is scored."""
    return pd.concat([training.lesions, lesions], ignore_index=True).assign(has_mri2=False)


def join_seen(training: Seen, scored: Seen) -> Seen:
    """What a method on features sees of both data sets. The ICC filter looks at lesions of the first alone."""
    both = pd.concat([_marked(training.features[MRI1]), scored.features[MRI1]])
    ratings = None if training.ratings is None else _marked(training.ratings)
    return Seen({MRI1: both}, ratings, training.least_icc)


def join_samples(training: Samples, scored: Samples) -> Samples:
    """A network's inputs of both data sets."""
    marked = [
        replace(row, subject=MARK + row.subject, person=None if row.person is None else MARK + row.person)
        for row in training.rows
    ]
    return Samples(torch.cat([training.image, scored.image]), [*marked, *scored.rows])


def as_external(predictions: pd.DataFrame) -> pd.DataFrame:
    """The held-out predictions of MRI 1 in the role of external validation; others are left out."""
    return predictions[predictions["role"] == HELD_OUT].assign(role=EXTERNAL)


def external_notes(training: TrainingData, seen: Mapping[str, Seen]) -> list[str]:
    """What has to be said under the tables: what was fitted on, and what the scored data set lacks.

    Args:
        seen: method on features → what it sees of both data sets.
    """
    lesions = training.lesions
    found = [
        f"External validation: one model per method, fitted on all {len(lesions)} lesions of "
        f"{persons_of(lesions).nunique()} patients of “{training.name}” and scored on this data set, of which nothing "
        "was used for fitting. Persons in both were looked for by identical images of MRI 1; names are not kept."
    ]
    if training.content.get("synthetic"):
        found.append("The models were trained on synthetic patients.")
    for method, each in seen.items():
        known = each.features[MRI1].notna()
        own = known.index.get_level_values("subject").str.startswith(MARK)
        lost = known.columns[known[own].any() & ~known[~own].any()]
        if len(lost):
            more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
            found.append(
                f"{method}: no lesion of this data set has {', '.join(lost[:NAMED])}{more}; the training medians stand "
                "for them."
            )
    return found


def _marked(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(index=lambda subject: MARK + subject, level="subject")


def _shared_image(training_dir: Path, dataset_dir: Path) -> tuple[str, str] | None:
    """Two subjects with the same MRI 1; None if there are none."""
    first, second = (
        {Path(sample["image"]): sample["subject"] for sample in load_datalist(folder, (MRI1,), unlabelled=True)}
        for folder in (training_dir, dataset_dir)
    )
    return shared_image(first, second)
