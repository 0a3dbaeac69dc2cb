"""Targets that were found, kept so that outlines which have not changed are not drawn again for each request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from treatment_response.dicom.targets import Target

from pulsar_app.studies.pacs import Recent

_MOST_BYTES = 2**28
_BYTES_BESIDE_MASKS = 2**20  # of the data sets, so that images without targets are no endless many


@dataclass(frozen=True)
class FoundTargets:
    """Targets of one image. Requests share their masks, so these cannot be written to.

    Attributes:
        notes: on what was left out, one sentence each.
        objects: the data sets that the targets were found in. While they are held, their ``id`` is no other object's.
    """

    targets: tuple[Target, ...]
    notes: tuple[str, ...] = ()
    objects: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        for target in self.targets:
            target.mask.setflags(write=False)


def kept_targets() -> Recent[FoundTargets]:
    """A place for those that were asked for last, up to 256 MiB."""
    return Recent(_MOST_BYTES, _weight)


def _weight(found: FoundTargets) -> int:
    return _BYTES_BESIDE_MASKS + sum(target.mask.nbytes for target in found.targets)
