"""What looking for a model's inputs starts from, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treatment_response.geometry import Volume

from pulsar_app.studies.safe_datastore import OpenedImage


@dataclass(frozen=True)
class GivenDose:
    """What is known of the courses that a dose is the sum of.

    Attributes:
        isodose_gy: the summed dose where all courses give 95 % of their prescriptions; None if one has none.
        unit: such as ``EQD2 Gy``.
        days_since: from the last day of treatment to the image; None if it is not known.
        days_since_from: how that day was found if nobody states it, or why it is not known; empty otherwise.
    """

    isodose_gy: float | None
    unit: str
    days_since: int | None
    days_since_from: str = ""


@dataclass(frozen=True)
class FoundInput:
    """One input of a model.

    Attributes:
        volume: on its own grid.
        told: what it is, for the answer, such as ``this series``.
        warnings: what a reader of the result must know of it, one sentence each.
        days_before: of an image of an earlier study: days from it to the request's image; None if not known.
        cavity: of an image of an earlier study: the cavity as it was drawn there, mask on the volume's grid.
        given: of a dose: what is known of its courses.
    """

    volume: Volume
    told: str
    warnings: tuple[str, ...] = ()
    days_before: int | None = None
    cavity: Volume | None = None
    given: GivenDose | None = None


@dataclass(frozen=True)
class Search:
    """Where inputs are looked for.

    Attributes:
        datastore: that holds the image: a `PacsDatastore`, a `FolderDatastore` or a `SentImage`.
        image: that the request names.
        cache: folder for registrations.
        found: what was found already, by the finder's name, so that nothing is looked for twice.
    """

    datastore: Any
    image: OpenedImage
    cache: Path
    found: dict[str, FoundInput] = field(default_factory=dict)
