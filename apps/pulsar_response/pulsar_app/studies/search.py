"""What looking for a model's inputs starts from, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

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
        to_image: ``(4, 4)``, RAS mm of the volume → RAS mm of the request's image; None where they are the same.
        days_before: of an image of an earlier study: days from it to the request's image; None if not known.
        cavity: of an image of an earlier study: the cavity as it was drawn there, mask on the volume's grid.
        given: of a dose: what is known of its courses.
    """

    volume: Volume
    told: str
    warnings: tuple[str, ...] = ()
    to_image: np.ndarray | None = None
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
        finds: all that the model's inputs are found by.
        operation_days: days from an operation to the image's study, if the request tells of one.
        shared: what several inputs are made from, by a name; see `once`.
        found: what was found already, by the finder's name, so that nothing is looked for twice.
    """

    datastore: Any
    image: OpenedImage
    cache: Path
    finds: tuple[str, ...] = ()
    operation_days: float | None = None
    found: dict[str, FoundInput] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict, repr=False)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What several inputs share: made for the first that asks, and refused to all for one reason.

        Raises:
            DataProblem: as of `make`.
        """
        if name not in self.shared:
            try:
                self.shared[name] = make()
            except DataProblem as problem:
                self.shared[name] = problem
        if isinstance(self.shared[name], DataProblem):
            raise self.shared[name]
        return self.shared[name]
