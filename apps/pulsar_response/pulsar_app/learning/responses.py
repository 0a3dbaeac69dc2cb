"""How each lesion responded, as a table or a saved label tells it: what training through the server learns from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from treatment_response.classes import CLASS_NAMES
from treatment_response.cohort.labels import NON_RESPONSE, RESPONSE
from treatment_response.cohort.table_file import read_table_file
from treatment_response.files import whole_file
from treatment_response.inference.volume_files import EXTENSIONS
from treatment_response.problems import DataProblem, Problem

COLUMNS = ("image", "roi", "response")
TO_FILL_IN = "responses_to_fill_in.csv"


class Answer(StrEnum):
    """What is said about one lesion."""

    RESPONSE = CLASS_NAMES[RESPONSE]
    NON_RESPONSE = CLASS_NAMES[NON_RESPONSE]
    EXCLUDE = "exclude"
    """The lesion is not to be used."""

    @property
    def label(self) -> int:
        """1 response, 0 non-response."""
        return RESPONSE if self is Answer.RESPONSE else NON_RESPONSE


_VALUES = {str(answer): answer for answer in Answer} | {"1": Answer.RESPONSE, "0": Answer.NON_RESPONSE}
HOW = f"write {', '.join(_VALUES)}"


@dataclass(frozen=True)
class ImageResponses:
    """What is known about one image's lesions.

    Attributes:
        responses: by ROI name, which may be empty where the image has one lesion.
        subject: the patient, in words of whoever wrote the table; empty where the image itself tells patients apart.
    """

    responses: Mapping[str, Answer] = field(default_factory=dict)
    subject: str = ""

    def of(self, roi: str, only_one: bool) -> Answer | None:
        """The response of a lesion; None where it is not known.

        Args:
            roi: the lesion's name.
            only_one: whether the image has no other lesion.
        """
        if roi in self.responses:
            return self.responses[roi]
        return self.responses.get("") if only_one else None


def read_table(path: Path) -> dict[str, ImageResponses]:
    """Read a table of responses.

    Columns: ``image`` (its id in the datastore, the file's name will do), ``roi`` (may be empty where the image has one
    lesion), ``response`` (``response`` or 1, ``non-response`` or 0, ``exclude`` for a lesion not to be used, empty
    where it is not known yet) and, where the images cannot tell patients apart, ``subject``. Others are not looked at.

    Returns:
        By image id.

    Raises:
        DataProblem: every fault of the table at once.
    """
    table = read_table_file(path, "--conf responses", COLUMNS, ("subject",))
    problems = [*table.problems]
    responses: dict[str, dict[str, Answer]] = {}
    subjects: dict[str, str] = {}
    for row in table.rows:
        where, image, roi, subject = row.where, _stem(row.text("image")), row.text("roi"), row.text("subject")
        if not image:
            problems.append(Problem(where, "the image is empty", "give the image's id in the datastore"))
            continue
        if subjects.setdefault(image, subject) != subject:
            problems.append(Problem(where, "the image has another subject in an earlier row", "correct one of them"))
        known = responses.setdefault(image, {})
        text = row.text("response").lower()
        if not text:
            continue
        if text not in _VALUES:
            problems.append(Problem(where, "the response is not one that is known", HOW))
        elif roi in known:
            problems.append(Problem(where, "the lesion of this image is listed twice", "remove one row"))
        else:
            known[roi] = _VALUES[text]
    if problems:
        raise DataProblem(*problems)
    return {image: ImageResponses(known, subjects[image]) for image, known in responses.items()}


def known_responses(datastore: Datastore, table: Path | None) -> dict[str, ImageResponses]:
    """Everything that is known: the table, and what was saved with final labels.

    A label's info may hold ``{"responses": {"GTV_1": "response"}, "subject": "007"}``. An image with a final label is
    part of the answer even if no response of it is known, because somebody meant it to be used.

    Args:
        datastore: of the server.
        table: see `read_table`; None without one.

    Returns:
        By image id.

    Raises:
        DataProblem: the table names images that are not in the datastore, or contradicts a saved label; every fault.
    """
    images = set(datastore.list_images())
    known = read_table(table) if table else {}
    problems = [
        Problem(f"image {image}", "the table of responses names it, but it is not in the datastore", "correct its id")
        for image in sorted(set(known) - images)
    ]
    for image in sorted(images):
        if datastore.get_label_by_image_id(image, DefaultLabelTag.FINAL):
            try:
                saved = from_label_info(image, datastore.get_label_info(image, DefaultLabelTag.FINAL))
                known[image] = _merged(image, known.get(image, ImageResponses()), saved)
            except DataProblem as error:
                problems += error.problems
    if problems:
        raise DataProblem(*problems)
    return known


def from_label_info(image: str, info: Mapping[str, Any]) -> ImageResponses:
    """The responses that were saved with a label.

    Raises:
        DataProblem: they are there, but not as a dictionary of ROI names and known words.
    """
    # A client's params come at the top; what inference saved lies one level deeper and holds no responses.
    given, subject = info.get("responses", {}), info.get("subject", "")
    where = f"the label of image {image}"
    if not isinstance(given, Mapping) or not isinstance(subject, str):
        raise DataProblem(Problem(where, "its responses are no dictionary of ROI names", "save the label again"))
    # An ROI's name can be a person's, and what is told here stands in logs.
    wrong = [number for number, value in enumerate(given.values(), 1) if str(value).strip().lower() not in _VALUES]
    if wrong:
        what = f"of its {len(given)} responses number {', '.join(map(str, wrong))} is not one that is known"
        raise DataProblem(Problem(where, what, HOW))
    return ImageResponses({str(roi): _VALUES[str(value).strip().lower()] for roi, value in given.items()}, subject)


def write_to_fill_in(path: Path, lesions: Iterable[tuple[str, str, float]]) -> None:
    """Write a table of lesions whose response is missing, for a person to fill in.

    Args:
        path: of the table.
        lesions: image id, ROI name and volume in mm³.
    """
    rows = [
        {"image": image, "roi": roi, "response": "", "subject": "", "volume_mm3": f"{volume:.0f}"}
        for image, roi, volume in lesions
    ]
    with whole_file(path) as partial:
        pd.DataFrame(rows).to_csv(partial, index=False)


def _merged(image: str, first: ImageResponses, second: ImageResponses) -> ImageResponses:
    clash = [roi for roi in first.responses if second.responses.get(roi, first.responses[roi]) != first.responses[roi]]
    if clash:
        what = f"the table and the saved label say different things about {len(clash)} of its lesions"
        raise DataProblem(Problem(f"image {image}", what, "correct one of them"))
    if first.subject and second.subject and first.subject != second.subject:
        what = "the table and the saved label name different subjects"
        raise DataProblem(Problem(f"image {image}", what, "correct one of them"))
    return ImageResponses({**first.responses, **second.responses}, first.subject or second.subject)


def _stem(image: str) -> str:
    for extension in EXTENSIONS:
        if image.endswith(extension):
            return image.removesuffix(extension)
    return image
