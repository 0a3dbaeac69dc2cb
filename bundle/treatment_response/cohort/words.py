"""A system's own words: they come with its data set, so that the text of a report or an answer names no system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class Words:
    """The entry ``words`` of ``dataset.json``; every part may be absent.

    Attributes:
        title: of the report; else the data set's name.
        question: what the system is to answer, in one or two sentences.
        case, cases: what it calls a case, singular and plural.
        methods: paragraphs on patients, images and labels, for the methods text.
        columns: column of the table of cases → what readers see, with its unit, such as ``{"ball_ml": "ball, ml"}``.
    """

    title: str
    question: str = ""
    case: str = "case"
    cases: str = "cases"
    methods: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


def words_of(content: Mapping[str, Any]) -> Words:
    """A data set's words.

    Args:
        content: of ``dataset.json``.

    Raises:
        DataProblem: an entry is something else than text.
    """
    title = str(content.get("name") or "Data set without a name")
    given = content.get("words", {})
    texts = ("title", "question", "case", "cases")
    if not isinstance(given, dict) or set(given) - {*texts, "methods", "columns"}:
        what = "its words are no mapping of " + ", ".join((*texts, "methods", "columns"))
        raise DataProblem(Problem("dataset.json", what, "mend them, or leave them out"))
    methods, columns = given.get("methods", []), given.get("columns", {})
    parts = [given[name] for name in texts if name in given] + (methods if isinstance(methods, list) else [None])
    parts += columns.values() if isinstance(columns, dict) else [None]
    if not all(isinstance(part, str) for part in parts):
        what = "its words hold something else than texts, a list of texts under methods, and texts under columns"
        raise DataProblem(Problem("dataset.json", what, "mend them, or leave them out"))
    own = {name: given[name] for name in texts if name in given}
    return Words(**{"title": title, **own, "methods": tuple(methods), "columns": dict(columns)})
