"""A folder of NIfTI, or a prepared data set, as MONAI Label's datastore."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from treatment_response.cohort.dataset import read_dataset
from treatment_response.cohort.layout import DATALIST
from treatment_response.cohort.paired_patient import EARLIER
from treatment_response.files import state_of
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

from pulsar_app.server.problems import NotFound, TooLarge
from pulsar_app.studies.first_mri import NotFirst, later_by_name, session_before
from pulsar_app.studies.image_file import read_image_apart
from pulsar_app.studies.safe_datastore import MOST_IMAGES, OpenedImage, SafeDatastore, check_size, plain_name


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
        key = ":".join(map(str, (image_id, *state_of(path))))
        with self._lock(image_id):
            volume, _ = self._volumes.get(key, lambda: (read_image_apart(path, "image"), None))
        return OpenedImage(image_id, volume, None, key, label=self._saved_label(image_id), masks=self._masks(path))

    def earlier_contrast_t1(self, image_id: str) -> tuple[Volume, str]:
        """The contrast image of the session before, and that session, see `first_mri.session_before`."""
        earlier, session = session_before(image_id, self._images())
        return self.open_image(earlier).volume, session

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
        listed = sorted(self._images())
        if listed != sorted(self._datastore.objects):
            self.refresh()
        return listed

    def not_first(self) -> dict[str, NotFirst]:
        """By the images' BIDS names."""
        return later_by_name(self.list_images())

    def case_images(self, image_id: str) -> Mapping[str, Path]:
        image = Path(self.get_image_uri(image_id)).resolve()
        if not (self._root / DATALIST).is_file():
            return {}
        for case in read_dataset(self._root)["training"]:
            images = case.get("images") if isinstance(case, dict) else None
            if not isinstance(images, dict):  # a system of one image has `image`
                continue
            files = {name: (self._root / path).resolve() for name, path in images.items()}
            own = {file for name, file in files.items() if not name.endswith(EARLIER)}
            if image in own and all(file.is_relative_to(self._root) for file in files.values()):
                return files
        return {}

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
            TooLarge: more is noted with it than the index takes, or the folder holds as many images as it may.
            DataProblem: no NIfTI, an id that is no plain name, or one that is taken.
        """
        check_size(image_info, "image")
        name, extension = self._to_id(Path(image_filename).name)
        image_id = image_id or name
        if not plain_name(image_id, 128):
            raise DataProblem(Problem("image", "its id is no plain name", "use letters, digits, '.', '_' and '-'"))
        if extension not in (".nii.gz", ".nii"):
            raise DataProblem(Problem("image", "expected a NIfTI file", "send .nii.gz or .nii"))
        held = self._images()
        if len(held) >= MOST_IMAGES:
            raise TooLarge(Problem("image", f"the folder holds {len(held)} images", "use another folder"))
        if image_id in held:
            raise DataProblem(Problem("image", "there is one of this id", "use another id"))
        read_image_apart(Path(image_filename), "image")
        with self._changing():
            return str(super().add_image(image_id, image_filename, image_info))

    def remove_image(self, image_id: str) -> None:
        """Remove an image that lies in the folder directly; a prepared data set is not taken apart."""
        path = Path(self.get_image_uri(image_id))
        if path.parent != self._root:
            raise DataProblem(Problem("image", "it is part of a prepared data set", "prepare the data set again"))
        with self._changing():
            super().remove_image(image_id)

    def _known(self, image_id: str) -> None:
        self.get_image_uri(image_id)
        self.list_images()

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
