"""Which lesions are to be explained: those of a prepared data set, or one MR with one mask."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from treatment_response.cases.lesion_transforms import IDS, case_name, image_names
from treatment_response.cohort.dataset import load_datalist, read_dataset
from treatment_response.cohort.layout import DATALIST
from treatment_response.problems import DataProblem, Problem


def inference_cases(
    dataset_dir: str | None = None,
    image: str | None = None,
    mask: str | None = None,
    sessions: Sequence[str] = ("ses-01",),
    folds: Collection[int] | None = None,
    images: Mapping[str, str] | None = None,
    case_list: str = "training",
) -> list[dict[str, Any]]:
    """The lesions, those of one MR after each other.

    Args:
        dataset_dir: a prepared data set; not looked at when ``image`` is given. Its lesions without a label are among
            the cases.
        image: one MR, in any format that MONAI reads (NIfTI, NRRD, …).
        mask: its lesion's mask on the same grid; voxels above 0 are the lesion.
        sessions: of the data set.
        folds: of the data set; all by default.
        images: name → file of one case of a system with several images, in place of ``image``; ``mask`` may be absent.
        case_list: of the data set, see `load_datalist`; cases without a label stand beside ``training`` alone.

    Returns:
        One dictionary per case: its images under their names and ``mask`` if it has one (absolute paths), ``subject``,
        ``session``, ``lesion`` (the case's name), ``fold`` and ``dataset`` (the data set's name; both None for a single
        case), ``contrast_named`` (whether a file's BIDS name says that contrast was given).

    Raises:
        DataProblem: image without mask or the reverse, files that are missing (all of them at once), no lesion left, or
            neither a data set nor an image.
    """
    if images is not None:
        paths = {name: str(Path(path).resolve()) for name, path in images.items()}
        taken = {"mask": str(Path(mask).resolve())} if mask is not None else {}
        ids = {"subject": "sub-single", "session": "ses-01", "lesion": "L01"}
        contrast = any("_ce-" in Path(path).name for path in paths.values())
        facts = {"images": paths, "fold": None, "dataset": None, "contrast_named": contrast}
        cases: list[dict[str, Any]] = [{**paths, **taken, **ids, **facts}]
    elif (image is None) != (mask is None):
        given, absent = ("--image", "--mask") if image is not None else ("--mask", "--image")
        raise DataProblem(Problem(given, f"it was given without {absent}", f"give {absent} too"))
    elif image is not None and mask is not None:
        paths = {"image": str(Path(image).resolve()), "mask": str(Path(mask).resolve())}
        # Ids of its own: a file's name or folder could be a patient's.
        ids = {"subject": "sub-single", "session": "ses-01", "lesion": "L01"}
        cases = [{**paths, **ids, "fold": None, "dataset": None, "contrast_named": "_ce-" in Path(image).name}]
    elif dataset_dir is not None:
        chosen = load_datalist(dataset_dir, sessions=sessions, folds=folds, unlabelled=True, case_list=case_list)
        name = read_dataset(dataset_dir)["name"]
        cases = [
            {key: sample[key] for key in (*sample["images"], "mask", "images", *IDS, "fold") if key in sample}
            | {"dataset": name, "contrast_named": any("_ce-" in Path(path).name for path in sample["images"].values())}
            for sample in chosen
        ]
        cases.sort(key=lambda case: tuple(case[key] for key in IDS))
    else:
        raise DataProblem(Problem("inference", "there is no input", "give --dataset_dir, or --image and --mask"))
    missing = [
        Problem(case_name(case), f"the {key} file is missing", "check its path, or prepare the data set again")
        for case in cases
        for key in (*image_names(case), "mask")
        if key in case and not Path(case[key]).is_file()
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
    images: Mapping[str, str] | None = None,
    case_list: str = "training",
) -> list[dict[str, Any]]:
    """`inference_cases`, or none where no data set lies in the folder, so that a config can be looked at without one.

    `check_cases` comes before a run.
    """
    if image is None and mask is None and images is None and not (Path(dataset_dir) / DATALIST).is_file():
        return []
    return inference_cases(dataset_dir, image, mask, sessions, folds, images, case_list)


def check_cases(cases: Sequence[dict[str, Any]], dataset_dir: str) -> None:
    """Refuse to run without a case.

    Raises:
        DataProblem: there is none.
    """
    if not cases:
        what = f"there is no {DATALIST} in {dataset_dir}"
        remedy = "name the folder that scripts/prepare_dicom.py wrote (--dataset_dir), or give --image and --mask"
        raise DataProblem(Problem("inference", what, remedy))


def as_it_is(case: dict[str, Any]) -> dict[str, Any]:
    """For a loader that gives one case at a time: it is the batch already."""
    return case
