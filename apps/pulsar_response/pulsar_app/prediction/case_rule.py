"""What published response criteria say of a study, beside the answer of a model that predicts its category."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
from treatment_response.criteria.patient import CRITERIA_SETS
from treatment_response.criteria.rules import CATEGORIES
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

from pulsar_app.prediction.criteria_answer import criteria_answer
from pulsar_app.prediction.criteria_options import CriteriaOptions
from pulsar_app.studies.measured import measure_image
from pulsar_app.studies.safe_datastore import OpenedImage


def check_rule(name: str | None) -> None:
    """Refuse a config that names criteria which nobody measures.

    Raises:
        DataProblem: naming those that there are.
    """
    if name is not None and name not in CRITERIA_SETS:
        remedy = f"use one of {', '.join(CRITERIA_SETS)}, or null"
        raise DataProblem(Problem("config", f"'rule' is {name[:60]!r}, which is none", remedy))


def rule_beside(
    datastore: Any, image: OpenedImage, name: str, options: CriteriaOptions, decided: str
) -> dict[str, Any]:
    """The answer of response criteria, measured on outlines of the patient's studies by the code of `criteria_task`.

    Args:
        image: that the request named; outlines on any series of its study count.
        name: of the criteria, see `CRITERIA_SETS`.
        options: what images cannot show.
        decided: the class that the model decided.

    Returns:
        ``computed``, and if so ``criteria`` and ``studies`` as `criteria_answer` has them, the latter with ``date``;
        ``earlier`` (the outlined study before this one: ``date``, ``days_before``, ``volume_mm3``; beside them
        ``date_now``, ``volume_now_mm3`` and ``change_percent``); ``sentences``, ``disagreement`` (empty where there is
        none), ``warnings`` and ``notes``. If not, ``why`` in one sentence.
    """
    tell("measuring by the criteria", 0)
    try:
        measured = measure_image(datastore, image, CRITERIA_SETS[name], options.course, whole_study=True)
    except DataProblem as problem:
        return {"computed": False, "why": f"The rule was not computed: {'; '.join(_plain(problem))}."}
    told = criteria_answer("", image.image_id, measured, np.zeros((0,), np.uint8))
    today = image.source.date if image.source else None
    assert today is not None  # it could not be measured without
    studies = [{**one, "date": (today - timedelta(one["days_before"])).isoformat()} for one in told["studies"]]
    now, before = studies[measured.number], studies[measured.number - 1]
    earlier = {key: before[key] for key in ("date", "days_before", "volume_mm3")}
    earlier |= {"date_now": now["date"], "volume_now_mm3": now["volume_mm3"]}
    earlier["change_percent"] = _change(before["volume_mm3"], now["volume_mm3"])
    return {
        "computed": True,
        "criteria": told["criteria"],
        "studies": studies,
        "earlier": earlier,
        "sentences": [one["sentence"] for one in told["criteria"]],
        "disagreement": _disagreement(decided, told["criteria"]),
        "warnings": list(told["warnings"]),
        "notes": told["notes"],
    }


def rule_sentences(answer: Mapping[str, Any]) -> list[str]:
    """What the rule says, as sentences for a report; none for a model without one."""
    rule = answer.get("rule")
    if rule is None:
        return []
    return [f"Rule beside it: {one}." for one in rule["sentences"]] if rule["computed"] else [rule["why"]]


def _plain(problem: DataProblem) -> list[str]:
    return [f"{one.where}: {one.what} ({one.remedy})" for one in problem.problems]


def _change(before: float, now: float) -> float | None:
    """In percent; None where nothing was there before."""
    return round(100 * (now / before - 1), 1) if before else None


def _disagreement(decided: str, judged: list[dict[str, Any]]) -> str:
    """Where network and criteria give different categories, in one sentence; empty where they agree or do not judge."""
    others = [one for one in judged if one["category"] in CATEGORIES and one["category"] != decided]
    by_category: dict[str, list[str]] = {}
    for one in others:
        by_category.setdefault(one["category"], []).append(one["criteria"])
    said = " and ".join(f"{category} ({'; '.join(criteria)})" for category, criteria in by_category.items())
    return f"Network and rule disagree: the network says {decided}, the rule says {said}." if others else ""
