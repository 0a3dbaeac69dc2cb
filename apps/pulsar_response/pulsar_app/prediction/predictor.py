"""The model that answers, and its successor when a training has published new weights."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from treatment_response.files import state_of
from treatment_response.geometry import Volume
from treatment_response.inference.lesions.explainer import Explained, Explainer
from treatment_response.problems import DataProblem
from treatment_response.weights import description_of

logger = logging.getLogger(__name__)


class ServesWeights(Protocol):
    """A model that was built from weights' files."""

    model: dict[str, Any]

    @property
    def model_files(self) -> Sequence[Path]:
        """The weights' files."""


Served = TypeVar("Served", bound=ServesWeights)


class ServedModel(Generic[Served]):
    """Keeps a model, and builds it again when its weights change.

    Args:
        build: builds it.

    Raises:
        DataProblem: as ``build``. Later on, weights that do not fit leave the earlier ones in place.
    """

    def __init__(self, build: Callable[[], Served]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._served = build()
        self._state = self._file_state()

    def current(self) -> Served:
        """The model of now; hold on to it during a request."""
        with self._lock:
            state = self._file_state()
            if state != self._state:
                self._state = state
                try:
                    self._served = self._build()
                    logger.info("The weights have changed: now %s", self._served.model["sha256"][:12])
                except DataProblem as problem:
                    logger.error("The weights have changed but cannot be used, the earlier ones go on: %s", problem)
            return self._served

    def _file_state(self) -> list[tuple[int, ...] | None]:
        """What changes when weights or the ``model.json`` beside them are replaced."""
        files = self._served.model_files
        return [_file_state(path) for file in files for path in (file, description_of(file))]


class Predictor(ServedModel[Explainer]):
    """A model that answers outline by outline.

    Args:
        configs, model_path: as for :class:`~treatment_response.inference.lesions.explainer.Explainer`; errors too.
    """

    def __init__(self, configs: Sequence[Path] = (), model_path: Path | None = None) -> None:
        super().__init__(lambda: Explainer(configs, model_path))

    @property
    def model_path(self) -> Path:
        """The weights that are served."""
        return self._served.model_path


def _file_state(path: Path) -> tuple[int, ...] | None:
    try:
        return state_of(path)
    except OSError:
        return None


def warm_up(explainer: Explainer) -> Explained:
    """Pass a small phantom through the model: the first pass of a process is slow."""
    head = np.zeros((32, 32, 16), np.float32)
    head[4:28, 4:28, 2:14] = 1 + np.arange(24, dtype=np.float32)[:, None, None] / 24
    mask = np.zeros(head.shape, bool)
    mask[12:20, 12:20, 6:10] = True
    image = Volume(head, np.diag([2.0, 2.0, 4.0, 1.0]))
    return explainer.explain(image, mask, key="warm-up", name="phantom", contrast_named=True)
