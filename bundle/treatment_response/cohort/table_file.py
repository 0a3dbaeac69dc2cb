"""Tables that a user gives as CSV: read as they were meant, or refused by the name of the fault."""

from __future__ import annotations

import csv
import difflib
import io
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from pathlib import Path
from typing import TypeVar

from treatment_response.cohort.table_values import ISO_REMEDY, parse_date, parse_number
from treatment_response.problems import DataProblem, Problem

Value = TypeVar("Value")

_MOST_BYTES = 50_000_000
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SAVE_AS_CSV = "save it as 'CSV UTF-8'"


@dataclass(frozen=True)
class TableRow:
    """One row.

    Attributes:
        where: the table and the row as a spreadsheet numbers it (the header is row 1), for messages.
        number: that number.
        cells: text without spaces around it, by column; every column of the table's that was asked for.
        decimal_comma: whether ``18,5`` means 18.5 here.
    """

    where: str
    number: int
    cells: Mapping[str, str]
    decimal_comma: bool = False

    def text(self, column: str) -> str:
        """The cell; empty if it is, or if the table has no such column."""
        return self.cells.get(column, "")

    def date(self, column: str) -> Date | None:
        """The cell as a date; ``None`` if it is empty. See :func:`parse_date`.

        Raises:
            DataProblem: it is no date that means one day only.
        """
        return self.value(column, parse_date, ISO_REMEDY)

    def number_in(self, column: str, low: float, high: float, unit: str = "") -> float | None:
        """The cell as a number above ``low`` and up to ``high``; ``None`` if it is empty.

        Args:
            unit: shown with the range.

        Raises:
            DataProblem: it is no number, or out of range.
        """
        wanted = f"a number above {low:g} and up to {high:g}{' ' * bool(unit)}{unit}"
        remedy = f"write {wanted} without its unit, or leave the cell empty"
        value = self.value(column, lambda text: parse_number(text, self.decimal_comma), remedy)
        if value is not None and not low < value <= high:
            raise DataProblem(Problem(self.where, f"{column} is {value:g} instead of {wanted}", "correct it"))
        return value

    def value(self, column: str, parse: Callable[[str], Value], remedy: str) -> Value:
        """The cell as ``parse`` reads it.

        Args:
            parse: raises a ValueError whose sentence goes behind the column's name.

        Raises:
            DataProblem: with that sentence.
        """
        try:
            return parse(self.text(column))
        except ValueError as error:
            raise DataProblem(Problem(self.where, f"{column} {error}", remedy)) from None


@dataclass(frozen=True)
class TableFile:
    """A table that was read.

    Attributes:
        rows: those that have a cell for each column. Empty rows are skipped.
        ragged: those that have more or fewer cells; their cells may stand under wrong columns.
        columns: the columns that were asked for and are there.
        unread_columns: names of the other ones, in small letters. They are free text and never shown.
        problems: ragged rows and columns whose name is nearly one that was asked for.
    """

    rows: tuple[TableRow, ...]
    ragged: tuple[TableRow, ...]
    columns: tuple[str, ...]
    unread_columns: tuple[str, ...]
    problems: tuple[Problem, ...]


def read_table_file(path: Path, where: str, needed: Sequence[str], optional: Sequence[str] = ()) -> TableFile:
    """Read a CSV in UTF-8 or UTF-16 (with its mark), separated by comma, semicolon or tab.

    Column names match in any case, and with spaces or hyphens for ``_``. Quoted cells may hold line breaks. Excel's
    first line ``sep=;`` is understood.

    Args:
        where: what the table is, for messages: ``clinical table``.
        needed: columns that must be there.
        optional: columns that are read if they are there. Others are not read.

    Raises:
        DataProblem: no such file, no CSV in a known encoding, a column that is missing or there twice, a quotation that
            does not end, or not one row with as many cells as the header.
    """
    separator, records = _records(_text(path, where), where, (*needed, *optional))
    filled = [(number, cells) for number, cells in enumerate(records, start=1) if any(map(str.strip, cells))]
    (_, header), *rest = filled or [(1, [])]
    places, problems = _places(header, where, needed, optional)
    rows: list[TableRow] = []
    ragged: list[TableRow] = []
    for number, cells in rest:
        given = {column: cells[place].strip() for column, place in places.items() if place < len(cells)}
        row = TableRow(f"{where} row {number}", number, given, separator != ",")
        if len(cells) == len(header):
            rows.append(row)
        else:
            ragged.append(row)
            what = f"has {len(cells)} cells, the header has {len(header)}; the row is not used"
            remedy = "give each row one cell per column, and put a cell that holds the separator in quotation marks"
            problems.append(Problem(row.where, what, remedy))
    if ragged and not rows:
        raise DataProblem(*problems)
    read = set(places.values())
    unread = tuple(_spelled(name) for place, name in enumerate(header) if place not in read)
    return TableFile(tuple(rows), tuple(ragged), tuple(places), unread, tuple(problems))


def _text(path: Path, where: str) -> str:
    """The file's text."""
    name_it = "name a CSV file that exists"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would never end
            raise DataProblem(Problem(where, "cannot be read: it is no regular file", name_it))
        if status.st_size > _MOST_BYTES:
            what = f"cannot be read: it has {status.st_size / 1e6:.0f} MB, and no such table has over 50 MB"
            raise DataProblem(Problem(where, what, name_it))
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataProblem(Problem(where, "cannot be read: there is no such file", name_it)) from None
    except OSError as error:
        raise DataProblem(Problem(where, f"cannot be read ({type(error).__name__})", name_it)) from None
    if content.startswith(_WORKBOOKS):
        raise DataProblem(Problem(where, "is a spreadsheet's workbook and no CSV", f"{_SAVE_AS_CSV} there"))
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        what = "is not UTF-8 (perhaps Windows-1252, where some letters would be read wrongly)"
        if encoding == "utf-16":
            what = "begins as UTF-16 and goes on as something else"
        raise DataProblem(Problem(where, what, _SAVE_AS_CSV)) from None
    if "\0" in text:
        what = "holds NUL characters: it is no text, or UTF-16 without its mark"
        raise DataProblem(Problem(where, what, _SAVE_AS_CSV))
    if not text.strip():
        raise DataProblem(Problem(where, "is empty", "name a CSV file with a header and rows"))
    return text


def _records(text: str, where: str, wanted: Sequence[str]) -> tuple[str, list[list[str]]]:
    """The separator, and every row as cells, the header and empty rows among them."""
    stated = re.match(r"\s*\"?sep=(.)\"?[ ]*(\r\n?|\n|$)", text, re.IGNORECASE)
    if stated and stated.group(1) not in _SEPARATORS:
        what = f"its first line names a separator that is none of {', '.join(_SEPARATORS.values())}"
        raise DataProblem(Problem(where, what, _SAVE_AS_CSV))
    separator = stated.group(1) if stated else max(_SEPARATORS, key=lambda one: _fitting(text.lstrip(), one, wanted))
    try:
        return separator, list(_reader(text[stated.end() :] if stated else text, separator))
    except csv.Error:
        what = "holds a quotation mark that opens no cell or is never closed, or a cell of over 128 kB"
        raise DataProblem(Problem(where, what, "write quotation marks within quoted cells twice")) from None


def _reader(text: str, separator: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)


def _fitting(text: str, separator: str, wanted: Sequence[str]) -> tuple[int, int]:
    """How many wanted columns, and how many columns at all, a header has if this is its separator."""
    try:
        cells = next(_reader(text, separator), [])
    except csv.Error:
        return 0, 0
    return len({_spelled(cell) for cell in cells} & set(wanted)), len(cells)


def _places(
    header: Sequence[str], where: str, needed: Sequence[str], optional: Sequence[str]
) -> tuple[dict[str, int], list[Problem]]:
    """Where each column is that was asked for, and columns that were surely meant but have a slip in their name."""
    names = [_spelled(name) for name in header]
    present = [column for column in (*needed, *optional) if column in names]
    missing = [column for column in needed if column not in names]
    slips = _slips(names, where, [column for column in (*needed, *optional) if column not in names])
    problems = []
    if missing:
        what = f"has no column {', '.join(missing)}"
        if len(header) == 1:
            what += f", and its header is one cell: the separator is none of {', '.join(_SEPARATORS.values())}"
        what += f" (it has {', '.join(present)})" if present else ""
        problems.append(Problem(where, what, "name the columns in the first row"))
    for column in present:
        if names.count(column) > 1:
            what = f"has {names.count(column)} columns named {column}"
            problems.append(Problem(where, what, "keep one of them"))
    if problems:
        raise DataProblem(*problems, *slips)
    return {column: names.index(column) for column in present}, slips


def _slips(names: Sequence[str], where: str, absent: Sequence[str]) -> list[Problem]:
    problems = []
    for place, name in enumerate(names, start=1):
        close = difflib.get_close_matches(name, absent, n=1, cutoff=0.85)
        if close:
            what = f"column {place} has nearly the name {close[0]} and is not read"
            problems.append(Problem(where, what, f"name it {close[0]} if it is meant"))
    return problems


def _spelled(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.replace("\u200b", "").strip().casefold())
