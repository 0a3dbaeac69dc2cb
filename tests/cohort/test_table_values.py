"""Dates and numbers of tables: each text means one thing, or is refused."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from treatment_response.cohort.table_values import parse_date, parse_day, parse_number

TODAY = datetime.date(2026, 1, 1)
MONTHS = {
    language: names.split()
    for language, names in {
        "English": "January February March April May June July August September October November December",
        "English short": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
        "German": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "German short": "Jan Feb Mrz Apr Mai Jun Jul Aug Sept Okt Nov Dez",
        "French": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "French short": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    }.items()
}
FORMS = {
    "ISO": lambda d, _: d.isoformat(),
    "ISO with a time": lambda d, _: f"{d.isoformat()} 00:00:00",
    "ISO with T": lambda d, _: f"{d.isoformat()}T23:59:59.5+01:00",
    "year first": lambda d, _: f"{d.year}/{d.month}/{d.day}",
    "DICOM": lambda d, _: d.strftime("%Y%m%d"),
    "DICOM with a time": lambda d, _: d.strftime("%Y%m%d") + "101530.250000",
    "German": lambda d, _: f"{d.day}.{d.month}.{d.year}",
    "German in full": lambda d, _: f"{d.day:02d}.{d.month:02d}.{d.year}",
    "day month year": lambda d, month: f"{d.day} {month} {d.year}",
    "with hyphens": lambda d, month: f"{d.day:02d}-{month}-{d.year}",
    "together": lambda d, month: f"{d.day:02d}{month.rstrip('.').upper()}{d.year}",
    "with a dot": lambda d, month: f"{d.day}. {month} {d.year}",
    "American": lambda d, month: f"{month} {d.day}, {d.year}",
    "year, month, day": lambda d, month: f"{d.year}-{month}-{d.day:02d}",
}
DAYS = st.dates(datetime.date(1900, 1, 1), TODAY)


@given(DAYS, st.sampled_from(sorted(FORMS)), st.sampled_from(sorted(MONTHS)))
def test_every_form_comes_back(day: datetime.date, form: str, language: str) -> None:
    assert parse_date(FORMS[form](day, MONTHS[language][day.month - 1]), TODAY) == day


@given(DAYS, st.sampled_from("/-"), st.booleans(), st.sampled_from(["", " 12:30", " 1:05:00 PM"]))
def test_slashes_never_mean_two_days(day: datetime.date, separator: str, month_first: bool, time: str) -> None:
    parts = (day.month, day.day) if month_first else (day.day, day.month)
    text = separator.join(map(str, (*parts, day.year))) + time
    if day.day > 12 or day.day == day.month:
        assert parse_date(text, TODAY) == day
    else:
        with pytest.raises(ValueError, match="is ambiguous"):
            parse_date(text, TODAY)


@given(st.text(st.sampled_from("0123456789-/. :,TMayz"), max_size=12))
def test_any_text_is_a_day_within_range_or_refused(text: str) -> None:
    try:
        day = parse_date(text, TODAY)
    except ValueError:
        return
    assert day is None if not text.strip() else datetime.date(1900, 1, 1) <= day <= datetime.date(2026, 1, 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1/10/2024", "is ambiguous.*'1/10/2024'"),
        ("2024-02-30", "is no day of the calendar: '2024-02-30'"),
        ("20240230", "is no day of the calendar: '20240230'"),
        ("31.05.24", "has a year of two digits: '31.05.24'"),
        ("24-05-31", "has a year of two digits"),
        ("31-May-24", "has a year of two digits: '31-May-24'"),
        ("45296", "is a spreadsheet's day number and no date: '45296'"),
        ("45296.5", "is a spreadsheet's day number"),
        ("2024", "does not name the day"),
        ("05/2024", "does not name the day"),
        ("Mai 2024", "does not name the day"),
        ("1899-12-31", "lies before 1900"),
        ("2026-01-03", "lies in the future"),
        ("2024-05-31 25:00", "has an impossible time of day"),
        ("31 Foo 2024", "names a month that is not known"),
        ("NA", "holds 'NA' instead of a date"),
        ("n/a", "holds 'n/a' instead of a date"),
        ("-", "holds '-' instead of a date"),
        ("unknown", "holds 'unknown' instead of a date"),
        ("soon", "is no date in a known form"),
    ],
)
def test_what_is_no_date_says_why(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_date(text, TODAY)


@pytest.mark.parametrize("text", ["", "  ", "\u200b", "\xa0"])
def test_an_empty_cell_is_no_date_and_no_fault(text: str) -> None:
    assert parse_date(text) is None
    assert parse_number(text) is None
    assert parse_day(text) is None


@pytest.mark.parametrize("parse", [parse_date, parse_number, parse_day])
@pytest.mark.parametrize("text", ["Mustermann", "see Dr Doe 31.05.2024", "123-45-6789", "Jane 31 2024"])
def test_free_text_and_numbers_of_persons_are_not_shown(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|month") as raised:
        parse(text)
    assert not any(part in str(raised.value) for part in ("Muster", "Doe", "6789", "Jane"))


@pytest.mark.parametrize(
    ("text", "decimal_comma", "number"),
    [("18", False, 18), (" 18.5 ", False, 18.5), ("18,5", True, 18.5), ("0,125", True, 0.125), ("1.5e1", False, 15)],
)
def test_numbers(text: str, decimal_comma: bool, number: float) -> None:
    assert parse_number(text, decimal_comma) == number


@pytest.mark.parametrize("decimal_comma", [True, False])
@pytest.mark.parametrize("text", ["1,000", "1.000,5", "1,000.5", "1'000", "1 000", "18 Gy", "nan", "1e400", "NA"])
def test_what_may_be_another_number_is_refused(text: str, decimal_comma: bool) -> None:
    with pytest.raises(ValueError, match=r"number|comma"):
        parse_number(text, decimal_comma)


def test_a_decimal_comma_needs_another_separator() -> None:
    with pytest.raises(ValueError, match=r"comma that may separate thousands or decimals: '18,5'"):
        parse_number("18,5")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("-5", (-5, False)),
        ("90.0", (90, False)),
        ("45296", (45296, False)),
        ("20240531", (datetime.date(2024, 5, 31).toordinal(), True)),
        ("31.05.2024", (datetime.date(2024, 5, 31).toordinal(), True)),
    ],
)
def test_days_are_whole_numbers_or_dates(text: str, day: tuple[int, bool]) -> None:
    assert parse_day(text) == day


@pytest.mark.parametrize("text", ["90.5", "1e3", "20240230", "20249931", "1/10/2024", "1234567"])
def test_other_days_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"day|ambiguous|calendar|date"):
        parse_day(text)
