"""Names that a client sends: each must be one that the server gave out, and lead to a file inside its folders."""

from __future__ import annotations

import re
from pathlib import Path

from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import LocalDatastore
from treatment_response.problems import DataProblem, Problem

from pulsar_app.server.problems import not_found

UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*")
"""A DICOM unique identifier."""

NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._ -]{0,126}[A-Za-z0-9_-])?")
"""A new id, a tag or a model name: no slash, no leading dot, no control character."""

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def known_image(datastore: LocalDatastore, image: str) -> str:
    """The id of an image, after it was checked.

    A series of an archive is only checked for its form, since asking for it is the datastore's job; an image of a
    folder must be there, and its file must lie in that folder, links followed.

    Args:
        datastore: where the image should be.
        image: what the client sent.

    Raises:
        NotFound: it is not an id, or nothing of that id is in the datastore.
    """
    if isinstance(datastore, DICOMWebDatastore):
        if not UID.fullmatch(image):
            raise not_found("image", "it is not a Series Instance UID", "send the UID of an MR series")
        return image
    inside(root_of(datastore), Path(datastore.get_image_uri(image)))
    return image


def study(value: str) -> str:
    """A Study Instance UID, after its form was checked.

    Raises:
        NotFound: it is none.
    """
    if not UID.fullmatch(value):
        raise not_found("study", "it is not a Study Instance UID", "send the UID of a study")
    return value


def tag(value: str) -> str:
    """A label's tag, after it was checked: it becomes the name of a folder.

    Raises:
        DataProblem: it cannot be the name of a folder.
    """
    return name(value, "tag")


def name(value: str, what: str) -> str:
    """A name that may become part of a path, after it was checked.

    Args:
        value: what the client sent.
        what: what it names, for the message.

    Raises:
        DataProblem: it holds a slash, starts with a dot, is empty or too long.
    """
    if not NAME.fullmatch(value):
        raise DataProblem(Problem(what, "it is not a plain name", "use letters, digits, space, '.', '_' and '-'"))
    return value


def session(value: str) -> str:
    """The id of a session, after it was checked.

    Raises:
        NotFound: it does not have the form of the ids that this server gives.
    """
    if not UUID.fullmatch(value):
        raise not_found("session", "there is none of this id", "create one by PUT /session/")
    return value


def job(value: str) -> str:
    """The id of a job, after it was checked.

    Raises:
        NotFound: it does not have the form of the ids that this server gives.
    """
    if not UUID.fullmatch(value):
        raise not_found("job", "there is none of this id", "start one by POST /infer/MODEL")
    return value


def root_of(datastore: LocalDatastore) -> Path:
    """The folder that holds a datastore's files."""
    return Path(datastore._datastore_path).resolve()


def inside(root: Path, path: Path) -> Path:
    """The path with its links followed, if it lies in `root` and exists.

    Raises:
        NotFound: it does not exist, or leads out of the folder.
    """
    real = path.resolve()
    if not real.is_relative_to(root.resolve()) or real == root.resolve() or not real.exists():
        raise not_found("image", "the folder holds no such file", "links out of the folder are not followed")
    return real
