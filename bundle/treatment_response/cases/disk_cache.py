"""Cases preprocessed once to disk in half precision: a data set of any size that is never held in memory as a whole."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.data import Dataset, MetaTensor
from monai.transforms import Compose

from treatment_response.cases.description import describe
from treatment_response.files import check_room, full_disk, is_full_disk, make_folder, write_whole
from treatment_response.problems import DataProblem, Problem, data_problem_in

_FORMAT = 1
_BLOCK = 1 << 20
_WHERE = "disk cache"
_IDS = ("subject", "case", "lesion", "session")

Transform = Callable[[dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Estimate:
    """What is left to be preprocessed; ``str`` says it in one line."""

    cases: int
    disk_bytes: int
    seconds: float

    def __str__(self) -> str:
        """For people."""
        minutes = max(1, round(self.seconds / 60))
        return f"{self.cases} cases to preprocess: about {minutes} min and {self.disk_bytes / 1e9:.2f} GB on disk"


class DiskDataset(Dataset):
    """A MONAI data set whose large items lie preprocessed on disk, float16, and are read through memory maps.

    What is missing in the folder is preprocessed when the data set is made: the first case alone, from which time and
    room are estimated, told and checked; then the others on threads. A preprocessing that was stopped goes on where it
    was. A file is named by the hash of the case's files (their bytes), its other items, the transforms with all their
    settings and MONAI's version, so that another preprocessing is never taken for this one.

    Args:
        data: one dictionary per case. Values that name an existing file count by the file's content.
        transforms: deterministic; they leave arrays or tensors under ``keys``. Random ones belong on the training
            device (`treatment_response.transforms.augment_batch.AugmentBatch`).
        cache_dir: where the files are kept; made if it is missing.
        keys: large items: stored as float16, magnitudes up to 65504.
        workers: threads that preprocess.
        tell: called with the estimate's text before the work; None is silent.

    Returns of ``dataset[index]``:
        The case's own items, with each of ``keys`` replaced by a float16 MetaTensor: preprocessed, with its affine.

    Raises:
        DataProblem: no room on the disk, a folder that cannot be written to, a transform that cannot be described, or
            cases that cannot be preprocessed, all of them at once.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transforms: Sequence[Transform],
        cache_dir: str | Path,
        keys: Sequence[str] = ("image",),
        workers: int = 1,
        tell: Callable[[str], None] | None = print,
    ) -> None:
        super().__init__([dict(entry) for entry in data])
        self.keys = tuple(keys)
        self.folder = Path(cache_dir)
        make_folder(self.folder, _WHERE)
        run = Compose(deepcopy(list(transforms)))  # running leaves traces in some of them
        settings = json.dumps([_FORMAT, monai.__version__, self.keys, describe(list(transforms))], sort_keys=True)
        with ThreadPoolExecutor(max(1, workers)) as pool:
            self.names = list(pool.map(lambda entry: _name(entry, settings), self.data))
        first_of = {name: index for index, name in reversed(list(enumerate(self.names)))}
        missing = [index for name, index in sorted(first_of.items(), key=lambda item: item[1]) if not self._kept(name)]
        if missing:
            self._preprocess(missing, run, max(1, workers), tell)

    def _transform(self, index: int) -> dict[str, Any]:
        name = self.names[index]
        affines = json.loads(self._table(name).read_text(encoding="utf-8"))
        arrays = {key: np.load(self._array(name, key), mmap_mode="r") for key in self.keys}
        # A copy of this case alone: its pages may leave the memory as soon as the system needs them.
        items = {key: MetaTensor(torch.from_numpy(np.array(arrays[key])), torch.tensor(affines[key])) for key in arrays}
        return {**self.data[index], **items}

    def _preprocess(
        self, missing: Sequence[int], run: Transform, workers: int, tell: Callable[[str], None] | None
    ) -> None:
        problems: list[Problem] = []
        left = list(missing)
        first = None
        while left and first is None:
            index = left.pop(0)
            start = time.perf_counter()
            try:
                first = self._arrays(index, run)
            except DataProblem as error:
                problems.extend(error.problems)
        if first is None:
            raise DataProblem(*problems)
        size = sum(array.nbytes for array, _ in first.values())
        seconds = (time.perf_counter() - start) * (1 + len(left) / workers)
        estimate = Estimate(1 + len(left), size * (1 + len(left)), seconds)
        if tell is not None:
            tell(str(estimate))
        check_room(self.folder, estimate.disk_bytes, _WHERE, "the preprocessed cases")
        self._write(self.names[index], first)

        def one(index: int) -> None:
            try:
                self._write(self.names[index], self._arrays(index, run))
            except DataProblem as error:
                problems.extend(error.problems)

        pool = ThreadPoolExecutor(workers)
        try:
            list(pool.map(one, left))
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C no further case is begun
        if problems:
            raise DataProblem(*problems)

    def _arrays(self, index: int, run: Transform) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Half-precision array and affine of each key."""
        where = _called(self.data[index], index)
        try:
            items = run(dict(self.data[index]))
            return {key: _half(items[key], where, key) for key in self.keys}
        except Exception as error:
            if (problem := data_problem_in(error)) is not None:
                raise problem from None
            what = f"cannot be preprocessed ({type(error).__name__})"
            raise DataProblem(Problem(where, what, "check its files, or leave it out")) from error

    def _write(self, name: str, arrays: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """The arrays first: a case is kept once its table is there."""
        try:
            for key, (array, _) in arrays.items():
                content = io.BytesIO()  # NumPy's own writing to a file does not say why it failed
                np.save(content, array)
                write_whole(self._array(name, key), content.getvalue())
            write_whole(self._table(name), json.dumps({key: affine.tolist() for key, (_, affine) in arrays.items()}))
        except OSError as error:
            if is_full_disk(error):
                raise DataProblem(full_disk(_WHERE)) from None
            what = f"a case cannot be written ({error.strerror})"
            raise DataProblem(Problem(_WHERE, what, "free some room, or name a place on another disk")) from None

    def _kept(self, name: str) -> bool:
        """Whether a case is there with all its arrays at their full length."""
        try:
            affines = json.loads(self._table(name).read_text(encoding="utf-8"))
            arrays = [np.load(self._array(name, key), mmap_mode="r") for key in self.keys]
            return all(array.dtype == np.float16 for array in arrays) and all(
                np.shape(affines[key]) == (4, 4) for key in self.keys
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _array(self, name: str, key: str) -> Path:
        return self.folder / f"{name}_{key}.npy"

    def _table(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _name(entry: Mapping[str, Any], settings: str) -> str:
    """SHA-256 of a case's content and of what is done with it."""
    return hashlib.sha256(f"{settings} {json.dumps(_content(entry), sort_keys=True)}".encode()).hexdigest()[:40]


def _content(value: Any) -> Any:
    """A value of a case with each path to a file replaced by the hash of the file's bytes."""
    if isinstance(value, Mapping):
        return {str(key): _content(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_content(item) for item in value]
    if isinstance(value, str | Path) and os.path.isfile(value):  # noqa: PTH113  Path.is_file fails on long texts
        digest = hashlib.sha256()
        with Path(value).open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        return ["file", digest.hexdigest()]
    return describe(value)


def _half(item: Any, where: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    tensor = torch.as_tensor(item)
    affine = item.affine.cpu().numpy() if isinstance(item, MetaTensor) else np.eye(4)
    values = tensor.as_subclass(torch.Tensor).cpu().numpy()
    largest = float(np.finfo(np.float16).max)
    if not (np.isfinite(values).all() and np.abs(values).max(initial=0) <= largest):
        what = f"'{key}' holds values that are not finite or beyond {largest:.0f}"
        raise DataProblem(Problem(where, what, "scale it in the transforms, or check the image"))
    return np.ascontiguousarray(values, dtype=np.float16), np.asarray(affine, dtype=np.float64)


def _called(entry: Mapping[str, Any], index: int) -> str:
    """How messages call a case: by the ids of the prepared data set."""
    ids = " ".join(str(entry[key]) for key in _IDS if key in entry)
    return ids or f"case {index + 1} of the data list"
