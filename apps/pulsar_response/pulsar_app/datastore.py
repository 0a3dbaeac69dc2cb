"""MONAI Label's datastores with ids that cannot leave them, this package's DICOM reader, and no patient names."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date as Date
from pathlib import Path
from typing import Any

import numpy as np
from dicomweb_client.session_utils import create_session_from_user_pass
from filelock import FileLock
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX, DICOMWebDatastore
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.datastore.utils.convert import nifti_to_dicom_seg
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.utils.others.generic import md5_digest
from treatment_response.cohort.label_map import read_label_map
from treatment_response.cohort.layout import DATALIST, read_volume, write_volume
from treatment_response.dicom.source import MrSource, read_mr_source
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

from pulsar_app.pacs import Pacs, Recent, SeriesFacts, unknown_series
from pulsar_app.server.problems import NotFound

EXTENSIONS = (".nii.gz", ".nii", ".nrrd")
"""Of labels; images are NIfTI, because NRRD headers often say nothing about their coordinate system."""
_PATTERNS = tuple(f"*{extension}" for extension in EXTENSIONS)
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_LIST_SECONDS = 30.0
_CACHED_IMAGES = 4
_LOCKS = 32


@dataclass(frozen=True)
class SavedLabel:
    """A label map saved with the tag ``final``, and the names of its values in ascending order, if given."""

    path: Path
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenedImage:
    """One image of a datastore and all that the datastore knows of its lesions.

    Attributes:
        source: None for a folder of NIfTI.
        key: changes when the image changes.
        objects: structure sets and segmentations of its study.
        label: what a user saved, if anything.
        masks: by lesion, the masks of a prepared data set.
        treated: modality and date of the patient's plans, doses, records and structure sets.
    """

    image_id: str
    volume: Volume
    source: MrSource | None
    key: str
    objects: tuple[Any, ...] = ()
    label: SavedLabel | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)
    treated: tuple[tuple[str, Date], ...] = ()


def open_datastore(studies: str) -> PacsDatastore | FolderDatastore:
    """The datastore of ``--studies``, with MONAI Label's settings (login, prefixes, cache folder).

    Args:
        studies: a DICOMweb URL or a folder.

    Raises:
        DataProblem: the folder does not exist, cannot be written, or its index is damaged.
    """
    if not studies.startswith(("http://", "https://")):
        return FolderDatastore(Path(studies))
    user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
    client = DICOMwebClientX(
        url=studies.strip().rstrip("/"),
        session=create_session_from_user_pass(user, password) if user and password else None,
        qido_url_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
        wado_url_prefix=settings.MONAI_LABEL_WADO_PREFIX,
        stow_url_prefix=settings.MONAI_LABEL_STOW_PREFIX,
    )
    cache = (settings.MONAI_LABEL_DICOMWEB_CACHE_PATH or "").strip()
    default = type(settings).model_fields["MONAI_LABEL_DICOMWEB_SEARCH_FILTER"].default
    given = settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER
    # MONAI Label's default is CT, which no model of this app can use.
    return PacsDatastore(client, {"Modality": "MR"} if given == default else given, Path(cache) if cache else None)


class SafeDatastore(LocalDatastore):
    """What both datastores share: ids and tags are checked before they become part of a path."""

    def _open(self, folder: Path) -> None:
        self._locks = [threading.RLock() for _ in range(_LOCKS)]
        self._volumes: Recent[tuple[Volume, MrSource | None]] = Recent(_CACHED_IMAGES)
        try:
            # No watching: a folder is read when it is asked for, so nothing breaks on what appears in it meanwhile.
            LocalDatastore.__init__(self, str(folder), extensions=_PATTERNS, auto_reload=False)
        except OSError as error:
            what = f"its folder cannot be written ({type(error).__name__})"
            raise DataProblem(Problem("datastore", what, "give the server a folder that it may write to")) from None
        except ValueError:
            what = "its index datastore_v2.json is damaged"
            raise DataProblem(Problem("datastore", what, "delete that file, it is made again")) from None

    def _lock(self, image_id: str) -> threading.RLock:
        return self._locks[hash(image_id) % _LOCKS]

    def open_image(self, image_id: str) -> OpenedImage:
        """Read an image and what is known of its lesions."""
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
        described = label.info.get("label_info")
        names = [one.get("name") for one in described if isinstance(one, dict)] if isinstance(described, list) else []
        path = Path(LocalDatastore.get_label_uri(self, image_id, tag))
        return SavedLabel(path, tuple(map(str, names))) if path.is_file() else None

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
        LocalDatastore.update_image_info(self, image_id, info)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        self._known_label(label_id, label_tag)
        LocalDatastore.update_label_info(self, label_id, label_tag, info)

    def remove_label(self, label_id: str, label_tag: str) -> None:
        self._known_label(label_id, label_tag)
        LocalDatastore.remove_label(self, label_id, label_tag)

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any], label_id: str = ""
    ) -> str:
        """Keep a label map that lies on the image's grid.

        Raises:
            NotFound: no such image.
            DataProblem: no label map, or on another grid.
        """
        tag, info = _checked_tag(label_tag), dict(label_info or {})
        with tempfile.TemporaryDirectory() as folder:
            image = self.open_image(image_id)
            path = _with_grid(Path(label_filename), image.volume, Path(folder))
            if not path.name.endswith(EXTENSIONS):
                what = "expected a NIfTI or NRRD file"
                raise DataProblem(Problem("label", what, f"send one of {', '.join(EXTENSIONS)}"))
            read_label_map(path, image.volume, "label")
            self.get_image_uri(image_id)  # its entry in the index is what a label is kept with
            if tag == DefaultLabelTag.FINAL.value:
                self._publish(image_id, path, info)
            with self._lock(image_id):
                return str(LocalDatastore.save_label(self, image_id, str(path), tag, info))

    def _publish(self, image_id: str, label: Path, info: Mapping[str, Any]) -> None:
        """Send a label to where others can see it, before it is kept here."""

    def _known_label(self, label_id: str, label_tag: str) -> None:
        if self._datastore.label(label_id, _checked_tag(label_tag)) is None:
            raise NotFound(Problem("label", "there is none of this id and tag", "save one first"))


class FolderDatastore(SafeDatastore):
    """A folder of NIfTI images, or a prepared data set, whose masks are outlines and not images.

    Args:
        folder: images lie in it directly (id: the file's name without ``.nii.gz``) or as
            ``sub-*/ses-*/anat/*_T1w.nii.gz``. Links that lead out of it are not followed.

    Raises:
        DataProblem: no folder, not writable, or its index is damaged.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataProblem(Problem("--studies", "is no folder", "give a folder of NIfTI, or a DICOMweb URL"))
        self._root = folder.resolve()
        self._open(self._root)

    def open_image(self, image_id: str) -> OpenedImage:
        path = Path(self.get_image_uri(image_id))
        state = path.stat()
        key = f"{image_id}:{state.st_mtime_ns}:{state.st_size}"
        with self._lock(image_id):
            volume, _ = self._volumes.get(key, lambda: (read_volume(path, "image"), None))
        return OpenedImage(image_id, volume, None, key, label=self._saved_label(image_id), masks=self._masks(path))

    def get_image_uri(self, image_id: str) -> str:
        """Path of an image.

        Raises:
            NotFound: no such image, or it lies outside the folder.
        """
        path = self._images().get(image_id)
        if path is None:
            raise NotFound(Problem("image", "the folder holds none of this id", "choose an image of the list"))
        return str(path)

    def list_images(self) -> list[str]:
        self.refresh()
        return sorted(super().list_images())

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        return super().get_image_info(image_id) | {"path": self.get_image_uri(image_id)}

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        tag = DefaultLabelTag.FINAL.value
        return [
            {"image": self.get_image_uri(image_id), "label": self.get_label_uri(image_id, tag)}
            for image_id in self.get_labeled_images()
        ]

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Copy a NIfTI into the folder.

        Raises:
            DataProblem: no NIfTI, an id that is no plain name, or one that is taken.
        """
        name, extension = self._to_id(Path(image_filename).name)
        image_id = image_id or name
        if not _NAME.fullmatch(image_id) or ".." in image_id or len(image_id) > 128:
            raise DataProblem(Problem("image", "its id is no plain name", "use letters, digits, '.', '_' and '-'"))
        if extension not in (".nii.gz", ".nii"):
            raise DataProblem(Problem("image", "expected a NIfTI file", "send .nii.gz or .nii"))
        if image_id in self._images():
            raise DataProblem(Problem("image", "there is one of this id", "use another id"))
        read_volume(Path(image_filename), "image")
        return str(super().add_image(image_id, image_filename, image_info))

    def remove_image(self, image_id: str) -> None:
        """Remove an image that lies in the folder directly; a prepared data set is not taken apart."""
        path = Path(self.get_image_uri(image_id))
        if path.parent != self._root:
            raise DataProblem(Problem("image", "it is part of a prepared data set", "prepare the data set again"))
        super().remove_image(image_id)

    def _known(self, image_id: str) -> None:
        self.get_image_uri(image_id)
        if image_id not in self._datastore.objects:
            self.refresh()

    def _images(self) -> dict[str, Path]:
        """Path by id; of two images of one id the first, and none that leads out of the folder."""
        found: dict[str, Path] = {}
        candidates = [*self._root.glob("*.nii*"), *self._root.glob("sub-*/ses-*/anat/*_T1w.nii*")]
        for path in sorted(candidates, key=lambda path: (len(path.parts), path)):
            image_id, extension = self._to_id(path.name)
            if extension not in (".nii.gz", ".nii") or path.name.startswith("."):
                continue
            if path.is_file() and path.resolve().is_relative_to(self._root):
                found.setdefault(image_id, path)
        return found

    def _masks(self, image: Path) -> dict[str, Path]:
        """Lesion → mask of a prepared data set's image."""
        if image.parent.name != "anat" or not (self._root / DATALIST).is_file():
            return {}
        session = image.parent.parent
        stem = f"{session.parent.name}_{session.name}_label-"
        folder = self._root / "derivatives" / "masks" / session.parent.name / session.name
        return {
            path.name.removeprefix(stem).removesuffix("_mask.nii.gz"): path
            for path in sorted(folder.glob(f"{stem}*_mask.nii.gz"))
            if path.resolve().is_relative_to(self._root)
        }

    def _add_non_existing_images(self) -> int:
        self._init_from_datastore_file()
        objects = self._datastore.objects
        new = {image_id: path for image_id, path in self._images().items() if image_id not in objects}
        for image_id, path in new.items():
            info = {"ts": int(time.time()), "name": path.name}
            objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=self._to_id(path.name)[1]))
        return len(new)

    def _remove_non_existing(self) -> int:
        self._init_from_datastore_file()
        objects = self._datastore.objects
        images = self._images()
        gone = [image_id for image_id in objects if image_id not in images]
        for image_id in gone:
            del objects[image_id]
        count = len(gone)
        for image_id, entry in objects.items():
            for tag in list(entry.labels):
                if not Path(LocalDatastore.get_label_uri(self, image_id, tag)).is_file():
                    del entry.labels[tag]
                    count += 1
        return count


class PacsDatastore(SafeDatastore, DICOMWebDatastore):
    """MR series of a PACS, kept in a folder as DICOM and NIfTI.

    The NIfTI's grid is that of :func:`treatment_response.dicom.series.read_series`, so a mask made on it fits what
    ``scripts/prepare_dicom.py`` writes.

    Args:
        client: of the DICOMweb server.
        search_filter: of the series that are listed.
        cache: folder for all servers; None is ``~/.cache/monailabel/dicom``.
    """

    def __init__(
        self, client: DICOMwebClientX, search_filter: Mapping[str, Any] | None = None, cache: Path | None = None
    ) -> None:
        self._client = client
        self._search_filter = dict(search_filter or {"Modality": "MR"})
        self._pacs = Pacs(client)
        self._listed: tuple[float, list[str]] = (float("-inf"), [])
        root = cache or Path.home() / ".cache" / "monailabel" / "dicom"
        self._root = root / md5_digest(client.base_url)
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)  # it holds patients' images
        self._open(self._root)

    def open_image(self, image_id: str) -> OpenedImage:
        study, facts = self._find(image_id)
        source, key = self._source(facts)
        return OpenedImage(
            image_id,
            source.volume,
            source,
            key,
            self._pacs.outlines(study),
            self._saved_label(image_id),
            treated=self._treated(study, facts),
        )

    def get_image_uri(self, image_id: str) -> str:
        """Path of the series as NIfTI; its DICOM files lie in the folder of the same name.

        Raises:
            NotFound: no UID, or the PACS does not hold it.
            Unavailable: the PACS does not answer.
            DataProblem: no MR, or a series that is no single volume.
        """
        _, facts = self._find(image_id)
        path = self._root / f"{image_id}.nii.gz"
        with self._lock(image_id):
            source, _ = self._source(facts)
            if not path.is_file():
                part = path.with_name(f".{path.name}.part")
                write_volume(part, source.volume)
                part.replace(path)
            if image_id not in self._datastore.objects:
                self._register(facts)
        return str(path)

    def list_images(self) -> list[str]:
        when, listed = self._listed
        if time.monotonic() - when > _LIST_SECONDS:
            listed = [facts.series_uid for facts in self._pacs.list_series(self._search_filter)]
            self._listed = (time.monotonic(), listed)
        return list(listed)

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Series with a label that was saved through this server. (Outlines in the PACS are found when predicting.)"""
        return list(LocalDatastore.get_labeled_images(self, label_tag, labels))

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        labelled = set(self.get_labeled_images())
        return [image_id for image_id in self.list_images() if image_id not in labelled]

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        return list(LocalDatastore.datalist(self, full_path))

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        raise DataProblem(Problem("image", "this server reads from a PACS", "send the series to the PACS"))

    def remove_image(self, image_id: str) -> None:
        """Forget what is kept of a series; the PACS keeps it."""
        self._known(image_id)
        with self._lock(image_id):
            if image_id in self._datastore.objects:
                LocalDatastore.remove_image(self, image_id)
            shutil.rmtree(self._root / image_id, ignore_errors=True)

    def _known(self, image_id: str) -> None:
        self._find(image_id)

    def _find(self, image_id: str) -> tuple[list[SeriesFacts], SeriesFacts]:
        """The series of the study, and the one of this id."""
        if not (isinstance(image_id, str) and len(image_id) <= 64 and _UID.fullmatch(image_id)):
            raise NotFound(Problem("image", "its id is no Series Instance UID", "choose a series of the list"))
        study = self._pacs.study_of(image_id)
        facts = next((one for one in study if one.series_uid == image_id), None)
        if facts is None:
            raise unknown_series()
        if facts.modality != "MR" or facts.ours:
            kind = "a result of this software" if facts.ours else f"of modality {facts.modality or 'unknown'}"
            what = f"the series is {kind}, expected MR"
            raise DataProblem(Problem("image", what, "choose a T1-weighted MR series with contrast"))
        return study, facts

    def _source(self, facts: SeriesFacts) -> tuple[MrSource, str]:
        """The series from memory, the folder or the PACS, and the key of its state."""
        key = f"{facts.series_uid}:{facts.instances}"

        def read() -> tuple[Volume, MrSource]:
            folder = self._downloaded(facts)
            source = read_mr_source(folder)
            return source.volume, source

        with self._lock(facts.series_uid):
            _, source = self._volumes.get(key, read)
        assert source is not None
        return source, key

    def _downloaded(self, facts: SeriesFacts) -> Path:
        """Folder with the series' files, complete or not there at all."""
        folder = self._root / facts.series_uid
        held = sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0
        if held and facts.instances in (held, None):
            return folder
        with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=self._root) as name:
            part = Path(name) / "series"
            part.mkdir()
            for instance in self._pacs.retrieve(facts):
                instance.save_as(part / f"{_checked_uid(str(instance.SOPInstanceUID))}.dcm", write_like_original=False)
            if folder.exists():  # the series has changed in the PACS
                folder.rename(Path(name) / "old")
                (self._root / f"{facts.series_uid}.nii.gz").unlink(missing_ok=True)
            part.rename(folder)
        return folder

    def _register(self, facts: SeriesFacts) -> None:
        """Note the series in the index; of the patient it holds nothing."""
        info = self._dicom_info(facts.series_uid, facts)
        with FileLock(self._lock_file):
            entry = ImageLabelModel(image=DataModel(info=info, ext=".nii.gz"))
            self._datastore.objects.setdefault(facts.series_uid, entry)
            self._update_datastore_file(lock=False)

    def _dicom_info(self, series_id: str, facts: SeriesFacts | None = None) -> dict[str, Any]:
        facts = facts or self._find(series_id)[1]
        return {
            "ts": int(time.time()),
            "name": f"{series_id}.nii.gz",
            "SeriesInstanceUID": series_id,
            "StudyInstanceUID": facts.study_uid,
            "Modality": facts.modality,
        }

    def _treated(self, study: list[SeriesFacts], facts: SeriesFacts) -> tuple[tuple[str, Date], ...]:
        # The study's own objects are listed with the date of their series, others with that of their study.
        own = [(one.modality, one.date) for one in study if one.modality.startswith("RT") and one.date and not one.ours]
        return (*own, *self._pacs.treatment_dates(facts.patient))

    def _publish(self, image_id: str, label: Path, info: Mapping[str, Any]) -> None:
        """Send a label map to the PACS as DICOM Segmentation of its series."""
        file = Path(nifti_to_dicom_seg(str(self._root / image_id), str(label), info.get("label_info")) or ".")
        if not file.is_file():
            what = "could not be written as DICOM Segmentation (is it empty? is dcmqi's itkimage2segimage installed?)"
            raise DataProblem(Problem("label", what, "draw at least one voxel, or ask who runs the server"))
        try:
            self._pacs.store(file)
        finally:
            file.unlink()


def _checked_tag(tag: str) -> str:
    """A label's tag as a plain string: it names a folder."""
    text = str(tag.value) if isinstance(tag, DefaultLabelTag) else str(tag)
    if not _NAME.fullmatch(text) or ".." in text or len(text) > 32:
        raise DataProblem(Problem("label", "its tag is no plain name", "use 'final' or 'original'"))
    return text


def _checked_uid(uid: str) -> str:
    if not _UID.fullmatch(uid) or len(uid) > 64:
        raise DataProblem(Problem("image", "the PACS sent an object without a valid UID", "correct it in the PACS"))
    return uid


def _with_grid(label: Path, image: Volume, folder: Path) -> Path:
    """OHIF sends outlines as bare bytes in Fortran order; others come with their grid."""
    if label.suffix != ".bin":
        return label
    values = np.fromfile(label, dtype=np.uint8)
    if values.size != image.array.size:
        what = f"has {values.size} values, the MR has {image.array.size} voxels"
        raise DataProblem(Problem("label", what, "draw it on this MR"))
    path = folder / "label.nii.gz"
    write_volume(path, Volume(values.reshape(image.array.shape, order="F"), image.affine))
    return path
