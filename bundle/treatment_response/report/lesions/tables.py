"""The report's tables as plain rows of text: what the cohort is, what was left out, how well it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from treatment_response.cohort.lesion import Status
from treatment_response.cohort.splits import persons_of
from treatment_response.evaluation.baselines import baseline_predictions
from treatment_response.evaluation.comparison.methods import BASELINES
from treatment_response.metrics.bootstrap import auc, difference, metric, patient_bootstrap
from treatment_response.metrics.intervals import Interval, ends_text
from treatment_response.metrics.scores import ROLES, lesion_averages, primary_role
from treatment_response.report.recorded import percent
from treatment_response.report.shown import NO_BREAK, Row

METRIC_NAMES = {
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "accuracy": "accuracy",
    "precision": "precision",
    "f1": "F1",
    "brier": "Brier score",
}
METHOD_NAMES = {
    "size": "size only",
    "clinical": "clinical only",
    "radiomics": "radiomics",
    "gradient": "gradients",
    "dose": "dosiomics",
    "ensemble": "ensemble of feature groups",
    "cnn": "network (the paper's)",
    "improved": "improved network",
    "fusion": "fusion",
    "size-after-mri2": "size at both MRIs",
    "delta": "change of radiomics and gradients",
    "ensemble-after-mri2": "ensemble with changes",
}
"""What the page calls a method; others keep their own name."""


def rated(lesions: pd.DataFrame) -> bool:
    """Whether the labels are clinicians' ratings: no volume at follow-up made them, no contour's error flips them."""
    return bool((lesions["status_ses-03"] == Status.RATED).any())


def cohort_rows(lesions: pd.DataFrame, threshold: float) -> list[Row]:
    """Facts of the cohort as (what, value)."""
    responders = int((lesions["label"] == 1).sum())
    volume = lesions["volume_ses-01_mm3"] / 1000
    quarter, half, three = volume.quantile([0.25, 0.5, 0.75])
    rule = "as rated" if rated(lesions) else f"volume at follow-up below {percent(1 - threshold)} of the first"
    rows: list[Row] = [
        ("patients", str(persons_of(lesions).nunique())),
        ("lesions", str(len(lesions))),
        (f"response ({rule})", _share(responders, len(lesions))),
        ("non-response", _share(len(lesions) - responders, len(lesions))),
        ("GTV volume at MRI 1, median (quartiles)", f"{half:.2f} cm³ ({quarter:.2f} to {three:.2f})"),
    ]
    if not rated(lesions):
        sure = int(is_sure(lesions["p_response"]).sum())
        resolved = int((lesions["status_ses-03"] == Status.RESOLVED).sum())
        rows += [
            ("labels that contouring error would hardly change (P ≥ 0.9)", _share(sure, len(lesions))),
            ("resolved at follow-up (no contour any more)", str(resolved)),
            ("days from MRI 1 to follow-up, median (range)", _range(lesions["days_ses-03"])),
        ]
    index = lesions["gradient_index"].dropna()
    rows.append(("Gradient Index, median (range)", _range(index, "{:.2f}") if len(index) else "not computed"))
    sites = lesions["site"].fillna("not stated").astype(str).value_counts()
    rows.append(("lesions by site", ", ".join(f"{site}: {count}" for site, count in sites.items())))
    return rows


def exclusion_rows(ingest: Mapping[str, Any]) -> list[Row]:
    """Which lesion or patient was left out and why: from ``ingest_report.json``."""
    return [(f"{i['subject']} {i['lesion'] or '(patient)'}", str(i["reason"])) for i in ingest.get("left_out", [])]


def auc_intervals(lesions: pd.DataFrame) -> dict[str, Interval]:
    """Role → AUC with its patient-bootstrap interval. `lesions` is one row per role and lesion."""
    return {str(role): patient_bootstrap(rows, auc()) for role, rows in lesions.groupby("role")}


def metric_tables(lesions: pd.DataFrame) -> list[dict[str, Any]]:
    """One table per finding (response, then non-response): a row per role with n and all metrics with intervals.

    ``redrawn`` counts the resamples in which a metric was undefined.
    """
    tables = []
    for positive, finding in ((1, "response"), (0, "non-response")):
        rows, redrawn = [], 0
        for role in [r for r in reversed(ROLES) if r in set(lesions["role"])]:
            part = lesions[lesions["role"] == role]
            found, patients = int((part["label"] == positive).sum()), persons_of(part).nunique()
            count = f"{len(part)} lesions ({found} {finding}), {patients} patients"
            intervals = [patient_bootstrap(part, metric(name, positive)) for name in METRIC_NAMES]
            redrawn += sum(interval.redrawn for interval in intervals)
            rows.append((ROLES[role], count, *map(_short, intervals)))
        columns = ["scored on", "n", *METRIC_NAMES.values()]
        tables.append({"finding": finding, "columns": columns, "rows": rows, "redrawn": redrawn})
    return tables


def comparison_rows(predictions: pd.DataFrame, cohort: pd.DataFrame) -> list[Row]:
    """The network beside the baselines on the same lesions: name, AUC, AUC difference to the network (paired)."""
    averaged = lesion_averages(predictions)
    role = primary_role(averaged)
    network = averaged[averaged["role"] == role]
    rows: list[Row] = [("the network", str(patient_bootstrap(network, auc())), "")]
    for name in BASELINES:
        other = baseline_predictions(cohort, name)[["subject", "lesion", "p_response"]]
        both = network.merge(other.rename(columns={"p_response": "p_other"}), on=["subject", "lesion"])
        gain = patient_bootstrap(both, difference(auc(), auc("p_other")))
        rows.append((METHOD_NAMES[name], str(patient_bootstrap(both, auc("p_other"))), str(gain)))
    return rows


def is_sure(p_response: pd.Series) -> pd.Series:
    """Lesions whose label an error of contouring would hardly change: P(label) of at least 0.9 under it."""
    return (p_response >= 0.9) | (p_response <= 0.1)


def sure_interval(predictions: pd.DataFrame, cohort: pd.DataFrame) -> Interval | None:
    """The primary AUC on the surely labelled lesions alone, or None where there are none of one class."""
    averaged = lesion_averages(predictions)
    network = averaged[averaged["role"] == primary_role(averaged)]
    sure = cohort.loc[is_sure(cohort["p_response"]), ["subject", "lesion"]]
    rows = network.merge(sure, on=["subject", "lesion"])
    return patient_bootstrap(rows, auc()) if rows["label"].nunique() == 2 else None


def _short(interval: Interval) -> str:
    if interval.estimate != interval.estimate:
        return "undefined"
    if interval.low != interval.low:
        return f"{interval.estimate:.2f}"
    # Two lines, the second with a no-break space: narrow columns stay readable.
    ends = ends_text(interval.low, interval.high, between=f",{NO_BREAK}")
    return f"{interval.estimate:.2f}\n[{ends}]"


def _share(count: int, total: int) -> str:
    return f"{count} ({count / total:.0%})"


def _range(values: pd.Series, form: str = "{:.0f}") -> str:
    numbers = pd.to_numeric(values, errors="coerce").dropna()
    if numbers.empty:
        return "not known"
    return f"{form.format(numbers.median())} ({form.format(numbers.min())} to {form.format(numbers.max())})"
