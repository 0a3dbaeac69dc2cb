"""Any image without a label: what OHIF asks for, whatever strategy its panel shows."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy
from treatment_response.problems import DataProblem

from pulsar_app.learning.unlabelled import LOOK_AGAIN, unknown_parameters, unlabelled
from pulsar_app.server.problems import Unavailable
from pulsar_app.studies.safe_datastore import SafeDatastore

SECONDS = 10.0

logger = logging.getLogger(__name__)


class RandomSample(Strategy):
    """A random image among those without a final label that may be an MRI before treatment.

    Images that were given out within a day come after the others, the one given out last at the end. An image that
    cannot be read is passed over.
    """

    def __init__(self) -> None:
        super().__init__("A random image without a label")
        self._unreadable: dict[str, float] = {}  # image id → when it was tried

    def __call__(self, request: Mapping[str, Any], datastore: SafeDatastore) -> dict[str, Any]:
        """Choose.

        Args:
            request: no parameters of its own.
            datastore: of the server.

        Returns:
            ``id``, ``images`` (to choose from), ``left_out`` (reason → number of images), ``message``. Without ``id``
            where no image is left, or none can be read; empty if every image has a final label.

        Raises:
            DataProblem: a parameter.
            Unavailable: the PACS does not answer.
        """
        if problems := unknown_parameters(request):
            raise DataProblem(*problems)
        choice = unlabelled(request, datastore)
        if not choice.given_out:
            return choice.nothing()
        until = time.monotonic() + SECONDS
        shuffled = random.sample(list(choice.given_out), len(choice.given_out))
        for image in sorted(shuffled, key=lambda image: choice.given_out[image]):
            if time.monotonic() > until:
                break
            if self._can_be_read(image, datastore):
                logger.info("Next sample: one of %d images", len(choice.given_out))
                sentences = ["Chosen at random.", choice.message]
                return {
                    "id": image,
                    "images": len(choice.given_out),
                    "left_out": dict(choice.left_out),
                    "message": " ".join(filter(None, sentences)),
                }
        what = f"No image that can be read was found among {len(choice.given_out)} without a label."
        return {"left_out": dict(choice.left_out), "message": f"{what} {choice.message}".strip()}

    def _can_be_read(self, image: str, datastore: SafeDatastore) -> bool:
        if time.monotonic() - self._unreadable.get(image, float("-inf")) < LOOK_AGAIN:
            return False
        try:
            datastore.open_image(image)
        except Unavailable:
            raise
        except DataProblem:
            self._unreadable[image] = time.monotonic()
            return False
        return True
