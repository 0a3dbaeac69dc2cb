"""What a method of the comparison is, and the trials that it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd
from rich.console import Console

from treatment_response.evaluation.comparison.measurements import Measurements, Seen
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.features.table import LESION_KEY, Known

COLUMNS = ["method", "model", "role", "session", "subject", "lesion", "label", "p_response"]
"""Of ``predictions.csv``."""


@dataclass(frozen=True)
class TrialSet:
    """Trials on the same labels.

    Attributes:
        name: stands before a trial's number in the progress; empty for the true labels.
        splits, lesions: who is held out, and the lesions with their labels.
        folder: gets a folder per method with its trials.
        unlabelled: lesions without a label that are scored too; None for shuffled labels.
        shuffled: whether the labels are shuffled.
    """

    name: str
    splits: Sequence[Split]
    lesions: pd.DataFrame
    folder: Path
    unlabelled: pd.DataFrame | None = None
    shuffled: bool = False


@dataclass(frozen=True)
class TrialRun:
    """All trials of a comparison, and where they run.

    Attributes:
        sets: the trials with the true labels, then one set per shuffle.
        dataset_dir: models are fitted on it.
        scored_dir: another data set whose lesions are scored, for external validation.
        seen: method → what it sees, for methods on features.
        networks: network → its ``overlays`` and ``epochs``. shuffle_epochs: on shuffled labels; None: as many.
        workers, cluster: where the trials run, see `open_engine`. console: where the progress goes.
    """

    sets: Sequence[TrialSet]
    dataset_dir: Path
    scored_dir: Path | None = None
    seen: Mapping[str, Seen] = field(default_factory=dict)
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shuffle_epochs: int | None = None
    workers: int = 2
    cluster: str | None = None
    console: Console | None = None


class Method(ABC):
    """A method: what it sees of a lesion, how its trials run and where they are kept.

    Attributes:
        name: on the command line, in tables and as the folder of its trials.
        measured: groups of features that are measured in the images for it.
        parts: methods whose predictions it takes; they run with it.
    """

    name: str
    measured: tuple[str, ...] = ()
    parts: tuple[Method, ...] = ()

    @property
    def note(self) -> str:
        """What stands under the tables about it; may be empty."""
        return ""

    @property
    def known(self) -> Known:
        """When all that it sees is known. A method that sees MRI 2 is scored in a table of its own."""
        return Known.BEFORE_TREATMENT

    @property
    def without_images(self) -> bool:
        """Whether it sees the facts of ``lesions.csv`` alone."""
        return False

    def candidates(self, counts: Mapping[str, int]) -> int | None:
        """How many features of the images it may choose from; None if it chooses from none.

        Args:
            counts: group → number of its features, of the groups that were measured.
        """
        return None

    def training(self, overlays: Sequence[str], epochs: int | None) -> dict[str, Any] | None:
        """The ``overlays`` and ``epochs`` of a network's training; None for a method without a network.

        Args:
            overlays: configs on top of its own. epochs: None: what its configs say.

        Raises:
            DataProblem: a config cannot be used.
        """
        return None

    def prepare(self, measurements: Measurements) -> Seen | None:
        """Measure what it needs, before any trial; None for a method that reads the images itself.

        Raises:
            DataProblem: a lesion cannot be measured.
        """
        return None

    @classmethod
    @abstractmethod
    def run_trials(cls, methods: Sequence[Self], run: TrialRun) -> None:
        """Run all trials of some methods of this class that are not finished; these methods share their processes.

        Raises:
            DataProblem: from a trial; the others' results stay.
        """

    @abstractmethod
    def predictions(self, trials: TrialSet) -> pd.DataFrame:
        """The predictions of finished trials: rows of ``predictions.csv``."""

    def unlabelled(self, trials: TrialSet) -> pd.DataFrame | None:
        """The same of the lesions without a label: rows of ``unlabelled_predictions.csv``; None if it scored none."""
        return None

    def chosen(self, trials: TrialSet) -> list[pd.DataFrame]:
        """Per finished trial what it looks at: ``method, trial, feature, weight, note``; empty without features."""
        return []

    def describe(self, least_icc: float, training: Mapping[str, Any] | None, features: float) -> dict[str, Any]:
        """What it is made of, for ``provenance.json``.

        Args:
            least_icc: of the ICC filter. training: of `training`. features: mean number that a trial looks at.
        """
        return {}


def read_trial(file: Path) -> pd.DataFrame:
    """A trial's table, exact to the last bit."""
    return pd.read_csv(file, dtype=dict.fromkeys(LESION_KEY, str), float_precision="round_trip")
