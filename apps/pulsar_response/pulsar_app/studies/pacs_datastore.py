"""MR series of a PACS as MONAI Label's datastore, read by this package, with no patient names."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date as Date
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.dicom import DICOMwebClientX, DICOMWebDatastore
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.utils.others.generic import md5_digest
from treatment_response.cohort.label_map import read_label_map
from treatment_response.cohort.layout import write_volume
from treatment_response.dicom.headers import has_contrast, is_t1
from treatment_response.dicom.outline_objects import refers_to
from treatment_response.dicom.results.model import set_number
from treatment_response.dicom.results.segmentation import segment_label
from treatment_response.dicom.results.submission import Drawing, submitted_segmentation
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.source import MrSource, read_mr_source
from treatment_response.dicom.studies_over_time import CONTRAST_T1, Timeline, sequence_of, timelines
from treatment_response.dicom.study_sequences import (
    EARLIER,
    THIS,
    ListedStudy,
    ReadSequences,
    check_sequences,
    earlier_with,
    read_sequences,
)
from treatment_response.files import whole_file
from treatment_response.geometry import Volume
from treatment_response.inference.volume_files import check_axes
from treatment_response.problems import DataProblem, Problem

from pulsar_app.server.ids import UID
from pulsar_app.server.problems import NotFound
from pulsar_app.server.roles import LOCAL_USER
from pulsar_app.studies.first_mri import NotFirst, later_series
from pulsar_app.studies.pacs import Pacs, Recent, SeriesFacts, StudyFacts, unknown_series
from pulsar_app.studies.safe_datastore import OpenedImage, SafeDatastore

_LIST_SECONDS = 30.0
_MOST_STUDIES = 16
"""Of a patient's other studies, the newest first, that are looked through for a model's inputs."""
_COURSES = ("RTDOSE", "RTPLAN", "RTRECORD")


@dataclass(frozen=True)
class EarlierImage:
    """An MR of an earlier study.

    Attributes:
        days: from it to the image that was asked for.
        outlines: structure sets and segmentations of its study.
    """

    source: MrSource
    days: int
    outlines: tuple[Any, ...] = ()


class PacsDatastore(SafeDatastore, DICOMWebDatastore):
    """MR series of a PACS, kept in a folder as DICOM and NIfTI.

    The NIfTI's grid is that of :func:`treatment_response.dicom.series.read_series`, so a mask made on it fits what
    ``scripts/prepare_dicom.py`` writes.

    Args:
        client: of the DICOMweb server.
        search_filter: of the series that are listed.
        cache: folder for all servers; None is ``~/.cache/monailabel/dicom``.
    """

    keeps_copies = True

    def __init__(
        self, client: DICOMwebClientX, search_filter: Mapping[str, Any] | None = None, cache: Path | None = None
    ) -> None:
        self._client = client
        self._search_filter = dict(search_filter or {"Modality": "MR"})
        self._pacs = Pacs(client)
        self._lists: Recent[list[SeriesFacts]] = Recent(2, seconds=_LIST_SECONDS)
        root = cache or Path.home() / ".cache" / "monailabel" / "dicom"
        self._root = root / md5_digest(client.base_url)
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)  # it holds patients' images
        self._open(self._root)

    def open_image(self, image_id: str) -> OpenedImage:
        study, facts = self._find(image_id)
        source, key = self._source(facts)
        others = self._pacs.other_studies(facts)
        elsewhere, unread = self._pacs.outlines_elsewhere(facts, others, lambda dataset: refers_to(dataset, source))
        return OpenedImage(
            image_id,
            source.volume,
            source,
            key,
            (*self._pacs.outlines(study), *elsewhere),
            unread,
            self._saved_label(image_id),
            treated=self._treated(study, others),
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
                with whole_file(path) as partial:
                    write_volume(partial, source.volume)
            if image_id not in self._datastore.objects:
                self._register(facts)
        return str(path)

    def list_images(self) -> list[str]:
        return [facts.series_uid for facts in self._mrs()]

    def images_of_study(self, study_uid: str) -> list[str]:
        """The contrast T1s of a study among the listed series; all its listed series if none says that it is one."""
        listed = self._pacs.series_of(study_uid, self._search_filter)
        contrast = [one for one in listed if self._contrast_t1(one)]
        return [one.series_uid for one in contrast or listed]

    def series_of_patient(self, study_uid: str) -> frozenset[tuple[str, int | None]]:
        """What the inputs of a study's images are found in: the series of its patient, each with its instances.

        Empty where the PACS holds no such study. Series that this software wrote do not count.
        """
        study = self._pacs.series_of(study_uid)
        return frozenset(
            (one.series_uid, one.instances) for one in (self._of_patient(study, study[0]) if study else ())
        )

    def not_first(self) -> dict[str, NotFirst]:
        """By the dates of the listed series and of whatever tells of treatment, as of half a minute ago."""
        mrs, treatment = self._mrs(), self._lists.get("treatment", self._pacs.list_treatment)
        labelled = set(self.get_labeled_images())
        outlined = {facts.study_uid for facts in treatment if facts.has_outlines}
        outlined |= {facts.study_uid for facts in mrs if facts.series_uid in labelled}
        return later_series(mrs, treatment, outlined)

    def earlier_contrast_t1(self, image_id: str, until: Date | None = None) -> EarlierImage:
        """The contrast T1 of the nearest earlier study that has exactly one.

        Args:
            until: only studies up to this day count.

        Raises:
            NotFound: the PACS does not hold the image.
            Unavailable: the PACS does not answer.
            DataProblem: there is no such study, or its series is no single volume.
        """
        _, facts = self._find(image_id)
        source, _ = self._source(facts)
        if source.date is None:
            raise DataProblem(Problem("image", "it has no date, so no study is earlier", "restore its date"))
        chosen = {facts.series_uid: facts}
        for study in self._pacs.other_studies(facts)[:_MOST_STUDIES]:
            if study.date is None or study.date >= source.date or (until is not None and study.date > until):
                continue
            candidates = [
                one for one in self._pacs.series_of(study.study_uid) if one.modality == "MR" and self._contrast_t1(one)
            ]
            chosen |= {one.series_uid: one for one in candidates}
            if len(candidates) == 1:
                break
        with self._timeline(list(chosen.values())) as timeline:
            now = timeline.study(facts.study_uid)
            earlier = timeline.last_before(now, [CONTRAST_T1])
            found = chosen[earlier.only(CONTRAST_T1).series_uid]
        outlines = self._pacs.outlines(self._pacs.study_of(found.series_uid))
        return EarlierImage(self._source(found)[0], (now.date - earlier.date).days, outlines)

    def sequences(
        self, image_id: str, now: Collection[str], earlier: Collection[str]
    ) -> tuple[ReadSequences, ReadSequences | None]:
        """Sequences of an image's study, and of the nearest earlier study that has all that are wanted of it.

        Args:
            now, earlier: names as `dicom.study_sequences` takes them; without any of ``earlier`` none is looked for.

        Raises:
            NotFound: the PACS does not hold the image.
            Unavailable: the PACS does not answer.
            DataProblem: a sequence or the earlier study is missing, not clear, or has no date.
        """
        study, facts = self._find(image_id)
        source, _ = self._source(facts)
        if source.date is None:
            raise DataProblem(Problem("image", "it has no date, so no study is earlier", "restore its date"))
        day = source.date
        kinds = self._sequences_of(study)
        check_sequences(ListedStudy(facts.study_uid, day, set(kinds.values())), now)
        chosen = [one for one in study if kinds.get(one.series_uid) in now]
        before: ListedStudy | None = None
        if earlier:
            listed: dict[str, tuple[list[SeriesFacts], dict[str, str]]] = {}

            def look(other: StudyFacts) -> ListedStudy:
                series = self._pacs.series_of(other.study_uid) if other.date is None or other.date <= day else []
                listed[other.study_uid] = series, self._sequences_of(series)
                return ListedStudy(other.study_uid, other.date, set(listed[other.study_uid][1].values()))

            others = self._pacs.other_studies(facts)[:_MOST_STUDIES]
            before = earlier_with(map(look, others), day, earlier)
            series, kinds = listed[before.uid]
            chosen += [one for one in series if kinds.get(one.series_uid) in earlier]
        with self._timeline(chosen) as timeline:
            here = read_sequences(timeline.study(facts.study_uid), now, THIS, image_id)
            then = read_sequences(timeline.study(before.uid), earlier, EARLIER) if before else None
        for where, read in ((THIS, here), (EARLIER, then)):
            for name, volume in (read.volumes if read else {}).items():
                check_axes(volume, f"{name} series of {where}")
        return here, then

    def _sequences_of(self, series: Sequence[SeriesFacts]) -> dict[str, str]:
        """What MR series are, by their headers; those that these do not tell are left out."""
        found = {}
        for one in series:
            if one.modality == "MR" and not one.ours:
                header = self._pacs.header(one)
                description = str(header.get("SeriesDescription") or "")
                found[one.series_uid] = sequence_of(is_t1(header), has_contrast(header), description)
        return {uid: name for uid, name in found.items() if name}

    @contextmanager
    def courses(self, image_id: str) -> Iterator[Timeline]:
        """The courses of radiotherapy of an image's patient; their files are there until the block ends.

        Raises:
            NotFound: the PACS does not hold the image.
            Unavailable: the PACS does not answer.
            DataProblem: the patient has no id.
        """
        every = self._of_patient(*self._find(image_id))
        with self._timeline([one for one in every if one.modality in _COURSES and not one.ours]) as timeline:
            yield timeline

    @contextmanager
    def outlined_studies(self, image_id: str) -> Iterator[Timeline]:
        """The studies of an image's patient that hold outlines, with the MRs that these lie on, and the image's own.

        The files are there until the block ends. The problems say which studies were not looked at.

        Raises:
            NotFound: the PACS does not hold the image.
            Unavailable: the PACS does not answer.
            DataProblem: the patient has no id.
        """
        study, facts = self._find(image_id)
        others = self._pacs.other_studies(facts)
        listed = [*study, *(one for other in others[:_MOST_STUDIES] for one in self._pacs.series_of(other.study_uid))]
        outlines = [one for one in listed if one.has_outlines and not one.ours]
        drawn_on: set[str] = set()
        for outline in outlines:
            # Where it names no series, its frame of reference alone tells.
            beside = {one.series_uid for one in listed if one.study_uid == outline.study_uid}
            drawn_on |= self._pacs.named_series(outline) or beside
        images = [one for one in listed if one.modality == "MR" and not one.ours]
        chosen = [one for one in images if one.series_uid in drawn_on or one == facts]
        problems = []
        if bare := len({one.study_uid for one in images} - {one.study_uid for one in chosen}):
            what = f"of {bare} of the patient's studies nothing is outlined, so that they do not count"
            problems.append(Problem("study", what, "outline the lesions if one is the baseline or the nadir"))
        if len(others) > _MOST_STUDIES:
            what = f"{len(others) - _MOST_STUDIES} older ones were not looked through"
            problems.append(Problem("study", what, "measure them with scripts/measure_response.py"))
        with self._timeline([*chosen, *outlines]) as timeline:
            yield replace(timeline, problems=(*timeline.problems, *problems))

    def mr_in_frame(self, image_id: str, frame_uid: str) -> Volume:
        """An MR of an image's patient that lies in a frame of reference, a contrast T1 if there is one.

        Raises:
            NotFound: the PACS does not hold the image.
            Unavailable: the PACS does not answer.
            DataProblem: there is none.
        """
        inside = []
        for one in self._of_patient(*self._find(image_id)):
            if one.modality == "MR" and not one.ours:
                header = self._pacs.header(one)
                if frame_uid and str(header.get("FrameOfReferenceUID") or "") == frame_uid:
                    inside.append((not (is_t1(header) and has_contrast(header)), one.series_uid, one))
        if not inside:
            what = "it lies in a frame of reference in which the patient has no MR"
            raise DataProblem(Problem("dose", what, "export the MR that the plan was made on"))
        return self._source(min(inside)[2])[0].volume

    def _of_patient(self, study: Sequence[SeriesFacts], facts: SeriesFacts) -> list[SeriesFacts]:
        """The series of a study and of the patient's other ones, as many as are looked through."""
        others = self._pacs.other_studies(facts)[:_MOST_STUDIES]
        return [*study, *(one for other in others for one in self._pacs.series_of(other.study_uid))]

    def _contrast_t1(self, facts: SeriesFacts) -> bool:
        header = self._pacs.header(facts)
        return bool(is_t1(header) and has_contrast(header))

    @contextmanager
    def _timeline(self, chosen: Sequence[SeriesFacts]) -> Iterator[Timeline]:
        """The time line of some series of one patient; its files are there until the block ends."""
        with tempfile.TemporaryDirectory(prefix=f".partial-{os.getpid()}-", dir=self._root) as name:
            for number, facts in enumerate(chosen):
                folder = Path(name) / str(number)
                folder.mkdir()
                if facts.modality == "MR":  # the copy that is kept, without copying it
                    with self._lock(facts.series_uid):
                        for file in self._downloaded(facts).iterdir():
                            (folder / file.name).hardlink_to(file)
                else:
                    self._save(facts, folder)
            found = timelines(scan_folder(Path(name)))
            if len(found) > 1 or (chosen and not found):
                what = "the patient's studies cannot be linked: the patient id is none, or is not the same"
                raise DataProblem(Problem("patient", what, "have the ids corrected in the PACS"))
            yield next(iter(found.values()), Timeline((), (), (), ()))

    def _save(self, facts: SeriesFacts, folder: Path) -> None:
        """Write the instances of a series into a folder."""
        for instance in self._pacs.retrieve(facts):
            uid = _checked_uid(str(instance.get("SOPInstanceUID") or ""))
            instance.save_as(folder / f"{uid}.dcm", write_like_original=False)

    def study_of(self, image_id: str) -> str:
        entry = self._datastore.objects.get(image_id)
        return str(entry.image.info.get("StudyInstanceUID", image_id)) if entry else image_id

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        return list(LocalDatastore.datalist(self, full_path))

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        raise DataProblem(Problem("image", "this server reads from a PACS", "send the series to the PACS"))

    def remove_image(self, image_id: str) -> None:
        """Forget what is kept of a series; the PACS keeps it."""
        self._known(image_id)
        with self._lock(image_id), self._changing():
            if image_id in self._datastore.objects:
                LocalDatastore.remove_image(self, image_id)
            shutil.rmtree(self._root / image_id, ignore_errors=True)

    @contextmanager
    def next_set(self, image_id: str) -> Iterator[int]:
        """The number of the next set of results in an image's study; others that store there wait until the block ends.

        Raises:
            NotFound: the PACS does not hold the image.
            Unavailable: the PACS does not answer.
        """
        _, facts = self._find(image_id)
        with FileLock(self._root / f".storing_{md5_digest(facts.study_uid)[:2]}.lock"):
            study = self._pacs.study_of(image_id)
            yield 1 + max((set_number(one.description) for one in study if one.ours), default=0)

    def _known(self, image_id: str) -> None:
        self._find(image_id)

    def _mrs(self) -> list[SeriesFacts]:
        return self._lists.get("MR", lambda: self._pacs.list_series(self._search_filter))

    def _find(self, image_id: str) -> tuple[list[SeriesFacts], SeriesFacts]:
        """The series of the study, and the one of this id."""
        if not (isinstance(image_id, str) and UID.fullmatch(image_id)):
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
            check_axes(source.volume, "MR series")
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
        with tempfile.TemporaryDirectory(prefix=f".partial-{os.getpid()}-", dir=self._root) as name:
            part = Path(name) / "series"
            part.mkdir()
            self._save(facts, part)
            if folder.exists():  # the series has changed in the PACS
                folder.rename(Path(name) / "old")
                (self._root / f"{facts.series_uid}.nii.gz").unlink(missing_ok=True)
            part.rename(folder)
        return folder

    def _register(self, facts: SeriesFacts) -> None:
        """Note the series in the index; of the patient it holds nothing."""
        info = self._dicom_info(facts.series_uid, facts)
        with self._changing():
            entry = ImageLabelModel(image=DataModel(info=info, ext=".nii.gz"))
            self._datastore.objects.setdefault(facts.series_uid, entry)
            self._update_datastore_file()

    def _dicom_info(self, series_id: str, facts: SeriesFacts | None = None) -> dict[str, Any]:
        facts = facts or self._find(series_id)[1]
        return {
            "ts": int(time.time()),
            "name": f"{series_id}.nii.gz",
            "SeriesInstanceUID": series_id,
            "StudyInstanceUID": facts.study_uid,
            "Modality": facts.modality,
        }

    def _treated(self, study: list[SeriesFacts], others: Sequence[StudyFacts]) -> tuple[tuple[str, Date], ...]:
        # The study's own objects are listed with the date of their series, others with that of their study.
        own = [(one.modality, one.date) for one in study if one.modality.startswith("RT") and one.date and not one.ours]
        return (*own, *(found for other in others for found in other.treatment_dates))

    def _publish(self, image_id: str, label: Path, info: Mapping[str, Any]) -> str:
        """Send a label map to the PACS as DICOM Segmentation of its series."""
        source, _ = self._source(self._find(image_id)[1])
        values = read_label_map(label, source.volume, "label")
        described = _described(info)
        drawings = []
        for index, (value, mask) in enumerate(values.items()):
            name, colour = described[index] if index < len(described) else ("", None)
            drawings.append(Drawing(name or f"label {value}", mask, colour))
        user = str(info.get("user") or "")
        made = submitted_segmentation(source, drawings, login="" if user == LOCAL_USER.username else user)
        self._pacs.store(made)
        return str(made.SOPInstanceUID)


def _described(info: Mapping[str, Any]) -> list[tuple[str, tuple[int, int, int] | None]]:
    """Name and, if it is one, colour of each value of a label: all that goes from a client into a DICOM object."""
    listed = info.get("label_info")
    described: list[tuple[str, tuple[int, int, int] | None]] = []
    for entry in listed if isinstance(listed, list) else []:
        given = entry if isinstance(entry, dict) else {}
        parts, colour = given.get("color"), None
        if isinstance(parts, list) and len(parts) >= 3 and all(isinstance(part, int | float) for part in parts[:3]):
            red, green, blue = (int(min(max(part, 0), 255)) for part in parts[:3])
            colour = (red, green, blue)
        described.append((segment_label(str(given.get("name") or "")), colour))
    return described


def _checked_uid(uid: str) -> str:
    if not UID.fullmatch(uid):
        raise DataProblem(Problem("image", "the PACS sent an object without a valid UID", "correct it in the PACS"))
    return uid
