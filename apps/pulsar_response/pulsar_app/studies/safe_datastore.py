"""What MONAI Label's datastores share here: ids and tags are checked before they become part of a path."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import date as Date
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from filelock import FileLock
from monailabel.datastore.local import DataModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.utils.others.generic import file_checksum
from treatment_response.cohort.label_map import read_label_map
from treatment_response.cohort.layout import write_volume
from treatment_response.dicom.outline_objects import names_answers
from treatment_response.dicom.source import MrSource
from treatment_response.files import state_of, whole_file, write_whole
from treatment_response.geometry import Volume
from treatment_response.inference.volume_files import EXTENSIONS
from treatment_response.problems import DataProblem, Problem

from pulsar_app.server.problems import NotFound, TooLarge
from pulsar_app.studies.first_mri import NotFirst
from pulsar_app.studies.found_targets import FoundTargets, kept_targets
from pulsar_app.studies.pacs import Recent
from pulsar_app.studies.submitted_label import outlines_only

_CHECKSUM, _STORED_AS = "checksum", "sop_instance_uid"
_IDENTITY = frozenset({"StudyInstanceUID", "SeriesInstanceUID"})  # of an image, as the archive said it
_OWN_KEYS = frozenset({_CHECKSUM, _STORED_AS})  # what the server says of a label, and no client
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_CACHED_IMAGES = 4
MOST_INFO, MOST_TAGS, MOST_IMAGES = 2**19, 16, 10_000
"""What clients may put into the index, which is read and written as a whole: bytes of JSON noted with an image or a
label, kinds of labels of an image, images that they add to a folder."""


@dataclass(frozen=True)
class SavedLabel:
    """A label map saved with the tag ``final``.

    Attributes:
        version: changes whenever the file does, see :func:`file_version`.
        names: of its values in ascending order, if given.
        left_out: why it is not to be used; empty if it is.
        sop_uid: of the object in the archive that it was stored as; empty where there is none.
    """

    path: Path
    version: tuple[int | str, ...]
    names: tuple[str, ...] = ()
    left_out: str = ""
    sop_uid: str = ""


@dataclass(frozen=True)
class OpenedImage:
    """One image of a datastore and all that the datastore knows of its lesions.

    Attributes:
        source: None for a folder of NIfTI.
        key: changes when the image changes.
        objects: structure sets and segmentations of its study, and those of other studies that refer to it.
        unread: why outlines of other studies could not be looked through, one sentence each.
        label: what a user saved, if anything.
        masks: by lesion, the masks of a prepared data set.
        treated: modality and date of the patient's plans, doses, records and structure sets.
    """

    image_id: str
    volume: Volume
    source: MrSource | None
    key: str
    objects: tuple[Any, ...] = ()
    unread: tuple[str, ...] = ()
    label: SavedLabel | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)
    treated: tuple[tuple[str, Date], ...] = ()


class SafeDatastore(LocalDatastore):
    """What both datastores share: ids and tags are checked before they become part of a path.

    Attributes:
        keeps_copies: whether the images in its folder are the server's own copies.
        targets: those that were found in outlines and labels which have not changed since.
    """

    keeps_copies = False
    targets: Recent[FoundTargets]

    def _open(self, folder: Path) -> None:
        self._index = threading.RLock()
        self._between_processes = FileLock(folder / ".changing.lock")
        self._locks: WeakValueDictionary[str, threading.RLock] = WeakValueDictionary()
        self._choosing_lock = threading.Lock()
        self._volumes: Recent[tuple[Volume, MrSource | None]] = Recent(_CACHED_IMAGES)
        self.targets = kept_targets()
        try:
            # No watching: a folder is read when it is asked for, so nothing breaks on what appears in it meanwhile.
            with self._between_processes:
                LocalDatastore.__init__(
                    self, str(folder), extensions=[f"*{extension}" for extension in EXTENSIONS], auto_reload=False
                )
        except OSError as error:
            what = f"its folder cannot be written ({type(error).__name__})"
            raise DataProblem(Problem("datastore", what, "give the server a folder that it may write to")) from None
        except ValueError:
            what = "its index datastore_v2.json is damaged"
            raise DataProblem(Problem("datastore", what, "delete that file, it is made again")) from None

    def _update_datastore_file(self, lock: bool = True) -> None:
        """Replace the index as a whole: MONAI Label's half of a file would be all that a killed server leaves."""
        path = Path(self._datastore_config_path)
        with FileLock(self._lock_file) if lock else nullcontext():
            write_whole(path, json.dumps(self._datastore.model_dump(exclude={"base_path"}), indent=2, default=str))
            self._config_ts = path.stat().st_mtime

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        """The folder's images or labels, without what a killed server had written half."""
        found = super()._list_files(path, patterns)
        return {name: file for name, file in found.items() if not name.startswith(".")}

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the index for a change, as other processes (batch inference, training) have left it.

        MONAI Label locks each reading and each writing; a change is both, and what another process writes between them
        would be lost.
        """
        with self._index, self._between_processes:
            self._init_from_datastore_file()
            yield

    def refresh(self) -> None:
        with self._changing():
            super().refresh()

    def _lock(self, image_id: str) -> threading.RLock:
        """The lock of an image: whoever reads another image does not wait for it."""
        with self._choosing_lock:
            return self._locks.setdefault(image_id, threading.RLock())

    @property
    def folder(self) -> Path:
        """Where the index, the labels and the images or their copies are."""
        return Path(self._datastore_path)

    def study_of(self, image_id: str) -> str:
        """The Study Instance UID of an image, or its own id where it is not known."""
        return image_id

    def open_image(self, image_id: str) -> OpenedImage:
        """Read an image and what is known of its lesions."""
        raise NotImplementedError

    def case_images(self, image_id: str) -> Mapping[str, Path]:
        """Files of the case of a prepared data set that an image belongs to, by their names; empty where there is none.

        Raises:
            DataProblem: the data set's list cannot be used.
        """
        return {}

    def not_first(self) -> dict[str, NotFirst]:
        """The images that are not, or not surely, their patient's MRI before treatment, and why."""
        raise NotImplementedError

    def _known(self, image_id: str) -> None:
        """Raise NotFound unless the datastore holds an image of this id."""
        raise NotImplementedError

    def _to_id(self, file: str) -> tuple[str, str]:
        extension = next((one for one in EXTENSIONS if file.endswith(one)), "")
        return file.removesuffix(extension), extension

    def _saved_label(self, image_id: str) -> SavedLabel | None:
        tag = DefaultLabelTag.FINAL.value
        label = self._datastore.label(image_id, tag)
        if label is None:
            return None
        path = Path(LocalDatastore.get_label_uri(self, image_id, tag))
        if not path.is_file():
            return None
        version = file_version(path)
        left_out = _left_out(version[-1], label.info)
        return SavedLabel(path, version, _names(label.info), left_out, str(label.info.get(_STORED_AS) or ""))

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Images with a label that was saved through this server, of the tag (None: ``final``)."""
        tag = checked_tag(label_tag or DefaultLabelTag.FINAL)
        return [image_id for image_id in self.list_images() if self._datastore.label(image_id, tag) is not None]

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        labelled = set(self.get_labeled_images(label_tag))
        return [image_id for image_id in self.list_images() if image_id not in labelled]

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        self._known(image_id)
        return dict(LocalDatastore.get_image_info(self, image_id))

    def get_label_uri(self, label_id: str, label_tag: str, image_id: str = "") -> str:
        self._known_label(label_id, label_tag)
        return str(LocalDatastore.get_label_uri(self, label_id, label_tag))

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        self._known_label(label_id, label_tag)
        return dict(LocalDatastore.get_label_info(self, label_id, label_tag))

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        self._known(image_id)
        with self._changing():
            # A client sends back what it was told; which study it is stays what the archive said.
            said = {key: value for key, value in info.items() if key not in _IDENTITY}
            entry = self._datastore.objects.get(image_id)
            check_size({**entry.image.info, **said} if entry else said, "image")
            LocalDatastore.update_image_info(self, image_id, said)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        self._known_label(label_id, label_tag)
        with self._changing():
            # A client sends back what it was told, and the label may have been saved again since.
            said = {key: value for key, value in info.items() if key not in _OWN_KEYS}
            label = self._datastore.label(label_id, checked_tag(label_tag))
            check_size({**label.info, **said} if label else said, "label")
            LocalDatastore.update_label_info(self, label_id, label_tag, said)

    def remove_label(self, label_id: str, label_tag: str) -> None:
        self._known_label(label_id, label_tag)
        with self._changing():
            LocalDatastore.remove_label(self, label_id, label_tag)

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any], label_id: str = ""
    ) -> str:
        """Keep a label map that lies on the image's grid.

        Raises:
            NotFound: no such image.
            TooLarge: more is noted with it than the index takes, or the image has labels of too many tags.
            DataProblem: no label map, or on another grid.
        """
        tag, info = checked_tag(label_tag), dict(label_info or {})
        check_size(info, "label")
        self._check_tags(image_id, tag)
        with tempfile.TemporaryDirectory() as folder:
            image = self.open_image(image_id)
            path = _with_grid(Path(label_filename), image.volume, Path(folder))
            if not path.name.endswith(EXTENSIONS):
                what = "expected a NIfTI or NRRD file"
                raise DataProblem(Problem("label", what, f"send one of {', '.join(EXTENSIONS)}"))
            values = read_label_map(path, image.volume, "label")
            if tag == DefaultLabelTag.FINAL.value:
                if "params" in info:
                    what = "it is a model's answer, not an outline that a person drew"
                    raise DataProblem(Problem("label", what, "keep it under another tag, such as 'original'"))
                path, info = outlines_only(path, values, info, image.volume, Path(folder))
            self.get_image_uri(image_id)  # its entry in the index is what a label is kept with
            stored_as = self._publish(image_id, path, info) if tag == DefaultLabelTag.FINAL.value else ""
            with self._lock(image_id), self._changing():
                self._keep_label(image_id, path, tag, info, stored_as)
        return image_id

    def _check_tags(self, image_id: str, tag: str) -> None:
        entry = self._datastore.objects.get(image_id)
        if entry and tag not in entry.labels and len(entry.labels) >= MOST_TAGS:
            what = f"its image has labels of {MOST_TAGS} tags, as many as it may"
            raise TooLarge(Problem("label", what, "use one of these tags, or have an administrator remove one"))

    def _keep_label(self, image_id: str, label: Path, tag: str, info: dict[str, Any], stored_as: str) -> None:
        """Put a label in the place of the earlier one, which is there until the new one is, even if the server dies."""
        entry = self._datastore.objects.get(image_id)
        if entry is None:
            raise NotFound(Problem("image", "it was removed", "choose an image of the list"))
        folder, extension = Path(self._datastore.label_path(tag)), self._to_id(label.name)[1]
        name = f"{image_id}{extension}"
        told = {**info, "ts": int(time.time()), "name": name, _CHECKSUM: file_checksum(label), _STORED_AS: stored_as}
        with whole_file(folder / name) as partial:
            shutil.copyfile(label, partial)
        entry.labels[tag] = DataModel(info=told, ext=extension)
        self._update_datastore_file()
        for other in EXTENSIONS:  # an earlier label in another format would come back when this one goes
            if other != extension:
                (folder / f"{image_id}{other}").unlink(missing_ok=True)

    def _publish(self, image_id: str, label: Path, info: Mapping[str, Any]) -> str:
        """Send a label to where others can see it, before it is kept here.

        Returns:
            SOP Instance UID of what was stored; empty where labels go nowhere else.
        """
        return ""

    def _known_label(self, label_id: str, label_tag: str) -> None:
        if self._datastore.label(label_id, checked_tag(label_tag)) is None:
            raise NotFound(Problem("label", "there is none of this id and tag", "save one first"))


def check_size(info: Mapping[str, Any], what: str) -> None:
    """Refuse to note more with an image or a label than the index takes (TooLarge)."""
    size = len(json.dumps(info, default=str))
    if size > MOST_INFO:
        told = f"what is noted with it would take {size // 1024} KiB in the index, at most {MOST_INFO // 1024} are kept"
        raise TooLarge(Problem(what, told, "send less in the parameters"))


def _names(info: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a label's values, as viewers send them."""
    described = info.get("label_info")
    found = [one.get("name") for one in described if isinstance(one, dict)] if isinstance(described, list) else []
    return tuple(str(name or "") for name in found)


def file_version(path: Path) -> tuple[int | str, ...]:
    """What tells a file from every other that was or will be at its place; the last part is its content's checksum.

    The inode and its times tell what the content does not: that the file was replaced while it was looked at, even if
    it is as before later on.
    """
    return (*state_of(path), file_checksum(path))


def _left_out(checksum: int | str, info: Mapping[str, Any]) -> str:
    """Why a final label of this checksum is not to be used; empty if it is."""
    # This app's answers note their parameters: a viewer names only the model it has chosen.
    if "params" in info or names_answers(_names(info)):
        return "it holds what a model answered, which is no outline"
    # File and index are two: a server that dies between them leaves new outlines with the earlier names.
    if info.get(_CHECKSUM) not in (None, checksum):
        return "its file is not the one that its names were saved with; save it again"
    return ""


def plain_name(text: str, longest: int) -> bool:
    """Whether a text can be a file's name and leads nowhere else."""
    return bool(_NAME.fullmatch(text)) and ".." not in text and len(text) <= longest


def checked_tag(tag: str) -> str:
    """A label's tag as a plain string: it names a folder."""
    text = str(tag.value) if isinstance(tag, DefaultLabelTag) else str(tag)
    if not plain_name(text, 32):
        raise DataProblem(Problem("label", "its tag is no plain name", "use 'final' or 'original'"))
    return text


def _with_grid(label: Path, image: Volume, folder: Path) -> Path:
    """OHIF sends outlines as bare bytes in Fortran order; others come with their grid."""
    if label.suffix != ".bin":
        return label
    if label.stat().st_size != image.array.size:
        what = f"has {label.stat().st_size} values, the MR has {image.array.size} voxels"
        raise DataProblem(Problem("label", what, "draw it on this MR"))
    values = np.fromfile(label, dtype=np.uint8)
    path = folder / "label.nii.gz"
    write_volume(path, Volume(values.reshape(image.array.shape, order="F"), image.affine))
    return path
