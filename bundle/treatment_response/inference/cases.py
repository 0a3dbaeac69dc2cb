"""Which lesions are to be explained: those of a prepared data set, or one MR with one mask."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from treatment_response.cases.lesion_transforms import IDS, case_name
from treatment_response.cohort.dataset import load_datalist, read_dataset
from treatment_response.cohort.layout import DATALIST
from treatment_response.problems import DataProblem, Problem


def inference_cases(
    dataset_dir: str | None = None,
    image: str | None = None,
    mask: str | None = None,
    sessions: Sequence[str] = ("ses-01",),
    folds: Collection[int] | None = None,
) -> list[dict[str, Any]]:
    """The lesions, those of one MR after each other.

    Args:
        dataset_dir: a prepared data set; not looked at when ``image`` is given. Its lesions without a label are among
            the cases.
        image: one MR, in any format that MONAI reads (NIfTI, NRRD, …).
        mask: its lesion's mask on the same grid; voxels above 0 are the lesion.
        sessions: of the data set.
        folds: of the data set; all by default.

    Returns:
        One dictionary per lesion: ``image`` and ``mask`` (absolute paths), ``subject``, ``session``, ``lesion``,
        ``fold`` and ``dataset`` (the data set's name; both None for a single MR), ``contrast_named`` (whether the
        file's BIDS name says that contrast was given).

    Raises:
        DataProblem: image without mask or the reverse, files that are missing (all of them at once), no lesion left, or
            neither a data set nor an image.
    """
    if (image is None) != (mask is None):
        given, absent = ("--image", "--mask") if image is not None else ("--mask", "--image")
        raise DataProblem(Problem(given, f"it was given without {absent}", f"give {absent} too"))
    if image is not None and mask is not None:
        paths = {"image": str(Path(image).resolve()), "mask": str(Path(mask).resolve())}
        # Ids of its own: a file's name or folder could be a patient's.
        ids = {"subject": "sub-single", "session": "ses-01", "lesion": "L01"}
        cases: list[dict[str, Any]] = [
            {**paths, **ids, "fold": None, "dataset": None, "contrast_named": "_ce-" in Path(image).name}
        ]
    elif dataset_dir is not None:
        chosen = load_datalist(dataset_dir, sessions=sessions, folds=folds, unlabelled=True)
        name = read_dataset(dataset_dir)["name"]
        cases = [
            {key: sample[key] for key in ("image", "mask", *IDS, "fold")}
            | {"dataset": name, "contrast_named": "_ce-" in Path(sample["image"]).name}
            for sample in chosen
        ]
        cases.sort(key=lambda case: tuple(case[key] for key in IDS))
    else:
        raise DataProblem(Problem("inference", "there is no input", "give --dataset_dir, or --image and --mask"))
    missing = [
        Problem(case_name(case), f"the {key} file is missing", "check its path, or prepare the data set again")
        for case in cases
        for key in ("image", "mask")
        if not Path(case[key]).is_file()
    ]
    if missing:
        raise DataProblem(*missing)
    return cases


def cases_if_there(
    dataset_dir: str,
    image: str | None = None,
    mask: str | None = None,
    sessions: Sequence[str] = ("ses-01",),
    folds: Collection[int] | None = None,
) -> list[dict[str, Any]]:
    """`inference_cases`, or none where no data set lies in the folder, so that a config can be looked at without one.

    `check_cases` comes before a run.
    """
    if image is None and mask is None and not (Path(dataset_dir) / DATALIST).is_file():
        return []
    return inference_cases(dataset_dir, image, mask, sessions, folds)


def check_cases(cases: Sequence[dict[str, Any]], dataset_dir: str) -> None:
    """Refuse to run without a case.

    Raises:
        DataProblem: there is none.
    """
    if not cases:
        what = f"there is no {DATALIST} in {dataset_dir}"
        remedy = "name the folder that scripts/prepare_dicom.py wrote (--dataset_dir), or give --image and --mask"
        raise DataProblem(Problem("inference", what, remedy))
