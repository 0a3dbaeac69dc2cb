"""An MR that came with the request, or that a session keeps, as a datastore of one image."""

from __future__ import annotations

import tempfile
from pathlib import Path

from monailabel.interfaces.app import MONAILabelApp
from treatment_response.inference.volume_files import read_image

from pulsar_app.studies.found_targets import FoundTargets
from pulsar_app.studies.pacs import Recent
from pulsar_app.studies.safe_datastore import OpenedImage

NAME = "sent image"


class SentImage:
    """Holds one MR that is no part of the server's datastore.

    Args:
        path: of its file, which the server itself wrote, under a name that is never used for another image.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.targets: Recent[FoundTargets] = Recent(0)  # it is asked once

    def open_image(self, image_id: str) -> OpenedImage:
        """The image; nothing else is known of it.

        Raises:
            DataProblem: it cannot be read.
        """
        return OpenedImage(image_id, read_image(self.path, NAME), None, str(self.path))

    def case_images(self, image_id: str) -> dict[str, Path]:
        """It belongs to no data set."""
        return {}


def sent_image(app: MONAILabelApp, image: str) -> SentImage | None:
    """The image if it names a file that the server itself received, else None.

    Clients name images by their ids. The routes put a path here for what was uploaded; anything outside the places of
    uploads and sessions is an id like any other, which no datastore knows.
    """
    path = Path(image)
    sessions = app.sessions()
    places = [Path(tempfile.gettempdir()).resolve(), *([Path(sessions.store_path).resolve()] if sessions else [])]
    if not path.is_absolute() or not any(path.resolve().is_relative_to(place) for place in places):
        return None
    return SentImage(path.resolve()) if path.is_file() else None
