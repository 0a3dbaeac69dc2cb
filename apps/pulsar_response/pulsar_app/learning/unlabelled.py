"""The images that a next sample is chosen from, and what every strategy of choosing shares."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from treatment_response.problems import Problem

from pulsar_app.studies.first_mri import counted
from pulsar_app.studies.safe_datastore import SafeDatastore

LOOK_AGAIN = 10 * 60
"""Seconds after which an image that could not be used is looked at again."""

_GIVEN_OUT_FOR = 24 * 60 * 60
# What MONAI Label and its clients add to every request.
_NOT_OURS = {"strategy", "client_id", "label_tag", "labels", "model", "device", "user"}


@dataclass(frozen=True)
class Unlabelled:
    """The images without a final label that may be an MRI before treatment.

    Attributes:
        given_out: image id → when it was last given out, in seconds since 1970; 0 if not within a day.
        left_out: why other images without a final label are not among them → how many.
    """

    given_out: Mapping[str, float]
    left_out: Mapping[str, int]

    @property
    def message(self) -> str:
        """What is left out, as a sentence; empty if nothing is."""
        reasons = "; ".join(f"{number} {reason}" for reason, number in self.left_out.items())
        return f"Left out: {reasons}." if reasons else ""

    def nothing(self) -> dict[str, Any]:
        """The answer where there is no image to choose from."""
        if not self.left_out:
            return {}
        return {"message": f"No image is left to label. {self.message}", "left_out": dict(self.left_out)}


def unlabelled(request: Mapping[str, Any], datastore: SafeDatastore) -> Unlabelled:
    """Find them.

    Args:
        request: ``strategy``, ``label_tag`` and ``labels``, as MONAI Label hands them over.
        datastore: of the server.
    """
    images = datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels"))
    not_first = datastore.not_first()
    # Straight from the index: asking a PACS about every image would take minutes.
    index = datastore.json().get("objects", {})
    strategy = str(request.get("strategy", ""))
    times = {
        image: _given_out(index.get(image, {}).get("image", {}).get("info", {}), strategy)
        for image in sorted(images)
        if image not in not_first
    }
    return Unlabelled(times, counted(not_first[image] for image in images if image in not_first))


def unknown_parameters(request: Mapping[str, Any], known: Collection[str] = ()) -> list[Problem]:
    """A problem for each parameter of a request that the strategy does not know.

    Args:
        known: the strategy's own parameters.
    """
    names = ", ".join(known)
    remedy = f"it has only {names}" if names else "it has none"
    unknown = (key for key in request if key not in _NOT_OURS and key not in known)
    return [Problem(f"'{key}'", "this strategy has no such parameter", remedy) for key in unknown]


def _given_out(info: Mapping[str, Any], strategy: str) -> float:
    when = float(info.get("strategy", {}).get(strategy, {}).get("ts", 0))
    return when if time.time() - when < _GIVEN_OUT_FOR else 0.0
