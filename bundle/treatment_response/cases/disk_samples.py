"""Samples whose images lie preprocessed on disk: for data sets that do not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from treatment_response.cases.disk_cache import DiskDataset
from treatment_response.cases.lesion_transforms import Transforms
from treatment_response.cases.samples import NoSamples, SampleRow, Samples, fold_of, sessions_of
from treatment_response.classes import read_classes
from treatment_response.cohort.case import images_of
from treatment_response.cohort.dataset import load_datalist, read_dataset
from treatment_response.cohort.layout import DATALIST
from treatment_response.cohort.splits import person_of
from treatment_response.problems import DataProblem, Problem

IMAGE = "image"


class DiskImages:
    """Inputs of a `DiskDataset`, read when they are asked for: what `Samples` holds in a tensor's place.

    Args:
        dataset: preprocessed; each of `channels` is an item ``(c, *grid)`` of it.
        indices: which of its cases, in this order; a case may stand twice.
        channels: items that make the input, one after the other.
        half: give half precision as it is stored, for a training device that turns it into float32.
    """

    def __init__(
        self, dataset: DiskDataset, indices: Sequence[int], channels: Sequence[str] = (IMAGE,), half: bool = False
    ) -> None:
        self.dataset = dataset
        self.indices = list(indices)
        self.channels = tuple(channels)
        self.half = half

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> torch.Tensor:
        """One input ``(C, *grid)``, float32 or half."""
        case = self.dataset[self.indices[index]]
        parts = [case[name].as_subclass(torch.Tensor) for name in self.channels]
        image = parts[0] if len(parts) == 1 else torch.cat(parts)
        return image if self.half else image.float()

    def chosen(self, indices: Sequence[int]) -> DiskImages:
        """Some of them, still on disk."""
        return self._with([self.indices[index] for index in indices], self.half)

    def joined(self, others: Sequence[DiskImages]) -> DiskImages:
        """These, and after them others of the same data set."""
        return self._with([*self.indices, *(index for other in others for index in other.indices)], self.half)

    def in_half(self) -> DiskImages:
        """The same in half precision."""
        return self._with(self.indices, True)

    def _with(self, indices: Sequence[int], half: bool) -> DiskImages:
        return DiskImages(self.dataset, indices, self.channels, half)


def half_samples(samples: Samples) -> Samples:
    """Samples on disk that are given in half precision, as stored: half the way to the training device.

    For a training whose ``prepare_training_batch`` turns batches into float32 there (`PrepareAugmented` does).
    """
    if isinstance(samples.image, torch.Tensor):  # no data set, or samples in memory
        return samples
    return Samples(samples.image.in_half(), samples.rows, samples.classes)


def disk_samples(
    dataset_dir: str | Path,
    image_transforms: Transforms,
    case_transforms: Transforms,
    patch_transforms: Transforms,
    cache_dir: str | Path,
    protocol: str,
    sessions: Sequence[str] | None = None,
    unlabelled: bool = False,
    workers: int = 1,
    stored: Sequence[str] = (IMAGE,),
    channels: Sequence[str] | None = None,
    case_list: str = "training",
) -> Samples:
    """Preprocess every case of a prepared data set to disk, once: one sample per case.

    An overlay names it as ``samples`` in the place of `load_samples`. Random changes are then made per batch on the
    training device, by ``prepare_training_batch`` (`treatment_response.transforms.augment_batch.PrepareAugmented`).

    Args:
        dataset_dir: the prepared data set.
        image_transforms, case_transforms, patch_transforms: run one after the other on a case; none is random. They
            leave what is `stored`, each ``(c, *grid)`` on one grid.
        cache_dir: where the files are kept, see `DiskDataset`. Trainings of other folds share them.
        protocol: whose training is read for. sessions: others than those that it reads.
        unlabelled: also the cases without a label: to be scored.
        workers: threads that preprocess.
        stored: items that are kept on disk; by default the input itself.
        channels: those of them that make the input, in this order; all by default. Systems that differ in their
            channels alone share the files.
        case_list: of ``dataset.json``, see `load_datalist`.

    Returns:
        Samples in the order of the data list; `NoSamples` if there is no data set in the folder.

    Raises:
        DataProblem: cases that cannot be preprocessed, all of them at once; no room on the disk; a channel that is not
            stored.
    """
    if strange := [name for name in channels or () if name not in stored]:
        remedy = f"choose from {', '.join(stored)}"
        raise DataProblem(Problem("channels", f"there is no image {strange[0]!r}", remedy))
    if not (Path(dataset_dir) / DATALIST).is_file():
        return NoSamples()
    sessions = sessions_of(protocol) if sessions is None else sessions
    entries = load_datalist(dataset_dir, sessions=sessions, unlabelled=unlabelled, case_list=case_list)
    files = [
        {
            **{name: entry[name] for name in ("subject", "case", "session")},
            **images_of(entry),
            **({"mask": entry["mask"]} if "mask" in entry else {}),
        }
        for entry in entries
    ]
    transforms = [*image_transforms, *case_transforms, *patch_transforms]
    dataset = DiskDataset(files, transforms, cache_dir, keys=stored, workers=workers)
    rows = [
        SampleRow(
            entry["subject"],
            entry["case"],
            entry["session"],
            fold_of(entry, protocol),
            None if entry["label"] is None else int(entry["label"]),
            person=None if person_of(entry) == entry["subject"] else person_of(entry),
        )
        for entry in entries
    ]
    classes = read_classes(read_dataset(dataset_dir), DATALIST)
    return Samples(DiskImages(dataset, range(len(rows)), channels or stored), rows, classes)
