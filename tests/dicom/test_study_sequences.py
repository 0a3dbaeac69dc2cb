"""Which series and which earlier study count for a model's sequences, or a sentence on why none does."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from dicom_case import volume, write
from treatment_response.dicom.entries import SeriesEntry
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.studies_over_time import CONTRAST_T1, FLAIR, T1, T2, Study, timelines
from treatment_response.dicom.study_sequences import ListedStudy, check_sequences, earlier_with, read_sequences
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

NOW = date(2021, 4, 1)
WANTED = (T1, T2, FLAIR)


def listed(days: int | None, *sequences: str, name: str = "") -> ListedStudy:
    """A study so many days before; None has no date."""
    return ListedStudy(f"{days}{name}", None if days is None else NOW - timedelta(days), sequences or WANTED)


def test_the_nearest_earlier_study_that_has_all_counts() -> None:
    studies = [listed(-20), listed(0), listed(30, T1, T2), listed(None), listed(90), listed(200), listed(300)]
    taken: list[ListedStudy] = []
    found = earlier_with((taken.append(one) or one for one in studies), NOW, WANTED)  # type: ignore[func-returns-value]
    assert found is studies[4]
    assert taken == studies[:-1]  # one more is looked at, as it could be of the same day


@pytest.mark.parametrize(
    ("studies", "words"),
    [
        ([], "earlier study: the patient has none before this day; send it to the PACS under the same patient id"),
        ([listed(0)], "the patient has none before this day; 1 of the same day, which is not earlier; send"),
        ([listed(None)], "the patient has none before this day; 1 without a date; send"),
        ([listed(-5)], "the patient has none before this day; send"),
        (
            [listed(1, T1), listed(30, T2)],
            "none of 2 has T1w, T2w, FLAIR: the one 1 day before has no T2w and no",
        ),
        ([listed(30), listed(30, name="b")], "2 of one day have T1w, T2w, FLAIR, so it is not known which is meant"),
    ],
)
def test_no_earlier_study_is_one_sentence(studies: list[ListedStudy], words: str) -> None:
    with pytest.raises(DataProblem) as raised:
        earlier_with(studies, NOW, WANTED)
    assert words in str(raised.value)
    assert len(raised.value.problems) == 1


def test_missing_sequences_are_one_sentence() -> None:
    check_sequences(listed(0), WANTED)
    with pytest.raises(DataProblem) as raised:
        check_sequences(listed(0, T2, T1, T2), (CONTRAST_T1, T2, FLAIR))
    assert str(raised.value).startswith("this study: has no contrast T1 and no FLAIR series (it has: T1w, T2w); send")


def test_of_several_series_the_one_asked_for_or_the_most_even_counts(tmp_path: Path) -> None:
    image = volume()
    for name, factor in (("even", 1.0), ("thick", 2.0), ("as even", 1.02)):
        grid = Volume(image.array, image.affine @ np.diag([1.0, 1.0, factor, 1.0]))
        write(grid, tmp_path / name, f"uid {name}")
    (line,) = timelines(scan_folder(tmp_path)).values()
    (study,) = line.studies
    series = {one.files[0][0].parent.name: one for one in study.series}

    def chosen(*among: str, asked_for: str = "") -> tuple[SeriesEntry, tuple[str, ...]]:
        part = Study(study.uid, study.date, tuple(series[name] for name in among))
        read = read_sequences(part, [CONTRAST_T1], "this study", asked_for)
        (found,) = (one for one in series.values() if one.series_uid == read.series_uids[CONTRAST_T1])
        assert read.volumes[CONTRAST_T1].array.shape == image.array.shape
        return found, read.notes

    assert chosen("thick") == (series["thick"], ())
    told = "This study has 2 contrast T1 series; the one with the most even voxels counts."
    assert chosen("even", "thick") == (series["even"], (told,))
    assert chosen("even", "thick", asked_for=series["thick"].series_uid) == (series["thick"], ())
    with pytest.raises(
        DataProblem, match="has 2 contrast T1 series with voxels of one shape, so it is not known which"
    ):
        chosen("even", "as even")
