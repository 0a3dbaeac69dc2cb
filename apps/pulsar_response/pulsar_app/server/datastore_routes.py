"""`/datastore/…`: the images and labels that the server works on."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import FileResponse, Response
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import file_checksum, get_mime_type
from treatment_response.inference.volume_files import EXTENSIONS
from treatment_response.problems import DataProblem, Problem

from pulsar_app.server import ids, uploads
from pulsar_app.server.guarded_route import GuardedRoute
from pulsar_app.server.parameters import json_object
from pulsar_app.server.problems import NotFound, Refused, not_found
from pulsar_app.server.roles import CurrentUser, Role, requires
from pulsar_app.server.workers import in_worker

_CHECKSUMS = ("SHA256", "SHA512", "MD5")


class Listing(StrEnum):
    """How much `GET /datastore/` tells: numbers, or every image and label."""

    STATS = "stats"
    ALL = "all"
    TRAIN = "train"


def router() -> APIRouter:
    """`/datastore/…`: look for users, save for annotators, remove for admins."""
    routes = APIRouter(route_class=GuardedRoute, prefix="/datastore", dependencies=[requires(Role.USER)])
    _add_image_routes(routes)
    _add_label_routes(routes)

    @routes.get("/")
    def listing(output: Listing = Listing.STATS) -> dict[str, Any]:
        if output is Listing.TRAIN:
            raise Refused(Problem("output", "train lists the server's own files", "ask for output=all"))
        datastore = _datastore()
        return dict(datastore.json() if output is Listing.ALL else datastore.status())

    return routes


def _add_image_routes(routes: APIRouter) -> None:
    annotator, admin = [requires(Role.ANNOTATOR)], [requires(Role.ADMIN)]

    @routes.head("/image")
    @routes.get("/image")
    def image_file(image: str, check_sum: str = "") -> Response:
        path = _image_path(image)
        if check_sum:
            _compare(path, check_sum)
        return FileResponse(path, media_type=get_mime_type(path.name), filename=path.name)

    @routes.put("/", dependencies=annotator)
    @routes.put("/image", dependencies=annotator)
    async def add_image(
        user: CurrentUser,
        file: Annotated[UploadFile, File()],
        image: str = "",
        params: Annotated[str, Form()] = "{}",
    ) -> dict[str, str]:
        return await in_worker(partial(_add_image, image, file, json_object(params, "params"), user.username))

    @routes.delete("/", dependencies=admin)
    @routes.delete("/image", dependencies=admin)
    def remove_image(id: str) -> dict[str, str]:
        datastore = _datastore()
        _refuse_archive(datastore, "removed here")
        datastore.remove_image(ids.known_image(datastore, id))
        return {}

    @routes.get("/image/info")
    def image_info(image: str) -> dict[str, Any]:
        datastore = _datastore()
        return without_paths(datastore.get_image_info(ids.known_image(datastore, image)))

    @routes.put("/image/info", dependencies=annotator)
    def put_image_info(user: CurrentUser, image: str, info: Annotated[str, Form()] = "{}") -> None:
        datastore = _datastore()
        said = {**json_object(info, "info"), "user": user.username}
        datastore.update_image_info(ids.known_image(datastore, image), without_paths(said))


def _add_label_routes(routes: APIRouter) -> None:
    annotator, admin = [requires(Role.ANNOTATOR)], [requires(Role.ADMIN)]

    @routes.head("/label")
    def label_there(image: str, tag: str) -> Response:
        _label_path(image, tag)
        return Response()

    @routes.get("/label")
    def label_file(label: str, tag: str) -> Response:
        path = _label_path(label, tag)
        return FileResponse(path, media_type=get_mime_type(path.name), filename=path.name)

    @routes.put("/label", dependencies=annotator)
    async def save_label(
        user: CurrentUser,
        image: str,
        label: Annotated[UploadFile, File()],
        params: Annotated[str, Form()] = "{}",
        tag: str = DefaultLabelTag.FINAL.value,
    ) -> dict[str, Any]:
        said = {**json_object(params, "params"), "user": user.username}
        return await in_worker(partial(_save_label, image, tag, label, said))

    @routes.delete("/label", dependencies=admin)
    def remove_label(id: str, tag: str) -> dict[str, str]:
        _label_path(id, tag)
        _datastore().remove_label(id, tag)
        return {}

    @routes.get("/label/info")
    def label_info(label: str, tag: str) -> dict[str, Any]:
        _label_path(label, tag)
        return without_paths(_datastore().get_label_info(label, tag))

    @routes.put("/label/info", dependencies=annotator)
    def put_label_info(user: CurrentUser, label: str, tag: str, info: Annotated[str, Form()] = "{}") -> None:
        _label_path(label, tag)
        said = {**json_object(info, "info"), "user": user.username}
        _datastore().update_label_info(label, tag, without_paths(said))


def without_paths(info: dict[str, Any]) -> dict[str, Any]:
    """What is known of an image without where the server keeps it."""
    return {key: value for key, value in info.items() if key != "path"}


def _datastore() -> LocalDatastore:
    return app_instance().datastore()


def _image_path(image: str) -> Path:
    datastore = _datastore()
    path = ids.inside(ids.root_of(datastore), Path(datastore.get_image_uri(ids.known_image(datastore, image))))
    if not path.is_file():
        raise NotFound(Problem("image", "it is not one file", "load it from the archive"))
    return path


def _label_path(label: str, tag: str) -> Path:
    """The file of a saved label, whose id is that of its image."""
    datastore = _datastore()
    known = ids.known_image(datastore, label)
    ids.tag(tag)
    if tag not in datastore.get_labels_by_image_id(known):
        raise not_found("image", "no label of that tag is saved", "GET /datastore/?output=all lists the labels")
    return ids.inside(ids.root_of(datastore), Path(LocalDatastore.get_label_uri(datastore, known, tag)))


def _compare(path: Path, check_sum: str) -> None:
    algorithm, _, digest = check_sum.rpartition(":")
    algorithm = algorithm or _CHECKSUMS[0]
    if algorithm not in _CHECKSUMS:
        raise DataProblem(Problem("request", "the checksum's kind is not known", f"use {', '.join(_CHECKSUMS)}"))
    if file_checksum(path, algo=algorithm) != f"{algorithm}:{digest}":
        raise not_found("image", "its checksum is another", "load it again")


def _add_image(image: str, file: UploadFile, params: dict[str, Any], user: str) -> dict[str, str]:
    datastore = _datastore()
    _refuse_archive(datastore, "added here")
    extension = uploads.extension_of(file, EXTENSIONS)
    image = ids.name(image or Path(file.filename or "").name[: -len(extension)], "image")
    with uploads.received(file, EXTENSIONS) as path:
        return {"image": datastore.add_image(image, str(path), without_paths({**params, "user": user}))}


def _save_label(image: str, tag: str, label: UploadFile, params: dict[str, Any]) -> dict[str, Any]:
    instance = app_instance()
    known = ids.known_image(instance.datastore(), image)
    ids.tag(tag)
    with uploads.received(label, (*EXTENSIONS, uploads.BARE)) as path:
        label_id = instance.datastore().save_label(known, str(path), tag, params)
    return {**(instance.on_save_label(known, label_id) or {}), "image": known, "label": label_id}


def _refuse_archive(datastore: LocalDatastore, done: str) -> None:
    if isinstance(datastore, DICOMWebDatastore):
        raise Refused(Problem("request", f"images of the archive are not {done}", "use the archive itself"))
