"""Writes an inference folder case by case; it appears whole or not at all."""

from __future__ import annotations

import gzip
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from ignite.engine import Engine, Events

from treatment_response.inference.model import describe_model
from treatment_response.problems import DataProblem, Problem
from treatment_response.weights import Weights


class WriteFolder(ABC):
    """Handler that collects an evaluator's answers in a folder that appears whole or not at all.

    Everything is written to a temporary sibling that takes the folder's name when the run ends well. An earlier
    inference folder is replaced only then.

    Args:
        output_dir: the inference folder (docs: files, "An inference folder").
        weights: those that answer; their origin is told with every answer.

    Attributes:
        details: the file by which an earlier inference folder is known.

    Raises:
        DataProblem: at the start, when the folder holds something else than an earlier inference.
    """

    details: str

    def __init__(self, output_dir: str, weights: Weights) -> None:
        self.output_dir = Path(os.path.abspath(output_dir))  # noqa: PTH100  (resolve() would follow a link)
        self.weights = weights
        self.partial = self.output_dir.with_name(f".{self.output_dir.name}.partial-{os.getpid()}")
        self.results: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write_case)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.give_up)

    def start(self, engine: Engine) -> None:
        folder = self.output_dir
        if folder.exists() and not (folder / self.details).is_file() and (not folder.is_dir() or any(folder.iterdir())):
            what = "the folder is not empty and holds no earlier inference"
            raise DataProblem(Problem("--output_dir", what, "name a new folder, or empty it"))
        self.results = []
        self.model = describe_model(self.weights)
        self.partial.mkdir(parents=True)

    @abstractmethod
    def write_case(self, engine: Engine) -> None:
        """Write what the engine just said about a case into `partial`, and note it in `results`."""

    @abstractmethod
    def write_tables(self) -> None:
        """Write the tables of all `results` into `partial`."""

    def finish(self, engine: Any) -> None:
        self.write_tables()
        earlier = self.output_dir.with_name(f".{self.output_dir.name}.old-{os.getpid()}")
        if self.output_dir.exists():
            self.output_dir.rename(earlier)
        self.partial.rename(self.output_dir)
        shutil.rmtree(earlier, ignore_errors=True)

    def give_up(self, engine: Engine, error: BaseException) -> None:
        shutil.rmtree(self.partial, ignore_errors=True)
        raise error

    def write_maps(
        self, jobs: Sequence[tuple[str, np.ndarray]], to_volume: Callable[[np.ndarray], np.ndarray], affine: np.ndarray
    ) -> None:
        """Write maps on the image's grid.

        Args:
            jobs: path relative to the folder, and cells, of each.
            to_volume: from cells to the image's voxels.
            affine: of the image, voxel index to RAS mm.
        """

        def write(job: tuple[str, np.ndarray]) -> None:
            path, cells = job
            write_map(self.partial / path, to_volume(cells), affine)

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # compressing leaves Python's lock
            list(pool.map(write, jobs))


def write_map(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    """Write a map as NIfTI with its affine and nothing else; the same map always gives the same bytes.

    It stays float32 also when it is zero everywhere, and is mostly zeros, so the quickest compression does.

    Args:
        path: the file; its folder is made.
        volume: ``(I, J, K)`` float32.
        affine: voxel index to RAS mm.
    """
    image = nibabel.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    # A sheared affine has no quaternion; sform carries it and readers prefer it.
    image.set_qform(affine, code=1, strip_shears=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
