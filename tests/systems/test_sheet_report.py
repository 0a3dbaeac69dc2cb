"""The tumour board's sheets on the page of a report that knows no network."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
import rice_case
from treatment_response.class_colours import class_colour
from treatment_response.classes import classes_of
from treatment_response.problems import DataProblem
from treatment_response.report.case_inputs import read_case_inputs
from treatment_response.report.figures.dvh import cohort_dvh_figure, dvh_figure
from treatment_response.report.from_folders import report_from_folders

CLASSES = classes_of(rice_case.CLASSES)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("sheets")
    data = rice_case.write_dataset(root / "data", patients=6, apart=1)
    report_from_folders(data, [], root / "report")
    content = json.loads((root / "report" / "report.json").read_text())
    return SimpleNamespace(root=root, data=data, content=content, page=(root / "report" / "report.html").read_text())


def inside(data: Path, subject: str) -> np.ndarray:
    """Dose in the lesion, of the files themselves."""
    dose, lesion = (np.asarray(nibabel.load(data / subject / f"{name}.nii.gz").dataobj) for name in ("dose", "lesion"))
    return dose[lesion > 0]


def test_a_sheet_holds_what_the_images_hold(reported) -> None:
    sheets = {sheet["title"]: dict(sheet["rows"]) for sheet in reported.content["board"]["sheets"]}
    left = f"sub-{rice_case.NO_SHEET + 1:03d} event"
    assert left not in sheets
    assert len(sheets) == 6
    values = inside(reported.data, "sub-002")
    sheet = sheets["sub-002 event"]
    expected = f"{values.mean():.1f} / {values.max():.1f}"
    assert sheet["mean / highest dose, EQD2 Gy"] == expected
    share = (values >= 0.95 * 58).mean()
    assert sheet["inside the 95% isodose"].startswith(f"{share:.0%}, ")
    assert sheet["isodoses of the prescription, EQD2 Gy"] == "50%: 29.0, 95%: 55.1"
    assert sheet["volume"].endswith("ml (outlined)")
    assert sheet["distance to the ventricles"] == sheet["growth"] == "not computed"
    assert sheet["months since radiotherapy"] == "6.6"
    assert "No network takes part" in reported.page


def test_the_cohorts_table_has_the_medians_of_each_class(reported) -> None:
    table = reported.content["board"]["by_class"]
    assert table["columns"] == ["", *CLASSES.names]
    rows = {row[0]: row[1:] for row in table["rows"]}
    means = {name: [] for name in CLASSES.names}
    for number in range(7):
        if number != rice_case.NO_SHEET:
            means[CLASSES.names[number % 2]].append(inside(reported.data, f"sub-{number + 1:03d}").mean())
    assert rows["lesions"] == [str(len(own)) for own in means.values()] == ["4", "2"]
    for own, cell in zip(means.values(), rows["mean dose in the lesion, EQD2 Gy"], strict=True):
        assert cell.startswith(f"{np.median(own):.1f} [")
        assert cell.endswith(f"]; {len(own)}")
    assert rows["growth, ml/month"] == ["not computed", "not computed"]
    written = pd.read_csv(reported.root / "report" / "tables" / "tumour_board.csv", comment="#")
    assert len(written) == 6


def test_the_curve_crosses_the_isodose_where_the_share_is_inside(reported) -> None:
    inputs = read_case_inputs(reported.data, CLASSES)
    sheet = next(sheet for sheet in inputs.sheets if sheet.subject == "sub-001")
    axes = dvh_figure(sheet, 70.0, synthetic=True).axes[0]
    marks, curve = axes.lines[:-1], axes.lines[-1]
    assert [mark.get_xdata()[0] for mark in marks] == pytest.approx([30.0, 57.0])
    at_isodose = np.interp(57.0, curve.get_xdata(), curve.get_ydata())
    assert at_isodose == pytest.approx((inside(reported.data, "sub-001") >= 57).mean(), abs=0.03)
    assert (curve.get_ydata()[0], curve.get_ydata()[-1]) == (1, 0)
    assert axes.get_xlabel() == "dose, EQD2 Gy"
    together = cohort_dvh_figure(inputs.sheets, inputs.classes, synthetic=True).axes[0]
    thick = [line for line in together.lines if line.get_linewidth() == 3]
    assert [line.get_label() for line in thick] == ["radiation effect, median of 4", "recurrence, median of 2"]
    assert [line.get_color() for line in thick] == [class_colour(1), class_colour(0)]  # the finding is warm
    assert thick[0].get_ydata().sum() > thick[1].get_ydata().sum()  # radiation effects have the higher dose


def test_a_data_set_without_sheets_says_what_would_bring_them(reported, tmp_path) -> None:
    data = rice_case.write_dataset(tmp_path / "data", patients=6, apart=1)
    (data / "dvh.csv").unlink()
    with pytest.raises(DataProblem, match=r"dvh.csv is missing beside the other table; prepare the data set again"):
        report_from_folders(data, [], tmp_path / "report")
    (data / "tumour_board.csv").unlink()
    with pytest.raises(DataProblem, match=r"there is nothing to report on"):
        report_from_folders(data, [], tmp_path / "report")
    for name in ("tumour_board.csv", "dvh.csv"):
        (data / name).write_bytes((reported.data / name).read_bytes())
    board = pd.read_csv(data / "tumour_board.csv").assign(subject="sub-999")
    board.to_csv(data / "tumour_board.csv", index=False)
    with pytest.raises(DataProblem, match=r"a row of sub-999 event, which dvh.csv or the table of cases lacks"):
        report_from_folders(data, [], tmp_path / "report")
