"""Tables as clinics save them: the same rows whatever the program, or a sentence that names the fault."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from treatment_response.cohort.table_file import TableFile, read_table_file
from treatment_response.problems import DataProblem

TEXT = 'patient_id,dose,day\n007,18.5,2024-05-31\n"A, B",,"31.05.2024"\n'
ROWS = [["007", "18.5", "2024-05-31"], ["A, B", "", "31.05.2024"]]


def read(path: Path, content: bytes | str, optional: tuple[str, ...] = ("day",)) -> TableFile:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table_file(path, "table", ("patient_id", "dose"), optional)


def cells(table: TableFile) -> list[list[str]]:
    return [[row.text(column) for column in ("patient_id", "dose", "day")] for row in table.rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first_line", ["", "sep={}\n"])
def test_programs_save_it_in_their_way(
    tmp_path: Path, encoding: str, separator: str, line_end: str, first_line: str
) -> None:
    text = first_line.format(separator) + TEXT.replace("A, B", "A~ B").replace(",", separator).replace("~", ",")
    table = read(tmp_path / "t.csv", text.replace("\n", line_end).encode(encoding))
    assert cells(table) == ROWS
    assert [row.number for row in table.rows] == [2, 3]
    assert table.problems == ()
    assert [row.decimal_comma for row in table.rows] == [separator != ","] * 2


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.tuples(*[st.text(st.sampled_from('ab 1,;\t"\n\r.ä'), min_size=1).map(str.strip)] * 3), min_size=1, max_size=5
    ),
    separator=st.sampled_from(",;\t"),
)
def test_quoted_cells_hold_anything(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], separator: str
) -> None:
    quoted = [["patient_id", "dose", "day"], *rows]
    lines = [separator.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in quoted]
    table = read(tmp_path_factory.mktemp("t") / "t.csv", "\n".join(lines) + "\n")
    assert cells(table) == [list(row) for row in rows if any(row)]


def test_columns_match_in_any_case_and_others_are_not_read(tmp_path: Path) -> None:
    table = read(tmp_path / "t.csv", "note, Patient ID ,DOSE\nDoe,a,1\n")
    assert cells(table) == [["a", "1", ""]]
    assert table.columns == ("patient_id", "dose")
    assert table.unread_columns == ("note",)
    assert "note" not in table.rows[0].cells


def test_empty_rows_are_skipped_and_counted(tmp_path: Path) -> None:
    table = read(tmp_path / "t.csv", "\npatient_id,dose\n\n,\n a , 1 \n\n")
    assert [(row.number, row.text("patient_id"), row.text("dose")) for row in table.rows] == [(5, "a", "1")]


@pytest.mark.parametrize("row", ["b,18,5,2024-05-31", "b,2"], ids=["more", "fewer"])
def test_ragged_rows_are_told_and_never_shifted(tmp_path: Path, row: str) -> None:
    table = read(tmp_path / "t.csv", f"patient_id,dose,day\na,1,\n{row}\nc,3,\n")
    assert [one.text("patient_id") for one in table.rows] == ["a", "c"]
    assert [one.text("patient_id") for one in table.ragged] == ["b"]
    (problem,) = table.problems
    assert f"table row 3: has {len(row.split(','))} cells, the header has 3" in str(problem)


def test_a_slip_in_a_columns_name_is_told(tmp_path: Path) -> None:
    table = read(tmp_path / "t.csv", "patient_id,dose,treatment_dat\na,1,x\n", ("treatment_date",))
    assert "column 3 has nearly the name treatment_date and is not read" in str(table.problems[0])


def workbook() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    return content.getvalue()


FAULTS = {
    "workbook": (workbook(), "is a spreadsheet's workbook and no CSV; save it as 'CSV UTF-8'"),
    "old-workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "is a spreadsheet's workbook"),
    "latin-1": ("patient_id,dose\nMüller,1\n".encode("latin-1"), "is not UTF-8"),
    "utf-16-without-mark": ("patient_id,dose\na,1\n".encode("utf-16-le"), "UTF-16 without its mark"),
    "half-utf-16": ("patient_id,dose\na,1\n".encode("utf-16")[:-1], "begins as UTF-16"),
    "empty": (b"", "is empty"),
    "blank": (b"\n \n", "is empty"),
    "only-sep": (b"sep=;\n", "has no column patient_id, dose"),
    "other-sep": (b"sep=|\npatient_id|dose\n", "a separator that is none of comma, semicolon, tab"),
    "pipes": (b"patient_id|dose\na|1\n", "its header is one cell"),
    "missing": (b"patient_id,day,Jane Doe\na,1,2\n", r"has no column dose \(it has patient_id, day\)"),
    "twice": (b"patient_id,dose,Dose\na,1,2\n", "has 2 columns named dose"),
    "open-quote": (b'patient_id,dose\n"a,1\nb,2\n', "quotation mark"),
    "stray-quote": (b'patient_id,dose\n"a"x,1\n', "quotation mark"),
    "all-ragged": (b"patient_id,dose\na,18,5\nb,18,5\n", "row 2: has 3 cells.*\n.*row 3: has 3 cells"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, fault: str) -> None:
    content, sentence = FAULTS[fault]
    with pytest.raises(DataProblem, match=sentence) as raised:
        read(tmp_path / "t.csv", content)
    assert "Doe" not in str(raised.value)


def test_only_regular_files_of_a_sane_size_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(50_000_000_000)
    sentences = {
        "pipe.csv": "no regular file",
        "huge.csv": "50000 MB",
        ".": "no regular file",
        "no.csv": "no such file",
    }
    for name, sentence in sentences.items():
        with pytest.raises(DataProblem, match=f"table: cannot be read: .*{sentence}"):
            read_table_file(tmp_path / name, "table", ("patient_id",))


def test_cells_are_told_by_row_column_and_value(tmp_path: Path) -> None:
    table = read(tmp_path / "t.csv", "patient_id;dose;day\nDOE;18,5;1/10/2024\nDOE;200,5;\nDOE;much;\n")
    first, second, third = table.rows
    assert first.number_in("dose", 0, 200) == 18.5
    with pytest.raises(DataProblem, match=r"table row 2: day is ambiguous.*'1/10/2024'; write the date as 2024-05-31"):
        first.date("day")
    with pytest.raises(DataProblem, match=r"table row 3: dose is 200\.5 instead of a number above 0 and up to 200 Gy"):
        second.number_in("dose", 0, 200, "Gy")
    with pytest.raises(DataProblem, match="table row 4: dose is no number: a text that is not shown"):
        third.number_in("dose", 0, 200)
