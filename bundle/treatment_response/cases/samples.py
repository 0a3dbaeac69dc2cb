"""Preprocessed cases, and which of them a protocol trains on and scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils.data import Dataset

from treatment_response.classes import RESPONSE, Classes
from treatment_response.cohort.dataset import TEST_FOLD
from treatment_response.problems import DataProblem, Problem
from treatment_response.protocols import Role, protocol_of

MRI1, MRI2 = "ses-01", "ses-02"


@dataclass(frozen=True)
class SampleRow:
    """What is known about one sample; ids are those of the prepared data set.

    Attributes:
        session: of its images.
        label: number of its class; None: the class is in doubt, and it is scored but never trained on.
        angle: degrees by which this copy is turned; 0 for the case as it is.
        pixel: mm along each side of its pixels; larger where the case would not have fitted.
        slice: which of the case's samples this is when every slice is one, by its index in the image; None for a case
            with one sample.
        person: whose case it is, if that person is known under another subject too; None: the subject's own.
    """

    subject: str
    case: str
    session: str
    fold: int
    label: int | None
    angle: float = 0.0
    pixel: float = 0.5
    slice: int | None = None
    person: str | None = None

    @property
    def unit(self) -> str:
        """The person, by which cases are split, shuffled and counted."""
        return self.person or self.subject


class StoredImages(Protocol):
    """Inputs that are read when they are asked for, such as `cases.disk_samples.DiskImages`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> torch.Tensor:
        """One input ``(C, …)`` float32."""

    def chosen(self, indices: Sequence[int]) -> StoredImages:
        """Some of them, still stored."""

    def joined(self, others: Sequence[Any]) -> StoredImages:
        """These, and after them others of the same kind."""

    def in_half(self) -> StoredImages:
        """The same, given in half precision."""


class Samples(Dataset):
    """Network inputs and labels: stacked in memory, or stored elsewhere and read one by one.

    Args:
        image: ``(N, C, …)`` float32, or N stored images.
        rows: N rows, in the same order.
        classes: what their labels are numbers of.

    Attributes:
        label: ``(N, 1)`` float32, NaN for a case without a label.
    """

    def __init__(self, image: Any, rows: Sequence[SampleRow], classes: Classes = RESPONSE) -> None:
        if len(image) != len(rows):
            raise ValueError(f"{len(image)} images for {len(rows)} rows.")
        self.image = image
        self.rows = list(rows)
        self.classes = classes
        labels = [[math.nan if row.label is None else float(row.label)] for row in self.rows]
        self.label = torch.tensor(labels, dtype=torch.float32).reshape(-1, 1)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"image": self.image[index], "label": self.label[index]}

    def where(self, keep: Callable[[SampleRow], bool]) -> Samples:
        """The samples whose row passes."""
        indices = [index for index, row in enumerate(self.rows) if keep(row)]
        image = self.image[indices] if isinstance(self.image, torch.Tensor) else self.image.chosen(indices)
        return Samples(image, [self.rows[index] for index in indices], self.classes)

    def with_rows(self, rows: Sequence[SampleRow]) -> Samples:
        """The same inputs under other rows."""
        return Samples(self.image, rows, self.classes)


def join_samples(parts: Sequence[Samples]) -> Samples:
    """Samples of one data set, one part after the other; a sample may stand in several."""
    images = [part.image for part in parts]
    in_memory = isinstance(images[0], torch.Tensor)
    image = torch.cat(images) if in_memory else images[0].joined(images[1:])
    return Samples(image, [row for part in parts for row in part.rows], parts[0].classes)


class NoSamples(Samples):
    """Stands for the samples of a data set that is not there, so that a config can be looked at without one.

    MONAI's engines refuse to run on it; the bundle's ``check``, which comes before, says what is missing.
    """

    def __init__(self) -> None:
        super().__init__(torch.empty(0, 2, 1, 1), [])

    def where(self, keep: Callable[[SampleRow], bool]) -> Samples:
        return self


def training_samples(samples: Samples, protocol: str, fold: int) -> Samples:
    """What a protocol trains on, turned copies among it: all cases, or those of the patients outside ``fold``.

    Cases without a label are not among them, and those kept apart for the final test never are.

    Raises:
        DataProblem: nothing is left, or one class only.
    """
    chosen_by = protocol_of(protocol)
    if isinstance(samples, NoSamples):
        return samples
    chosen = samples.where(
        lambda row: (
            row.label is not None
            and row.fold != TEST_FOLD
            and chosen_by.session in (None, row.session)
            and not chosen_by.holds(row.fold, fold)
        )
    )
    classes = {row.label for row in chosen.rows if row.label is not None}
    if len(classes) < 2:
        what = f"protocol {protocol}, fold {fold} leaves {len(chosen)} training samples of classes {sorted(classes)}"
        raise DataProblem(Problem("data set", what, "choose another fold, or prepare more cases"))
    return chosen


def watched_samples(samples: Samples, protocol: str, fold: int) -> Samples:
    """What the curves of a training run show beside the training loss; nothing is chosen with it.

    Raises:
        DataProblem: there is no such sample.
    """
    if isinstance(samples, NoSamples):
        return samples
    return samples_by_role(samples, protocol, fold)[protocol_of(protocol).watched]


def samples_by_role(samples: Samples, protocol: str, fold: int) -> dict[str, Samples]:
    """What a trained model is scored on, never turned: role → samples, see `treatment_response.protocols`.

    A role without samples is left out. Cases without a label are in no role, see `unlabelled_samples`.

    Raises:
        DataProblem: no role has a sample.
    """
    scored_by = protocol_of(protocol)
    plain = samples.where(lambda row: row.angle == 0 and row.label is not None)

    def in_role(role: Role) -> Samples:
        return plain.where(
            lambda row: role.session in (None, row.session) and scored_by.holds(row.fold, fold) == role.held_out
        )

    roles = {role.name: in_role(role) for role in scored_by.roles}
    found = {role: chosen for role, chosen in roles.items() if len(chosen)}
    if not found:
        what = f"protocol {protocol}, fold {fold} leaves nothing to score"
        raise DataProblem(Problem("data set", what, "choose another fold (--fold), or prepare later images"))
    return found


def unlabelled_samples(samples: Samples, protocol: str, fold: int) -> Samples:
    """The cases without a label whose patients are held out, as training would see them."""
    scored_by = protocol_of(protocol)
    return samples.where(
        lambda row: (
            row.label is None
            and row.angle == 0
            and scored_by.session in (None, row.session)
            and scored_by.holds(row.fold, fold)
        )
    )


def protocol_samples(samples: Samples, protocol: str, fold: int, part: str) -> Samples:
    """The part of some samples that a config names: ``training`` (`training_samples`) or ``watched``.

    Raises:
        DataProblem: see these functions.
        ValueError: another part.
    """
    if part not in ("training", "watched"):
        raise ValueError(f"part must be 'training' or 'watched', got {part!r}")
    return (training_samples if part == "training" else watched_samples)(samples, protocol, fold)


def fold_of(entry: Mapping[str, Any], protocol: str) -> int:
    """The fold of a case of a data set by a protocol; a case kept apart for the final test is in no other.

    Raises:
        DataProblem: it has none for this protocol.
    """
    return TEST_FOLD if entry["fold"] == TEST_FOLD else protocol_of(protocol).fold_of(entry)


def sessions_of(protocol: str) -> tuple[str, ...] | None:
    """The sessions that training reads; None: all."""
    return protocol_of(protocol).sessions


def class_weights(samples: Samples) -> list[float]:
    """One over the number of samples of its class, per sample: for a weighted sampler that draws classes equally."""
    labels = [row.label for row in samples.rows]
    return [1.0 / labels.count(label) for label in labels]


def rarity_weights(samples: Samples) -> list[float]:
    """One minus the share of its class, per sample: a weighted sampler then draws common classes less often."""
    labels = [row.label for row in samples.rows]
    return [1.0 - labels.count(label) / len(labels) for label in labels]


def inverse_shares(samples: Samples) -> torch.Tensor:
    """One over the share of each class ``(K,)`` float32, for a weighted loss; 0 for a class without a sample."""
    labels = [row.label for row in samples.rows]
    counts = [labels.count(number) for number in range(len(samples.classes.names))]
    return torch.tensor([len(labels) / count if count else 0.0 for count in counts])
