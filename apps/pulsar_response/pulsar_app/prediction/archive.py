"""The archive that an image came from, as the place of its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from monailabel.config import settings
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.interfaces.datastore import Datastore
from treatment_response.dicom.results.model import ModelIdentity, refuse_mixing
from treatment_response.dicom.results.stow import stow
from treatment_response.dicom.source import MrSource
from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class StoredSeries:
    """Objects of one series that are stored together.

    Attributes:
        kind: for people.
        shown: the class that a map is of; empty for other objects.
    """

    kind: str
    objects: Sequence[Any]
    shown: str = ""

    def told(self) -> dict[str, str]:
        first = self.objects[0]
        told = {"series_uid": str(first.SeriesInstanceUID), "description": str(first.SeriesDescription)}
        return {"kind": self.kind, **({"class": self.shown} if self.shown else {}), **told}


def archived(source: MrSource | None, datastore: Datastore) -> MrSource:
    """The DICOM series of an image.

    Raises:
        DataProblem: the image is no series of an archive.
    """
    if source is None or not isinstance(datastore, DICOMWebDatastore):
        what = "the MR is a file and no DICOM series of an archive, so its results cannot be stored"
        raise DataProblem(Problem("store", what, "start the server with the archive's DICOMweb address as --studies"))
    return source


def check_publishable(source: MrSource | None, datastore: Datastore, identity: ModelIdentity) -> None:
    """Refuse to store before any work is done.

    Raises:
        DataProblem: the image is no series of an archive, or the weights and the patient must not mix.
    """
    refuse_mixing(archived(source, datastore), identity)


def store_series(datastore: Any, image_id: str, make: Callable[[int], Sequence[StoredSeries]]) -> list[dict[str, str]]:
    """Make all series of a set, then store them; nothing is sent if one of them cannot be made.

    Args:
        datastore: the archive.
        image_id: that the results belong to.
        make: makes the series of the set of a number.

    Returns:
        What `StoredSeries.told` tells of each.

    Raises:
        DataProblem: an object cannot be made, or the archive refused it.
    """
    client = datastore._client
    prefix = settings.MONAI_LABEL_STOW_PREFIX
    url = f"{client.base_url.rstrip('/')}/{prefix}" if prefix else client.base_url
    with datastore.next_set(image_id) as number:
        made = make(number)
        stow([one for series in made for one in series.objects], url, client._session)
    return [series.told() for series in made]
