"""The model that answers, and its successor when a training has published new weights."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from treatment_response.files import state_of
from treatment_response.geometry import Volume
from treatment_response.inference.explainer import Explained, Explainer
from treatment_response.problems import DataProblem
from treatment_response.weights import description_of

logger = logging.getLogger(__name__)


class Predictor:
    """Keeps one :class:`~treatment_response.inference.explainer.Explainer`, and replaces it when its weights change.

    Args:
        configs, model_path: as for the explainer.

    Raises:
        DataProblem: as the explainer. Later on, weights that do not fit leave the earlier ones in place.
    """

    def __init__(self, configs: Sequence[Path] = (), model_path: Path | None = None) -> None:
        self._configs = configs
        self._given = model_path
        self._lock = threading.Lock()
        self._explainer = Explainer(configs, model_path)
        self._state = self._file_state()

    @property
    def model_path(self) -> Path:
        """The weights that are served."""
        return self._explainer.model_path

    def current(self) -> Explainer:
        """The model of now; hold on to it during a request."""
        with self._lock:
            state = self._file_state()
            if state != self._state:
                self._state = state
                try:
                    self._explainer = Explainer(self._configs, self._given)
                    logger.info("The weights have changed: now %s", self._explainer.model["sha256"][:12])
                except DataProblem as problem:
                    logger.error("The weights have changed but cannot be used, the earlier ones go on: %s", problem)
            return self._explainer

    def _file_state(self) -> list[tuple[int, ...] | None]:
        """What changes when the weights or the ``model.json`` beside them are replaced."""
        return [_file_state(path) for path in (self.model_path, description_of(self.model_path))]


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
