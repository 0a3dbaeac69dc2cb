"""The next image to look at: the one whose lesions the model is least sure of."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy
from treatment_response.problems import DataProblem, Problem

from pulsar_app.learning.jobs import LesionScores, label_state
from pulsar_app.studies.study import is_later_session

SECONDS = 10
_SERVED_FOR = 24 * 60 * 60
_LOOK_AGAIN = 10 * 60  # seconds after which an image without a usable target is looked at again
# What MONAI Label and its clients add to every request.
_NOT_OURS = {"strategy", "client_id", "label_tag", "labels", "model", "device", "user"}

_NO_TARGET = "No target was found on it: draw the GTV and save it as a label."
_LATER = "By its name it is not the MRI before treatment, which the model predicts from."

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Candidate:
    image_id: str
    rank: int  # 0 scored, 1 not scored yet, 2 no target or a later session, 3 cannot be read
    uncertainty: float | None
    lesions: int
    served: float  # when it was last given out for labelling; 0 if not within a day
    message: str = ""

    @property
    def order(self) -> tuple[int, bool, float, float, str]:
        return self.rank, self.served > 0, self.served, -(self.uncertainty or 0.0), self.image_id


def entropy(p_response: float) -> float:
    """Uncertainty of a probability in bits: 0 where it is 0 or 1, 1 where it is 0.5."""
    return -sum(p * math.log2(p) for p in (p_response, 1.0 - p_response) if p > 0)


@dataclass(frozen=True)
class _Without:
    """An image that could not be scored: when it was tried, its rank, and what to say."""

    tried: float
    rank: int
    message: str


class Uncertainty(Strategy):
    """Active learning by predictive uncertainty, among the images without a final label.

    An image's uncertainty is the mean entropy of its lesions' P(response). Images without a target, and those of a
    later session by their name, come last, and the answer says so. Images that were given out within a day come after
    those of their kind that were not, so that asking again leads on. Scores are kept per image and model; those of
    batch inference are used. A request scores new images for a limited time and says how many it has seen.

    Args:
        app_dir: the app's folder.
        model: tells the SHA-256 of the weights that serve now.
        score: gives P(response) of every lesion of an image that would be predicted, ``score(datastore, image_id)``;
            an empty list where there is no target.
    """

    def __init__(self, app_dir: Path, model: Callable[[], str], score: Callable[[Datastore, str], list[float]]) -> None:
        super().__init__("The image whose lesions the model is least sure of")
        self.app_dir = app_dir
        self.model = model
        self.score = score
        self._without: dict[tuple[str, str], _Without] = {}

    def info(self) -> dict[str, Any]:
        """What clients show, with the one parameter."""
        return {**super().info(), "config": {"seconds": SECONDS}}

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Choose.

        Args:
            request: ``seconds`` (1 to 300, 10 by default) for scoring images that were not scored yet.
            datastore: of the server.

        Returns:
            ``id``, ``uncertainty`` (mean entropy in bits, None where it is not known), ``lesions``, ``scored`` (images
            with a score), ``images`` (without a final label), ``message``; empty if every image has a final label.

        Raises:
            DataProblem: unknown or impossible parameters.
        """
        until = time.monotonic() + _seconds(request)
        images = sorted(datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels")))
        if not images:
            return {}
        states = {image: label_state(datastore, image) for image in images}
        scores = LesionScores(self.app_dir, self.model())
        known = scores.all()
        for image in images:
            key = (image, states[image])
            if is_later_session(image):  # the model is not for it, whatever it would say
                known.pop(key, None)
                self._without[key] = _Without(time.monotonic(), 2, _LATER)
                continue
            tried = self._without.get(key)
            if key in known or (tried and time.monotonic() - tried.tried < _LOOK_AGAIN):
                continue
            if time.monotonic() > until:
                break
            try:
                known[key] = self.score(datastore, image)
            except DataProblem as problem:
                self._without[key] = _Without(time.monotonic(), 3, f"It cannot be used: {problem}")
                continue
            if known[key]:
                scores.put(*key, known[key])
            else:
                del known[key]
                self._without[key] = _Without(time.monotonic(), 2, _NO_TARGET)
        strategy = str(request.get("strategy", ""))
        # Straight from the index: asking a PACS about every image would take minutes.
        objects = datastore.json().get("objects", {})
        infos = {image: objects.get(image, {}).get("image", {}).get("info", {}) for image in images}
        served = {image: _served(infos[image], strategy) for image in images}
        candidates = [self._candidate(image, states[image], served[image], known) for image in images]
        chosen = min(candidates, key=lambda candidate: candidate.order)
        scored = sum(candidate.rank == 0 for candidate in candidates)
        logger.info("Next sample %s of %d images, %d scored", chosen.image_id, len(images), scored)
        return {
            "id": chosen.image_id,
            "uncertainty": chosen.uncertainty,
            "lesions": chosen.lesions,
            "scored": scored,
            "images": len(images),
            "message": chosen.message,
        }

    def _candidate(
        self, image: str, state: str, served: float, known: Mapping[tuple[str, str], list[float]]
    ) -> _Candidate:
        key = (image, state)
        if key not in known:
            later = _Without(0.0, 1, "It was not scored yet; ask again to go on scoring.")
            without = self._without.get(key, later)
            return _Candidate(image, without.rank, None, 0, served, without.message)
        mean = sum(map(entropy, known[key])) / len(known[key])
        message = f"Mean uncertainty {mean:.2f} of 1 over {len(known[key])} lesion(s). Research only."
        return _Candidate(image, 0, round(mean, 6), len(known[key]), served, message)


def _served(info: Mapping[str, Any], strategy: str) -> float:
    """When an image was last given out; 0 if not within a day."""
    given_out = info.get("strategy", {}).get(strategy, {}).get("ts", 0)
    return float(given_out) if time.time() - given_out < _SERVED_FOR else 0.0


def _seconds(request: Mapping[str, Any]) -> float:
    problems = [
        Problem(f"'{key}'", "this strategy has no such parameter", "it has only seconds")
        for key in request
        if key not in _NOT_OURS and key != "seconds"
    ]
    value = request.get("seconds", SECONDS)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 300:
        problems.append(Problem("'seconds'", "the value is no number of seconds that is allowed", "give 1 to 300"))
    if problems:
        raise DataProblem(*problems)
    return float(value)
