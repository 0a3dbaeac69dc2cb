"""The volumes that a model declares as its inputs, found by name: in the request's own image and around it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from treatment_response.inference.declared_inputs import DeclaredInput
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

from pulsar_app.studies.atlas import ATLAS_FINDERS
from pulsar_app.studies.brain import brain_of_this_series
from pulsar_app.studies.image_file import read_image_apart
from pulsar_app.studies.over_time import (
    contrast_t1_before_radiotherapy,
    dose_of_finished_courses,
    earlier_contrast_t1,
    eqd2_of_finished_courses,
    look_for_contrast_t1_before_radiotherapy,
    look_for_dose,
    look_for_earlier_contrast_t1,
    look_for_eqd2,
)
from pulsar_app.studies.search import FoundInput, Search


def this_series(search: Search) -> FoundInput:
    """The image that the request names, as it is."""
    return FoundInput(search.image.volume, "this series")


def this_contrast_t1(search: Search) -> FoundInput:
    """The image that the request names, which must be a T1 with contrast; a warning where its headers do not say.

    Raises:
        DataProblem: its headers say that it is none.
    """
    source = search.image.source
    if source is None:
        return this_series(search)
    for stated, denied in ((source.contrast, "that no contrast was given"), (source.t1, "that it is no T1")):
        if stated is False:
            what = f"the image's headers say {denied}, and the model needs a T1 with contrast"
            raise DataProblem(Problem("this contrast T1", what, "open the T1 with contrast of this study"))
    silent = [name for stated, name in ((source.contrast, "contrast"), (source.t1, "T1 weighting")) if stated is None]
    warnings = tuple(f"The image's headers say nothing about {name}; a T1 with contrast is needed." for name in silent)
    return FoundInput(search.image.volume, "this series", warnings)


FINDERS: dict[str, Callable[[Search], FoundInput]] = {
    "this series": this_series,
    "this contrast T1": this_contrast_t1,
    "earlier contrast T1": earlier_contrast_t1,
    "contrast T1 before radiotherapy": contrast_t1_before_radiotherapy,
    "dose of finished courses": dose_of_finished_courses,
    "EQD2 of finished courses": eqd2_of_finished_courses,
    "brain of this series": brain_of_this_series,
    **ATLAS_FINDERS,
}
"""By the names that a config's ``inputs`` uses under ``find``; they raise `DataProblem` where there is nothing."""
LOOKS: dict[str, Callable[[Search], object]] = {
    "this contrast T1": this_contrast_t1,
    "earlier contrast T1": look_for_earlier_contrast_t1,
    "contrast T1 before radiotherapy": look_for_contrast_t1_before_radiotherapy,
    "dose of finished courses": look_for_dose,
    "EQD2 of finished courses": look_for_eqd2,
}
"""Of finders whose input may be missing: the quick part, which raises the same problems and registers nothing."""
BY_OUTLINE = ("this series", "each outline")
"""What a model finds that answers outline by outline, see `pulsar_app.studies.study.find`."""


def check_finders(inputs: Mapping[str, DeclaredInput], known: Collection[str]) -> None:
    """Refuse a model whose inputs nobody could find.

    Args:
        inputs: of the model. known: names of finders.

    Raises:
        DataProblem: naming the finders that there are.
    """
    problems = [
        Problem(
            "config",
            f"'inputs' finds {name} by {wanted.find[:60]!r}, which is none",
            f"use {' or '.join(map(repr, known))}",
        )
        for name, wanted in inputs.items()
        if wanted.find not in known
    ]
    if problems:
        raise DataProblem(*problems)


def find_inputs(search: Search, inputs: Mapping[str, DeclaredInput]) -> dict[str, FoundInput]:
    """Find all inputs that a model declares.

    An image of a prepared data set brings the other images of its case under their own names; what it does not bring,
    and everything for other images, is found as the model declares.

    Raises:
        DataProblem: all inputs that are missing, each with its name; those that one thing keeps away, together.
    """
    images: Mapping[str, Path] = search.datastore.case_images(search.image.image_id)
    found: dict[str, FoundInput] = {}
    problems: dict[int, tuple[Problem, list[str]]] = {}  # by the object: what `Search.once` refuses is one for all
    for number, (name, wanted) in enumerate(inputs.items()):
        tell(f"finding {name}", number / len(inputs))
        try:
            found[name] = _of_data_set(images[name]) if name in images else find(search, wanted.find)
        except DataProblem as problem:
            for one in problem.problems:
                problems.setdefault(id(one), (one, []))[1].append(f"'{name}'")
    if problems:
        told = [(f"input {', '.join(names)}", one) for one, names in problems.values()]
        raise DataProblem(*(Problem(where, f"{one.where}: {one.what}", one.remedy) for where, one in told))
    return found


def find(search: Search, finder: str) -> FoundInput:
    """What a finder finds, once for each search.

    Raises:
        DataProblem: as of the finder.
    """
    if finder not in search.found:
        search.found[finder] = FINDERS[finder](search)
    return search.found[finder]


def _of_data_set(path: Path) -> FoundInput:
    return FoundInput(read_image_apart(path, "image of the data set"), "the prepared data set")
