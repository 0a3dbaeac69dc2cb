"""The next image to look at: the one whose lesions the model is least sure of."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy
from treatment_response.problems import DataProblem, Problem

from pulsar_app.learning.scores import LesionScores, label_state
from pulsar_app.learning.unlabelled import LOOK_AGAIN, unknown_parameters, unlabelled
from pulsar_app.server.problems import Unavailable
from pulsar_app.studies.safe_datastore import SafeDatastore

SECONDS = 10

_NO_TARGET = "No target was found on it: draw the GTV and save it as a label."

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Candidate:
    image_id: str
    rank: int  # 0 scored, 1 not scored yet, 2 no target, 3 cannot be read
    uncertainty: float | None
    lesions: int
    given_out: float  # when it was last given out for labelling; 0 if not within a day
    message: str = ""

    @property
    def order(self) -> tuple[int, bool, float, float, str]:
        return self.rank, self.given_out > 0, self.given_out, -(self.uncertainty or 0.0), self.image_id


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

    An image's uncertainty is the mean entropy of its lesions' P(response). Images without a target come last, and the
    answer says so. Follow-up MRs are never chosen, and the answer counts them. Images that were given out within a day
    come after those of their kind that were not, so that asking again leads on. Scores are kept per image and model;
    those of batch inference are used. A request scores new images for a limited time and says how many it has seen.

    Args:
        app_dir: the app's folder.
        model: tells the SHA-256 of the weights that serve now.
        score: gives P(response) of every lesion of an image that would be predicted, ``score(datastore, image_id)``;
            an empty list where there is no target.
    """

    def __init__(
        self, app_dir: Path, model: Callable[[], str], score: Callable[[SafeDatastore, str], list[float]]
    ) -> None:
        super().__init__("The image whose lesions the model is least sure of")
        self.app_dir = app_dir
        self.model = model
        self.score = score
        self._without: dict[tuple[str, str], _Without] = {}

    def info(self) -> dict[str, Any]:
        """What clients show, with the one parameter."""
        return {**super().info(), "config": {"seconds": SECONDS}}

    def __call__(self, request: Mapping[str, Any], datastore: SafeDatastore) -> dict[str, Any]:
        """Choose.

        Args:
            request: ``seconds`` (1 to 300, 10 by default) for scoring images that were not scored yet.
            datastore: of the server.

        Returns:
            ``id``, ``uncertainty`` (mean entropy in bits, None where it is not known), ``lesions``, ``scored`` (images
            with a score), ``images`` (to choose from), ``left_out`` (reason → number of images), ``message``. Without
            ``id`` where no image is left; empty if every image has a final label.

        Raises:
            DataProblem: unknown or impossible parameters.
            Unavailable: the PACS does not answer.
        """
        until = time.monotonic() + _seconds(request)
        choice = unlabelled(request, datastore)
        if not choice.given_out:
            return choice.nothing()
        states = {image: label_state(datastore, image) for image in choice.given_out}
        known = self._scored(datastore, states, until)
        candidates = [self._candidate(image, states[image], when, known) for image, when in choice.given_out.items()]
        chosen = min(candidates, key=lambda candidate: candidate.order)
        scored = sum(candidate.rank == 0 for candidate in candidates)
        logger.info("Next sample %s of %d images, %d scored", chosen.image_id, len(candidates), scored)
        return {
            "id": chosen.image_id,
            "uncertainty": chosen.uncertainty,
            "lesions": chosen.lesions,
            "scored": scored,
            "images": len(candidates),
            "left_out": dict(choice.left_out),
            "message": f"{chosen.message} {choice.message}".strip(),
        }

    def _scored(
        self, datastore: SafeDatastore, states: Mapping[str, str], until: float
    ) -> dict[tuple[str, str], list[float]]:
        """P(response) of the lesions by image and state of its label, as far as it is known or time allows."""
        scores = LesionScores(self.app_dir, self.model())
        known = scores.all()
        for key in states.items():
            tried = self._without.get(key)
            if key in known or (tried and time.monotonic() - tried.tried < LOOK_AGAIN):
                continue
            if time.monotonic() > until:
                break
            try:
                known[key] = self.score(datastore, key[0])
            except Unavailable:  # says nothing of the image
                raise
            except DataProblem as problem:
                self._without[key] = _Without(time.monotonic(), 3, f"It cannot be used: {problem}")
                continue
            if known[key]:
                scores.put(*key, known[key])
            else:
                del known[key]
                self._without[key] = _Without(time.monotonic(), 2, _NO_TARGET)
        return known

    def _candidate(
        self, image: str, state: str, given_out: float, known: Mapping[tuple[str, str], list[float]]
    ) -> _Candidate:
        key = (image, state)
        if key not in known:
            later = _Without(0.0, 1, "It was not scored yet; ask again to go on scoring.")
            without = self._without.get(key, later)
            return _Candidate(image, without.rank, None, 0, given_out, without.message)
        mean = sum(map(entropy, known[key])) / len(known[key])
        message = f"Mean uncertainty {mean:.2f} of 1 over {len(known[key])} lesion(s). Research only."
        return _Candidate(image, 0, round(mean, 6), len(known[key]), given_out, message)


def _seconds(request: Mapping[str, Any]) -> float:
    problems = unknown_parameters(request, ("seconds",))
    value = request.get("seconds", SECONDS)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 300:
        problems.append(Problem("'seconds'", "the value is no number of seconds that is allowed", "give 1 to 300"))
    if problems:
        raise DataProblem(*problems)
    return float(value)
