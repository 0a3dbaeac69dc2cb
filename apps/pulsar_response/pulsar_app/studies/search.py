"""What looking for a model's inputs starts from, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treatment_response.geometry import Volume

from pulsar_app.studies.safe_datastore import OpenedImage


@dataclass(frozen=True)
class FoundInput:
    """One input of a model.

    Attributes:
        volume: on its own grid.
        told: what it is, for the answer, such as ``this series``.
        warnings: what a reader of the result must know of it, one sentence each.
    """

    volume: Volume
    told: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Search:
    """Where inputs are looked for.

    Attributes:
        datastore: that holds the image: a `PacsDatastore`, a `FolderDatastore` or a `SentImage`.
        image: that the request names.
        cache: folder for registrations.
    """

    datastore: Any
    image: OpenedImage
    cache: Path
