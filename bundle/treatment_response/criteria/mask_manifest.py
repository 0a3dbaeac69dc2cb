"""Segmented studies from a CSV of label maps whose values are named."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path

import numpy as np

from treatment_response.cohort.label_map import read_label_map
from treatment_response.cohort.nifti_file import read_placed_nifti
from treatment_response.cohort.table_file import TableRow, read_table_file
from treatment_response.cohort.table_values import DAY_REMEDY, parse_day
from treatment_response.criteria.measurements import SegmentedStudy
from treatment_response.criteria.sources import PatientStudies
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

NEEDED = ("subject", "study", "day", "mask")
OPTIONAL = ("image", "tumour")
NOTHING = "none"
"""In the column ``tumour``: somebody looked, and nothing is there."""


@dataclass(frozen=True)
class LabelNames:
    """What the values of label maps mean.

    Attributes:
        region: values of the compartment that is judged.
        others: further compartments by name, each with its values.
    """

    region: tuple[int, ...]
    others: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Sequence[str], region: str) -> LabelNames:
        """From ``1=enhancing 2=necrosis 3=edema``.

        Args:
            texts: one per value; several values may have one name.
            region: the name of the compartment that is judged.

        Raises:
            DataProblem: a text that is none such, a value that is named twice, or no value of that name.
        """
        values: dict[str, list[int]] = defaultdict(list)
        for text in texts:
            match = re.fullmatch(r"(\d{1,3})=([\w -]+)", text)
            if not match or int(match[1]) == 0:
                what = "an entry is no value and name, such as 1=enhancing"
                raise DataProblem(Problem("--labels", what, "write each value above 0 once, with its name"))
            if any(int(match[1]) in known for known in values.values()):
                raise DataProblem(Problem("--labels", f"value {match[1]} is named twice", "name each value once"))
            values[match[2]].append(int(match[1]))
        if region not in values:
            what = f"no value is called '{region}' (there are: {', '.join(values) or 'none'})"
            raise DataProblem(
                Problem("--labels", what, "name the values of the judged compartment, or choose --region")
            )
        others = {name: tuple(numbers) for name, numbers in values.items() if name != region}
        return cls(tuple(values[region]), others)

    def split(
        self, values: Mapping[int, np.ndarray], shape: tuple[int, ...], where: str
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Masks of the region and of the others.

        Raises:
            DataProblem: a value that has no name.
        """
        known = {*self.region, *(value for numbers in self.others.values() for value in numbers)}
        if unknown := sorted(set(values) - known):
            named = ", ".join(map(str, sorted(known)))
            what = f"the mask holds the value {unknown[0]}, which has no name (named: {named})"
            raise DataProblem(Problem(where, what, "name it in --labels, or export the mask again"))

        def union(numbers: Sequence[int]) -> np.ndarray:
            masks = [values[number] for number in numbers if number in values]
            return reduce(np.logical_or, masks) if masks else np.zeros(shape, dtype=bool)

        return union(self.region), {name: union(numbers) for name, numbers in self.others.items()}


@dataclass(frozen=True)
class _Row:
    study: str
    day: int
    is_date: bool
    mask: Path
    image: Path | None
    confirmed_empty: bool
    where: str


def read_mask_manifest(path: Path, labels: LabelNames) -> list[PatientStudies]:
    """Read a CSV of label maps, one row per study.

    Columns: ``subject, study, day`` (whole days from any fixed day of the subject, or a date), ``mask`` (NIfTI or NRRD,
    relative to the CSV); optional ``image`` (on the mask's grid, for pictures) and ``tumour`` (``none`` where an empty
    mask means that nothing is there). All masks of a subject lie in one space: the same scanner coordinates after
    registration, or one atlas.

    Raises:
        DataProblem: the file is no such table; every row that cannot be read is named.
    """
    table = read_table_file(path, "manifest", NEEDED, OPTIONAL)
    problems = list(table.problems)
    rows: dict[str, list[_Row]] = defaultdict(list)
    for row in table.rows:
        try:
            rows[row.text("subject")].append(_row(row, path.parent))
        except DataProblem as error:
            problems += error.problems
    for number, own in enumerate(rows.values(), start=1):
        if len({row.is_date for row in own}) > 1:
            what = f"subject {number} has dates in some rows and whole numbers in others"
            problems.append(Problem("manifest", what, "write all days of a subject in one way"))
    if problems:
        raise DataProblem(*problems)

    return [
        PatientStudies(subject, partial(_read, tuple(own), labels), own[0].is_date)
        for subject, own in sorted(rows.items())
    ]


def _read(rows: Sequence[_Row], labels: LabelNames) -> list[SegmentedStudy]:
    return [_study(row, labels) for row in rows]


def _row(row: TableRow, folder: Path) -> _Row:
    if empty := [column for column in NEEDED if not row.text(column)]:
        raise DataProblem(Problem(row.where, f"{', '.join(empty)} is empty", "fill it in"))
    day = row.value("day", parse_day, DAY_REMEDY)
    assert day is not None  # it is not empty
    tumour = row.text("tumour").casefold()
    if tumour not in ("", NOTHING):
        raise DataProblem(Problem(row.where, f"tumour is neither empty nor '{NOTHING}'", "correct it"))
    if not re.fullmatch(r"[\w.-]{1,64}", row.text("subject")) or not re.fullmatch(r"[\w. -]{1,64}", row.text("study")):
        what = "subject or study holds signs that no file name may have"
        raise DataProblem(Problem(row.where, what, "use letters, digits, '-', '_' and '.', at most 64"))
    image = folder / row.text("image") if row.text("image") else None
    where = f"manifest row {row.number}"
    return _Row(row.text("study"), *day, folder / row.text("mask"), image, tumour == NOTHING, where)


def _study(row: _Row, labels: LabelNames) -> SegmentedStudy:
    if row.image is not None:
        image = read_placed_nifti(row.image, f"{row.where}, image")
        values = read_label_map(row.mask, image, f"{row.where}, mask")
        grid = image
    else:
        grid = read_placed_nifti(row.mask, f"{row.where}, mask")
        values = read_label_map(row.mask, grid, f"{row.where}, mask")
    region, others = labels.split(values, grid.array.shape, row.where)
    picture = grid.array if row.image is not None else None
    if row.confirmed_empty and region.any():
        what = f"tumour says '{NOTHING}', but the mask holds {int(region.sum())} voxels of it"
        raise DataProblem(Problem(row.where, what, "correct the row or the mask"))
    return SegmentedStudy(
        row.study,
        row.day,
        Volume(region, grid.affine),
        others,
        None,
        image=picture,
        confirmed_empty=row.confirmed_empty,
    )
