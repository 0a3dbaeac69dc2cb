"""Sequences of this study and of an earlier one on an atlas, prepared as the data set was that the weights saw."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from treatment_response.cases.atlas_images import SEQUENCES, AtlasStudy, brains_on_atlas, heads_on_atlas
from treatment_response.cases.registration_cache import register_cached
from treatment_response.cohort.image_preparation import ImagePreparation
from treatment_response.dicom.studies_over_time import CONTRAST_T1, FLAIR, T1, T2
from treatment_response.dicom.study_sequences import EARLIER, THIS, ReadSequences
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

from pulsar_app.studies.pacs_datastore import PacsDatastore
from pulsar_app.studies.search import FoundInput, Search

_DICOM = {"T1": T1, "CT1": CONTRAST_T1, "T2": T2, "FLAIR": FLAIR}
_WORDS = {"T1": "T1 without contrast", "CT1": "contrast T1", "T2": "T2", "FLAIR": "FLAIR"}
_PLACES = {ImagePreparation.HEAD: "on the atlas", ImagePreparation.BRAIN: "on the atlas, brain only"}
_UNKNOWN = "The weights do not say how their images were prepared, so it is not known whether this study's are alike."
_ALIKE = "The brains were found and moved by this software; LUMIERE's own images, by DeepBraTumIA, may differ."


@dataclass(frozen=True)
class AtlasFinder:
    """Finds one sequence on the atlas. All that a model declares are prepared together, once.

    Attributes:
        sequence: of `SEQUENCES`. earlier: whether it is of the earlier study.
    """

    sequence: str
    earlier: bool
    preparation: ImagePreparation

    @property
    def name(self) -> str:
        """As a config's ``inputs`` names it."""
        return f"{'earlier ' if self.earlier else ''}{_WORDS[self.sequence]} {_PLACES[self.preparation]}"

    def __call__(self, search: Search) -> FoundInput:
        """The sequence.

        Raises:
            DataProblem: a sequence or the earlier study is missing or not clear, an operation lies between the two, or
                an image cannot be registered.
        """
        pair = search.once(f"studies, {self.preparation}", lambda: _prepare(search, self.preparation))
        study = pair.earlier if self.earlier else pair.now
        assert study is not None  # this finder is one of those that it was prepared for
        days = f"of {pair.days} day{'' if pair.days == 1 else 's'} before" if self.earlier else "of this study"
        told = f"{_WORDS[self.sequence]} {days}, {self.preparation}"
        return FoundInput(study.images[self.sequence], told, pair.warnings, pair.to_image)


@dataclass(frozen=True)
class _Pair:
    """Both studies on the atlas.

    Attributes:
        days: from the earlier one to this one.
        to_image: ``(4, 4)``, RAS mm of the atlas → RAS mm of the request's image.
    """

    now: AtlasStudy
    earlier: AtlasStudy | None
    days: int
    to_image: np.ndarray
    warnings: tuple[str, ...]


ATLAS_FINDERS = {
    finder.name: finder
    for preparation in _PLACES
    for earlier in (False, True)
    for finder in (AtlasFinder(sequence, earlier, preparation) for sequence in SEQUENCES)
}


def check_preparation(finds: Collection[str], trained_on: str | None) -> None:
    """Refuse inputs that are prepared in another way than the images that the weights were trained on.

    Args:
        finds: what a model's inputs are found by. trained_on: as ``model.json`` says it; None: it does not.

    Raises:
        DataProblem: naming both.
    """
    used = {str(ATLAS_FINDERS[find].preparation) for find in finds if find in ATLAS_FINDERS}
    if used and all(ATLAS_FINDERS[find].earlier for find in finds if find in ATLAS_FINDERS):
        what = "'inputs' finds images of the earlier study alone"
        raise DataProblem(Problem("config", what, "find one of this study too, on which maps come back"))
    if len(used) > 1:
        what = f"'inputs' mixes images of {' and '.join(sorted(used))}"
        raise DataProblem(Problem("config", what, "find all of them in one way"))
    if used and trained_on is not None and used != {trained_on}:
        what = f"'inputs' finds images as '{used.pop()}', and the weights were trained on '{trained_on}'"
        raise DataProblem(Problem("config", what, "declare the inputs as the weights need them"))


def preparation_warnings(finds: Collection[str], trained_on: str | None) -> list[str]:
    """What a reader must know of how the images were prepared, one sentence each; see `check_preparation`."""
    used = {ATLAS_FINDERS[find].preparation for find in finds if find in ATLAS_FINDERS}
    unknown = [_UNKNOWN] if used and trained_on is None else []
    return [*unknown, *([_ALIKE] if ImagePreparation.BRAIN in used else [])]


def _prepare(search: Search, preparation: ImagePreparation) -> _Pair:
    declared = [ATLAS_FINDERS[find] for find in search.finds if find in ATLAS_FINDERS]
    wanted = {earlier: [one.sequence for one in declared if one.earlier is earlier] for earlier in (False, True)}
    image, datastore = search.image, search.datastore
    if not isinstance(datastore, PacsDatastore) or image.source is None:
        what = "the sequences of studies are found in a PACS or in a prepared data set only"
        remedy = "start the server with a PACS, or prepare the data set with scripts/prepare_lumiere.py"
        raise DataProblem(Problem("sequences", what, remedy))
    tell("finding the sequences", 0)
    here, then = datastore.sequences(image.image_id, _names(wanted[False]), _names(wanted[True]))
    days = (here.date - then.date).days if then else 0
    if then and search.operation_days is not None and search.operation_days <= days:
        what = f"an operation, {search.operation_days:g} days before, lies between it and the study {days} days before"
        raise DataProblem(Problem(THIS, what, "what an operation left cannot be compared: wait for a study after it"))
    now = _on_atlas(here, wanted[False], preparation, THIS, search)
    earlier = _on_atlas(then, wanted[True], preparation, EARLIER, search) if then else None
    doubts = [f"A registration of {THIS} is doubtful: {doubt}." for doubt in now.doubts]
    doubts += [f"A registration of the {EARLIER} is doubtful: {doubt}." for doubt in earlier.doubts] if earlier else []
    to_image, doubts_of_image = _to_image(search, here, now)
    notes = [*here.notes, *(then.notes if then else ()), *doubts, *doubts_of_image]
    return _Pair(now, earlier, days, to_image, tuple(notes))


def _on_atlas(
    read: ReadSequences, wanted: Collection[str], preparation: ImagePreparation, where: str, search: Search
) -> AtlasStudy:
    scans = {name: read.volumes[_DICOM[name]] for name in SEQUENCES if name in wanted}
    if preparation is ImagePreparation.BRAIN:
        return brains_on_atlas(scans, where, search.cache)
    return heads_on_atlas(scans, where, cache=search.cache)


def _to_image(search: Search, here: ReadSequences, now: AtlasStudy) -> tuple[np.ndarray, list[str]]:
    """RAS mm of the atlas → RAS mm of the request's image, and doubts; one that is no input is registered itself."""
    for name, matrix in now.matrices.items():
        if here.series_uids[_DICOM[name]] == search.image.image_id:
            return matrix, []
    tell("registering this series", 0)
    rigid = register_cached(search.cache, here.volumes[_DICOM[now.main]], search.image.volume)
    return rigid.matrix @ now.matrices[now.main], [
        f"The registration of this series, which is no input, is doubtful: {doubt}." for doubt in rigid.doubts
    ]


def _names(sequences: Collection[str]) -> tuple[str, ...]:
    return tuple(_DICOM[name] for name in SEQUENCES if name in sequences)
