"""Preprocessed lesions in memory, and which of them a protocol trains on and scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from treatment_response.problems import DataProblem, Problem

MRI1, MRI2 = "ses-01", "ses-02"
PROTOCOLS = ("A", "B")


@dataclass(frozen=True)
class SampleRow:
    """What is known about one sample; ids are those of the prepared data set.

    Attributes:
        label: 1 response, 0 non-response; None: its follow-up is in doubt, and it is scored but never trained on.
        angle: degrees by which this copy is turned; 0 for the lesion as it is.
        pixel: mm along each side of its pixels; larger where the lesion would not have fitted.
        slice: which of the lesion's samples this is when every slice is one, by its index in the MR; None for the
            lesion's one slice.
        person: whose lesion it is, if that person is known under another subject too; None: the subject's own.
    """

    subject: str
    lesion: str
    session: str
    fold: int
    label: int | None
    angle: float = 0.0
    pixel: float = 0.5
    slice: int | None = None
    person: str | None = None

    @property
    def unit(self) -> str:
        """The person, by which lesions are split, shuffled and counted."""
        return self.person or self.subject


class Samples(Dataset):
    """Network inputs and labels, stacked in memory.

    Args:
        image: ``(N, C, …)`` float32.
        rows: N rows, in the same order.

    Attributes:
        label: ``(N, 1)`` float32, NaN for a lesion without a label.
    """

    def __init__(self, image: torch.Tensor, rows: Sequence[SampleRow]) -> None:
        if len(image) != len(rows):
            raise ValueError(f"{len(image)} images for {len(rows)} rows.")
        self.image = image
        self.rows = list(rows)
        labels = [[math.nan if row.label is None else float(row.label)] for row in self.rows]
        self.label = torch.tensor(labels, dtype=torch.float32).reshape(-1, 1)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**asdict(self.rows[index]), "image": self.image[index], "label": self.label[index]}

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        """A whole batch at once; torch's loader prefers this to one call per sample."""
        return {"image": self.image[indices], "label": self.label[indices]}

    def where(self, keep: Callable[[SampleRow], bool]) -> Samples:
        """The samples whose row passes."""
        indices = [index for index, row in enumerate(self.rows) if keep(row)]
        return Samples(self.image[indices], [self.rows[index] for index in indices])


class NoSamples(Samples):
    """Stands for the samples of a data set that is not there, so that a config can be looked at without one.

    MONAI's engines refuse to run on it; the bundle's ``check``, which comes before, says what is missing.
    """

    def __init__(self) -> None:
        super().__init__(torch.empty(0, 2, 1, 1), [])

    def where(self, keep: Callable[[SampleRow], bool]) -> Samples:
        return self


def training_samples(samples: Samples, protocol: str, fold: int) -> Samples:
    """MRI 1 with its turned copies: of all lesions (protocol A) or of the patients outside ``fold`` (protocol B).

    Lesions without a label are not among them.

    Raises:
        DataProblem: nothing is left, or one class only.
    """
    _check_protocol(protocol)
    if isinstance(samples, NoSamples):
        return samples
    chosen = samples.where(
        lambda row: row.label is not None and row.session == MRI1 and (protocol == "A" or row.fold != fold)
    )
    classes = {row.label for row in chosen.rows if row.label is not None}
    if classes != {0, 1}:
        what = f"protocol {protocol}, fold {fold} leaves {len(chosen)} training samples of classes {sorted(classes)}"
        raise DataProblem(Problem("data set", what, "choose another fold, or prepare more lesions"))
    return chosen


def watched_samples(samples: Samples, protocol: str, fold: int) -> Samples:
    """What the curves of a training run show beside the training loss; nothing is chosen with it.

    Protocol A: MRI 2 of the training lesions, as in the paper. Protocol B: MRI 1 of the held-out patients.

    Raises:
        DataProblem: there is no such sample.
    """
    if isinstance(samples, NoSamples):
        return samples
    role = "train_mri2" if protocol == "A" else "heldout_mri1"
    return samples_by_role(samples, protocol, fold)[role]


def samples_by_role(samples: Samples, protocol: str, fold: int) -> dict[str, Samples]:
    """What a trained model is scored on, never turned.

    ``train_mri2`` (i): MRI 2 of the training lesions. ``heldout_mri2`` (ii) and ``heldout_mri1`` (iii, primary):
    lesions of the patients in ``fold``; protocol A holds nothing out. A role without samples is left out. Lesions
    without a label are in no role, see `unlabelled_samples`.

    Raises:
        DataProblem: no role has a sample.
    """
    _check_protocol(protocol)
    held_out = (lambda row: False) if protocol == "A" else (lambda row: row.fold == fold)
    plain = samples.where(lambda row: row.angle == 0 and row.label is not None)
    roles = {
        "train_mri2": plain.where(lambda row: row.session == MRI2 and not held_out(row)),
        "heldout_mri2": plain.where(lambda row: row.session == MRI2 and held_out(row)),
        "heldout_mri1": plain.where(lambda row: row.session == MRI1 and held_out(row)),
    }
    found = {role: chosen for role, chosen in roles.items() if len(chosen)}
    if not found:
        what = f"protocol {protocol}, fold {fold} leaves nothing to score"
        raise DataProblem(Problem("data set", what, "choose another fold (--fold), or prepare MRI 2"))
    return found


def unlabelled_samples(samples: Samples, protocol: str, fold: int) -> Samples:
    """MRI 1 of the lesions without a label whose patients are held out: none with protocol A."""
    _check_protocol(protocol)
    return samples.where(
        lambda row: (
            protocol == "B" and row.label is None and row.session == MRI1 and row.angle == 0 and row.fold == fold
        )
    )


def sessions_of(protocol: str) -> tuple[str, ...]:
    """The sessions that training reads: protocol A watches MRI 2, protocol B trains and watches on MRI 1 alone."""
    _check_protocol(protocol)
    return (MRI1, MRI2) if protocol == "A" else (MRI1,)


def batch_loader(
    samples: Samples, batch_size: int, shuffle: bool, seed: int = 0, rank: int = 0, world_size: int = 1
) -> DataLoader:
    """Batches straight from memory; the order of an epoch depends on seed and epoch only, so a run can be resumed.

    The last batch of an epoch is kept, however small. With several processes each sees its share, padded to equal
    length.
    """
    sampler = DistributedSampler(samples, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed)
    # Its own generator: a loader draws a number per epoch, which must not come from the stream that dropout uses.
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(samples, batch_size=batch_size, sampler=sampler, collate_fn=as_it_is, generator=generator)


def as_it_is(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A batch that `Samples` has put together already."""
    return batch


def _check_protocol(protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise DataProblem(
            Problem("--protocol", f"'{protocol}' is no protocol", f"choose one of {', '.join(PROTOCOLS)}")
        )
