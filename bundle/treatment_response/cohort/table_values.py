"""Dates and numbers in the cells of a table: read in a form that means one thing, or refused by a sentence."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import date as Date
from datetime import timedelta

DAY_REMEDY = "write a whole number of days, or the date as 2024-05-31 (year-month-day)"
ISO_REMEDY = "write the date as 2024-05-31 (year-month-day), or leave the cell empty"
"""What to do about a date that cannot be read."""
_FIRST_YEAR = 1900

_MONTHS: Mapping[str, int] = {
    name: number
    for number, names in enumerate(
        (
            # English, German and French, without accents and dots.
            "january jan januar janner jaenner janvier janv",
            "february feb februar feber fevrier fevr fev",
            "march mar marz maerz mrz mars",
            "april apr avril avr",
            "may mai",
            "june jun juni juin",
            "july jul juli juillet juil",
            "august aug aout",
            "september sep sept septembre",
            "october oct oktober okt octobre",
            "november nov novembre",
            "december dec dezember dez decembre",
        ),
        start=1,
    )
    for name in names.split()
}
_TIME = (
    r"(?:[T ]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
    r"\s*(?:[AaPp][Mm]|Z|[+-]\d{2}:?\d{2})?)?"
)
_LETTERS = r"[^\W\d_]+"
_WORD = rf"(?P<word>{_LETTERS})\.?"
_BETWEEN = r"[\s./,-]*"
_FORMS = tuple(
    re.compile(form + _TIME)
    for form in (
        r"(?P<year>\d{4})(?P<separator>[-./])(?P<month>\d{1,2})(?P=separator)(?P<day>\d{1,2})",  # 2024-05-31
        r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4}|\d{2})",  # 31.05.2024
        # 5/31/2024
        r"(?P<first>\d{1,2})(?P<separator>[/-])(?P<other>\d{1,2})(?P=separator)(?P<year>\d{4}|\d{2})",
        rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th|er|\.)?{_BETWEEN}{_WORD}{_BETWEEN}(?P<year>\d{{4}}|\d{{2}})",  # 31 May 2024
        rf"{_WORD}{_BETWEEN}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s./,-]+(?P<year>\d{{4}}|\d{{2}})",  # May 31, 2024
        rf"(?P<year>\d{{4}}){_BETWEEN}{_WORD}{_BETWEEN}(?P<day>\d{{1,2}})",  # 2024-May-31
    )
)
# DICOM's DA, and DT with its time.
_DICOM = re.compile(r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})(?:\d{6}(?:\.\d{1,6})?(?:[+-]\d{4})?)?")
_ABSENT = {"na", "n/a", "n.a.", "nan", "nat", "none", "null", "unknown", "unbekannt", "inconnu", "?", "-", "--", "tbd"}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
# One comma, and not before just three digits: "1,234" may be thousands. "0,234" cannot be.
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d*,(?!\d{3}$)\d*|0?,\d+)")
_SHOWN_NUMBER = re.compile(r"[-+]?[.,]?[0-9][0-9., '’]{0,9}(?:[eE][-+]?[0-9]{1,4})?")
# What is left of a text without its words: a day number, DICOM's digits, or two to three parts and a time.
_SHOWN_DATE = re.compile(
    r"\d{1,6}(?:[.,]\d+)?|(?:18|19|20|21)\d{6}(?:\d{6})?|"
    r"(?:\d{4}|\d{1,2})(?:[-./, ]+(?:\d{4}|\d{1,2})){1,2}\.?(?: ?\d{1,2}:[\d:.+ ]{2,20})?"
)
_WORDS_OF_DATES = {"t", "z", "am", "pm", "st", "nd", "rd", "th", "er"}


def parse_date(text: str, today: Date | None = None) -> Date | None:
    """Read a date in one of the forms that mean one day only.

    Forms: ``2024-05-31``, ``20240531``, ``31.05.2024``, ``31 May 2024``, ``31-Dez-2023``, ``20 déc. 2023``, ``May 31,
    2024``, and ``5/31/2024`` where one part is above 12 or both are equal; each with a time of day if wanted.

    Args:
        text: the cell.
        today: dates later than the day after it are refused; the computer's date by default.

    Returns:
        The day; ``None`` for an empty cell.

    Raises:
        ValueError: any other text. The sentence goes behind the column's name (``is ambiguous: …``) and repeats the
            text only if that is made like a date.
    """
    text = _plain(text)
    if not text:
        return None
    if text.casefold() in _ABSENT:
        raise ValueError(f"holds '{text}' instead of a date")
    match = _DICOM.fullmatch(text) or next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if match is None:
        raise ValueError(_why_no_date(text))
    parts = match.groupdict()
    if len(parts["year"]) == 2:
        raise ValueError(f"has a year of two digits: {shown_date(text)}")
    if not _is_time(parts):
        raise ValueError(f"has an impossible time of day: {shown_date(text)}")
    month, day = _month_and_day(parts, text)
    try:
        found = Date(int(parts["year"]), month, day)
    except ValueError:
        raise ValueError(f"is no day of the calendar: {shown_date(text)}") from None
    if found.year < _FIRST_YEAR:
        raise ValueError(f"lies before {_FIRST_YEAR}: {shown_date(text)}")
    if found > (today or Date.today()) + timedelta(days=1):
        raise ValueError(f"lies in the future: {shown_date(text)}")
    return found


def parse_number(text: str, decimal_comma: bool = False) -> float | None:
    """Read a finite number.

    Args:
        text: the cell.
        decimal_comma: whether ``18,5`` is 18.5; only where the table's separator is no comma.

    Returns:
        The number; ``None`` for an empty cell.

    Raises:
        ValueError: any other text, thousands separators among them. The sentence goes behind the column's name.
    """
    text = _plain(text)
    if not text:
        return None
    if text.casefold() in _ABSENT:
        raise ValueError(f"holds '{text}' instead of a number")
    number = text
    if "," in text:
        if not decimal_comma or "." in text or not _DECIMAL_COMMA.fullmatch(text):
            raise ValueError(f"holds a comma that may separate thousands or decimals: {_shown_number(text)}")
        number = text.replace(",", ".")
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"is no number: {_shown_number(text)}")
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"is no finite number: {_shown_number(text)}")
    return value


def parse_day(text: str) -> tuple[int, bool] | None:
    """Read a day that is counted from any fixed day, or a date.

    Returns:
        The day as a whole number, and whether it was a date (then days since 0001-01-01, plus 1); ``None`` for an empty
        cell.

    Raises:
        ValueError: neither. The sentence goes behind the column's name.
    """
    text = _plain(text)
    if re.fullmatch(r"[+-]?\d{1,6}(?:\.0*)?", text):
        return int(text.split(".")[0]), False
    if _NUMBER.fullmatch(text) and not _DICOM.fullmatch(text):
        raise ValueError(f"is neither a whole number of days nor a date: {_shown_number(text)}")
    day = parse_date(text)
    return None if day is None else (day.toordinal(), True)


def shown_date(text: str) -> str:
    """The text in quotes if it is made like a date, else words in its place: free text is never shown."""
    words = {_bare(word) for word in re.findall(_LETTERS, text)}
    rest = re.sub(_LETTERS, "", text).strip()
    is_like_a_date = words <= _WORDS_OF_DATES | set(_MONTHS) and _SHOWN_DATE.fullmatch(rest)
    return f"'{text}'" if is_like_a_date else "a text that is not shown"


def _shown_number(text: str) -> str:
    return f"'{text}'" if _SHOWN_NUMBER.fullmatch(text) else "a text that is not shown"


def _plain(text: str) -> str:
    """Without marks that no eye sees, and with plain spaces and ASCII digits."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).replace("\u200b", "").replace("\ufeff", "")).strip()


def _bare(word: str) -> str:
    """A month's name without accents, in small letters."""
    apart = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _month_and_day(parts: Mapping[str, str | None], text: str) -> tuple[int, int]:
    if word := parts.get("word"):
        if _bare(word) not in _MONTHS:
            raise ValueError("names a month that is not known (English, German and French ones are)")
        return _MONTHS[_bare(word)], int(str(parts["day"]))
    if parts.get("first") is None:
        return int(str(parts["month"])), int(str(parts["day"]))
    first, other = int(str(parts["first"])), int(str(parts["other"]))
    if first != other and first <= 12 and other <= 12:
        raise ValueError(f"is ambiguous, the day or the month may come first: {shown_date(text)}")
    return (other, first) if first > 12 else (first, other)


def _is_time(parts: Mapping[str, str | None]) -> bool:
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    return hour < 24 and minute < 60 and second < 60


def _why_no_date(text: str) -> str:
    if re.fullmatch(r"\d{5}(?:[.,]\d+)?", text):
        return f"is a spreadsheet's day number and no date: {shown_date(text)}"
    if re.fullmatch(rf"\d{{4}}|\d{{4}}[-/. ]\d{{1,2}}|(?:\d{{1,2}}|{_LETTERS})[-/. ]+\d{{4}}", text):
        return f"does not name the day: {shown_date(text)}"
    return f"is no date in a known form: {shown_date(text)}"
