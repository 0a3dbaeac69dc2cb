"""Calibration and net benefit on the page: a table with intervals and two figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from treatment_response.report.lesions.figures.methods import decision_curves, reliability_curves
from treatment_response.report.shown import Figures, ShownTable, interval, known, number

SCORED = (
    "slope",
    "intercept",
    "joint_intercept",
    "brier",
    "brier_of_prevalence",
    "brier_gain",
)


def calibration_table(
    key: str, scores: Mapping[str, Mapping[str, Any]], where: str, notes: Sequence[str]
) -> ShownTable | None:
    """Slope, intercepts and Brier scores of each method, with intervals; None without any method.

    Args:
        key: start of the CSV's name. scores: method in words → `calibration_scores`. where: what was scored, in words.
        notes: to stand under it besides what the columns mean.
    """
    if not scores:
        return None
    rows = [
        (
            name,
            interval(each["slope"]),
            interval(each["intercept"], sign=True),
            interval(each["joint_intercept"], sign=True),
            interval(each["brier"], 3),
            number(each["brier_of_prevalence"]["estimate"], 3),
            interval(each["brier_gain"], 3, sign=True),
            _helps(each["decision_curve"]),
        )
        for name, each in scores.items()
    ]
    data = pd.DataFrame(
        [
            {"method": name, "role": each["role"], "lesions": each["lesions"], "predictions": each["predictions"]}
            | {
                f"{score}{ending}": each[score][part]
                for score in SCORED
                for ending, part in (("", "estimate"), ("_low", "low"), ("_high", "high"))
            }
            for name, each in scores.items()
        ]
    )
    meanings = [
        "Scored is what one fitted model says of a lesion that it has not seen, the kind of probability that is "
        "delivered; several models’ probabilities of one lesion weigh 1 together. No mean of models is scored here.",
        "Slope and joint intercept: logistic regression of the outcome on the logit of P(response); 1 and 0 are "
        "perfect, a slope below 1 means too sure. Intercept in the large: the slope fixed at 1; above 0, response came "
        "more often than was said.",
        "Brier of the prevalence: saying the share of response of these lesions for each of them. The gain is that "
        "minus the method’s, paired; a method whose gain is not above 0 is no better than knowing that share.",
        "Helps at: thresholds of P(non-response) at which acting on the method has a larger net benefit than acting on "
        "all and on none, by the paired 95 % interval at each threshold; no correction for their number.",
        "Brackets hold 95 % intervals over resampled patients. With few patients that of the slope is wide by nature.",
    ]
    columns = (
        "method",
        "slope",
        "intercept in the large",
        "joint intercept",
        "Brier score",
        "Brier of the prevalence",
        "gain over the prevalence",
        "helps at",
    )
    return ShownTable(f"{key}_calibration", f"Calibration, {where}.", columns, rows, [*meanings, *notes], data)


def calibration_figures(key: str, scores: Mapping[str, Mapping[str, Any]], where: str, synthetic: bool) -> Figures:
    """Reliability and decision curves, by id; none without any method."""
    if not scores:
        return {}
    captions = {
        name: f"slope {interval(each['slope'])}\nBrier {number(each['brier']['estimate'], 3)}, "
        f"prevalence’s {number(each['brier_of_prevalence']['estimate'], 3)}"
        for name, each in scores.items()
    }
    return {
        f"{key}_calibration": (
            reliability_curves({name: each["reliability"] for name, each in scores.items()}, captions, synthetic),
            f"Calibration, {where}. Probabilities of single models are grouped by size, about equally many in each (n, "
            "in lesions). On the dotted line, what was said is what came.",
        ),
        f"{key}_decision": (
            decision_curves({name: each["decision_curve"] for name, each in scores.items()}, synthetic),
            f"Decision curves, {where}. If one acted on every lesion whose probability of non-response exceeds a "
            "threshold, how many true findings per lesion would remain after paying for the false ones. The band is "
            "the 95 % interval over patients at each threshold. A method helps only where it lies above both acting on "
            "all and acting on none; the thick line below marks the thresholds at which the paired interval says so.",
        ),
    }


def _helps(curve: Sequence[Mapping[str, Any]]) -> str:
    """The ranges of neighbouring thresholds at which the advantage's interval lies above 0."""
    ranges: list[list[float]] = []
    before = False
    for point in curve:
        helps = known(point["advantage_low"]) and point["advantage_low"] > 0
        if helps and before:
            ranges[-1][1] = point["threshold"]
        elif helps:
            ranges.append([point["threshold"]] * 2)
        before = helps
    texts = [f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}" for low, high in ranges]
    return ", ".join(texts) or "nowhere"
