"""What a person drew and submitted through the server, as a DICOM Segmentation that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from treatment_response.class_colours import OUTLINES
from treatment_response.dicom.plain_text import printable
from treatment_response.dicom.results import frames
from treatment_response.dicom.results.model import SOURCE, SUBMITTED
from treatment_response.dicom.results.segmentation import (
    binary_segmentation,
    outline_frames,
    segment_description,
)
from treatment_response.dicom.roi_kinds import RoiKind, is_background, kind_and_words
from treatment_response.dicom.source import MrSource
from treatment_response.notice import RESEARCH_ONLY
from treatment_response.problems import DataProblem, Problem

CONTENT_LABEL = "SUBMITTED"
_NOTICE = f"{RESEARCH_ONLY}. Drawn by a person and submitted through the server; no model made it."
_NO_PARTS = str.maketrans("\\^=", "   ")
_NAME_LENGTH = 64  # characters of a person's name in DICOM


@dataclass(frozen=True)
class Drawing:
    """One region that a person drew.

    Attributes:
        name: of the region, such as ``GTV_1``.
        mask: bool ``(I, J, K)`` on the MR's grid.
        colour: RGB 0 to 255; None for a colour of ours.
    """

    name: str
    mask: np.ndarray
    colour: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class _Server:
    """What the object was made with; see :class:`treatment_response.dicom.results.model.Maker`."""

    name: str
    version: str
    notice: str
    set_number: int | None = None


def submitted_segmentation(
    source: MrSource, drawings: Sequence[Drawing], *, login: str = "", series_number: int = 9006
) -> Segmentation:
    """Make the segmentation of what a person submitted: MANUAL, one segment per region, of this moment.

    Args:
        source: the MR series that it was drawn on.
        drawings: at least one, none of them empty.
        login: the person's login name, which becomes Content Creator's Name; empty where there is no login.
        series_number: Series Number.

    Raises:
        DataProblem: nothing is drawn, or an image series that no object can refer to.
    """
    frames.check_place(source)
    if not drawings or not all(drawing.mask.any() for drawing in drawings):
        raise DataProblem(Problem("label", "it is empty, so there is nothing to store", "draw at least one voxel"))
    segments = [
        segment_description(
            number,
            drawing.name,
            drawing.colour or OUTLINES[(number - 1) % len(OUTLINES)],
            None,
            _NOTICE,
            *_codes(drawing.name),
            SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, drawing in enumerate(drawings, start=1)
    ]
    slices, pixels = outline_frames([drawing.mask for drawing in drawings])
    server = _Server("treatment-response server", version("treatment-response"), _NOTICE)
    title = f"{SUBMITTED.removeprefix(RESEARCH_ONLY).strip()}, {datetime.now():%Y-%m-%d %H:%M:%S}"
    made = binary_segmentation(source, pixels, slices, segments, server, title, CONTENT_LABEL, series_number)
    # Set here: highdicom warns of names that it finds odd, and the warning, which ends up in logs, spells them out.
    made.ContentCreatorName = printable(login).translate(_NO_PARTS)[:_NAME_LENGTH].strip()
    return made


def is_submission(dataset: Dataset) -> bool:
    """Whether an object is what a person submitted through the server."""
    return bool(dataset.get("Manufacturer") == SOURCE and dataset.get("ContentLabel") == CONTENT_LABEL)


def _codes(name: str) -> tuple[Code, Code]:
    """Segmented Property Category (CID 7150) and Type, as far as a name tells; a region without a word is a lesion."""
    kind, _ = kind_and_words(name)
    if kind is RoiKind.EDEMA:
        return codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Edema
    if kind in (RoiKind.MARGIN, RoiKind.CAVITY, RoiKind.OPTIMISATION, RoiKind.UNION, RoiKind.EARLIER):
        return codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Lesion
    if kind is not RoiKind.TARGET and is_background(name):
        return codes.cid7150.AnatomicalStructure, codes.SCT.Organ
    return codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm
