"""How far the number of patients carries: Riley's criteria, the largest wins, and the width of the interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatment_response.cohort.splits import persons_of
from treatment_response.evaluation.minimum_sample import (
    MOST_PREDICTORS,
    NAMES,
    MinimumSample,
    design_effect,
    minimum_sample,
    r2_of_auc,
)
from treatment_response.report.shown import Row, ShownTable, interval, known

ASSUMED_AUC = 0.75
"""Of every model, fixed beforehand (the paper's radiomics, its weakest): the observed one would be circular."""
AIM = 0.05
"""Half width of the interval that is asked for."""


@dataclass(frozen=True)
class Counted:
    """What the table counts, in words: ``case`` and ``cases``; ``outcome`` is the class that has label 1."""

    case: str
    cases: str
    outcome: str


def sample_size_table(
    key: str,
    cases: pd.DataFrame,
    counted: Counted,
    intervals: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
    candidates: Mapping[str, int | None],
    notes: tuple[str, ...] = (),
    develops: bool = True,
) -> ShownTable:
    """Per method: how many cases each criterion asks for, the largest of them as patients, and the AUC's interval.

    The criteria are for a binary outcome and the development of a model; else the table is of the interval alone.

    Args:
        key: start of the CSV's name.
        cases: one row per case of the primary role with ``subject`` and ``label``.
        counted: its words.
        intervals: method → ``estimate, low, high`` of its AUC over patients. names: method → words.
        candidates: method → how many features it may choose from; None: not known, or it has no list of features.
        notes: to stand under it besides the assumptions.
        develops: whether models were fitted on these cases; those of an external validation are only scored.
    """
    persons, labels = persons_of(cases), cases["label"]
    binary = int(labels.max()) < 2
    asked = binary and develops
    rarer = int(labels.value_counts().reindex([0, 1], fill_value=0).min() if binary else labels.value_counts().min())
    patients, share = persons.nunique(), float(labels.mean()) if binary else math.nan
    effect = design_effect(labels.to_numpy(), persons.to_numpy()) if binary else math.nan
    r2 = r2_of_auc(ASSUMED_AUC, share) if 0 < share < 1 else math.nan
    rows: list[Row] = []
    data = []
    for method, found in intervals.items():
        count = candidates.get(method)
        needed = minimum_sample(count, share, r2) if 0 < share < 1 else None
        as_patients = None if needed is None else math.ceil(needed.cases * effect * patients / len(cases))
        half = (found["high"] - found["low"]) / 2 if known(found["low"]) and known(found["high"]) else 0.0
        # The interval narrows with the root of the number of patients.
        narrow = math.ceil(patients * (half / AIM) ** 2) if half > 0 else None
        criteria = dict.fromkeys(NAMES) if needed is None else needed.by_criterion
        criteria_facts = {
            "candidate_features": count,
            **{f"{counted.cases}_for_{name}": number for name, number in criteria.items()},
            f"{counted.cases}_needed": None if needed is None else needed.cases,
            "criterion": None if needed is None else needed.criterion,
            "patients_needed": as_patients,
        }
        data.append(
            {
                "method": method,
                **(criteria_facts if asked else {}),
                "auc": found["estimate"],
                "low": found["low"],
                "high": found["high"],
                "patients_for_half_width_0.05": narrow,
            }
        )
        cells = (
            "none listed" if count is None else f"{count}",
            *("" if number is None else f"{number}" for number in criteria.values()),
            _largest(needed),
            "undefined" if as_patients is None else f"{as_patients}",
        )
        rows.append(
            (
                names.get(method, method),
                *(cells if asked else ()),
                interval(found),
                "undefined" if narrow is None else f"{narrow}",
            )
        )
    criteria_heads = (
        "candidate features",
        *(f"{counted.cases}: {name.replace('_', ' ')}" for name in NAMES),
        f"{counted.cases} needed",
        "as patients like these",
    )
    columns = (
        "method",
        *(criteria_heads if asked else ()),
        "AUC [95 % interval]",
        f"patients for AUC ±{AIM:g}",
    )
    rare = f"{rarer} {counted.cases} of the {'rarer' if binary else 'rarest'} class"
    size = f"{len(cases)} {counted.cases} of {patients} patients, {rare}"
    criteria_notes = [_SEVERAL] if not binary else []
    if asked:
        criteria_notes = _assumptions(counted, share, r2, effect, len(cases) / patients)
    elif not develops:
        criteria_notes = [_SCORED]
    interval_note = (
        f"Patients for ±{AIM:g}: half the width of the AUC’s interval over patients, narrowing with the root of their "
        "number; patients, AUC and classes stay as they are."
    )
    all_notes = [*criteria_notes, interval_note, *notes]
    return ShownTable(f"{key}_sample_size", f"Sample size: {size}.", columns, rows, all_notes, pd.DataFrame(data))


_SEVERAL = (
    "How many cases the development of a model needs is not computed: the criteria used here are for a binary outcome."
)

_SCORED = "No model was developed on these cases, so how many its development needs is not asked here."


def _assumptions(counted: Counted, share: float, r2: float, effect: float, per_patient: float) -> list[str]:
    cases, outcome = counted.cases, counted.outcome
    return [
        f"{cases.capitalize()} needed to develop a model: Riley et al., BMJ 2020;368:m441, all four criteria "
        f"({_in_words()}); the largest wins. Assumed beforehand: an AUC of {ASSUMED_AUC:g} (R² of Cox and Snell "
        f"{r2:.2f}) and {share:.0%} {outcome}. The criteria count independent {cases} and a model without selection; "
        "the number of features is that which a method may choose from.",
        f"The mean error’s formula holds up to {MOST_PREDICTORS} features. A network has no list of features: only the "
        f"share of {outcome} is asked for, which is far less than it needs.",
        f"Patients like these: {cases} of one person resemble each other, so each counts less. Design effect "
        f"{effect:.2f} (variance of the share of {outcome} between patients over that of independent {cases}), "
        f"{per_patient:.1f} {cases} per patient.",
    ]


def _largest(needed: MinimumSample | None) -> str:
    return "undefined" if needed is None else f"{needed.cases} ({needed.criterion.replace('_', ' ')})"


def _in_words() -> str:
    return "; ".join(f"{name.replace('_', ' ')}: {meaning}" for name, meaning in NAMES.items())
