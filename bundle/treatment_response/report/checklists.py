"""The TRIPOD+AI and CLAIM checklists, answered where the program knows the answer and left to the authors elsewhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from treatment_response.report.shown import ShownTable

CHECKLISTS = ("tripod_ai", "claim_2024")
AUTHORS = "for the authors to fill in"


@dataclass(frozen=True)
class Checklist:
    """A checklist as a data file has it.

    Attributes:
        name: of the file. title, reference: what it is and where it was published.
        items: in the published order; ``number, section, topic, asks`` and, where the program may know, ``reported``
            (``where``: sections of the page, ``says``, ``needs``), ``not_applicable`` (``needs``, ``because``) and
            ``remains`` (what is left to the authors); ``of_cases`` holds what is another on the page of a system that
            answers case by case.
    """

    name: str
    title: str
    reference: str
    items: list[dict[str, Any]]


def read_checklist(name: str) -> Checklist:
    """The checklist of this name, one of `CHECKLISTS`."""
    file = resources.files("treatment_response.report").joinpath("checklists", f"{name}.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    return Checklist(name, content["title"], content["reference"], content["items"])


def answered(
    checklist: Checklist, sections: Mapping[str, str], facts: Collection[str], of_cases: bool = False
) -> ShownTable:
    """The checklist with an answer in every row.

    Args:
        sections: anchor → heading of what the page has.
        of_cases: whether the page is that of a system that answers case by case.
        facts: what is known of this analysis (for instance ``synthetic``); an answer holds only where its needs do.
    """
    items = [_of_page(item, of_cases) for item in checklist.items]
    rows = [
        (item["number"], item["section"], item["topic"], item["asks"], _answer(item, sections, facts)) for item in items
    ]
    left = sum(row[-1].startswith(AUTHORS) for row in rows)
    notes = [
        f"{checklist.reference}. Items in our own short wording; the published checklist is what counts.",
        f"{left} of {len(rows)} items are wholly for the authors.",
    ]
    columns = ("item", "section", "topic", "asks for", "answer")
    return ShownTable(f"checklist_{checklist.name}", f"{checklist.title} checklist", columns, rows, notes)


def _of_page(item: Mapping[str, Any], of_cases: bool) -> Mapping[str, Any]:
    """An item with the answers of this kind of page."""
    if not of_cases or "of_cases" not in item:
        return item
    return {name: item[name] for name in ("number", "section", "topic", "asks")} | item["of_cases"]


def _answer(item: Mapping[str, Any], sections: Mapping[str, str], facts: Collection[str]) -> str:
    remains = item.get("remains", "")
    exempt = item.get("not_applicable")
    if exempt and set(exempt["needs"]) <= set(facts):
        return f"not applicable: {exempt['because']}"
    reported = item.get("reported")
    if reported and set(reported.get("needs", [])) <= set(facts):
        place = next((sections[anchor] for anchor in reported["where"] if anchor in sections), None)
        if place is not None:
            rest = f"; {AUTHORS}: {remains}" if remains else ""
            return f"reported (“{place}”): {reported['says']}{rest}"
    return f"{AUTHORS}: {remains}" if remains else AUTHORS
