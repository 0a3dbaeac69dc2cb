"""The page's section on one comparison: Table 1 and what stands around it, and the figures."""

from __future__ import annotations

from typing import Any

import pandas as pd

from treatment_response.evaluation.comparison.methods import MEASURED, candidate_features
from treatment_response.features.clinical import CLINICAL_GROUP, SIZE_GROUP
from treatment_response.features.clinical import FEATURES as CLINICAL
from treatment_response.features.table import Known
from treatment_response.metrics.scores import HELD_OUT_AFTER, ROLES
from treatment_response.report.figures.scores import importance_bars
from treatment_response.report.lesions.calibration_section import calibration_figures, calibration_table
from treatment_response.report.lesions.comparison_tables import differences_table, null_table, training_gap_table
from treatment_response.report.lesions.comparisons import ComparisonInputs
from treatment_response.report.lesions.doubtful_section import ranges_table
from treatment_response.report.lesions.feature_names import readable
from treatment_response.report.lesions.figures.methods import roc_of_methods
from treatment_response.report.lesions.table_one import (
    FINDINGS,
    method_name,
    primary_methods,
    roles_of,
    table_one,
)
from treatment_response.report.sample_size import Counted, sample_size_table
from treatment_response.report.shown import Figures, ShownTable, interval

FEW = 4
"""Methods with fewer candidate features use them all: there is nothing to show of a choice."""
_BEFORE = [feature for feature in CLINICAL if feature.known is Known.BEFORE_TREATMENT]
FEW_FEATURES = {group: [f for f in _BEFORE if f.group == group] for group in (SIZE_GROUP, CLINICAL_GROUP)}
"""What the methods without images look at."""


def comparison_content(comparison: ComparisonInputs) -> dict[str, Any]:
    """The template's values for one comparison."""
    primary, *others = roles_of(comparison)
    # Tables "after MRI 2" never hide among the roles of methods that see one MRI, and never hold their place.
    later = [role for role in others if role == HELD_OUT_AFTER]
    others = [role for role in others if role not in later]
    return {
        "key": comparison.key,
        "title": comparison.title,
        "own": comparison.own,
        "ranges": ranges_table(
            comparison.key, method_ranges(comparison), comparison.title, tuple(comparison.table["notes"])
        ),
        "primary": {finding: table_one(comparison, primary, finding) for finding in FINDINGS},
        "others": [table_one(comparison, role, finding) for role in others for finding in FINDINGS],
        "after_mri2": [table_one(comparison, role, finding) for role in later for finding in FINDINGS],
        "after_mri2_calibration": [
            calibration_table(
                f"{comparison.key}_{role}",
                calibrations(comparison, role),
                f"{ROLES[role]}; {comparison.title}",
                tuple(comparison.table["notes"]),
            )
            for role in later
        ],
        "differences": differences_table(comparison),
        "training_gap": training_gap_table(comparison),
        "null_check": null_table(comparison),
        "calibration": calibration_table(
            comparison.key,
            calibrations(comparison, primary),
            f"{ROLES[primary]}; {comparison.title}",
            tuple(comparison.table["notes"]),
        ),
        "importances": importance_table(comparison),
        "sample_size": sample_size_table(
            comparison.key,
            primary_lesions(comparison, primary_methods(comparison)[0]),
            Counted("lesion", "lesions", "response"),
            intervals(comparison),
            {method: method_name(method) for method in comparison.methods},
            candidates(comparison),
            tuple(comparison.table["notes"]),
        ),
    }


def calibrations(comparison: ComparisonInputs, role: str) -> dict[str, dict[str, Any]]:
    """Method in words → its calibration, of the methods whose primary role this is."""
    scores = comparison.table["calibration"]
    return {method_name(method): each for method, each in scores.items() if each["role"] == role}


def method_ranges(comparison: ComparisonInputs) -> dict[str, dict[str, Any]]:
    """Method in words → its AUC with the doubtful lesions, where they are many."""
    return {method_name(method): each for method, each in comparison.ranges.items()}


def comparison_figures(comparison: ComparisonInputs) -> Figures:
    """ROC, calibration, decision curves and chosen features, by id; the ids start with the comparison's key."""
    key, synthetic = comparison.key, bool(comparison.table.get("synthetic"))
    role = roles_of(comparison)[0]
    found = {method_name(method): primary_lesions(comparison, method) for method in primary_methods(comparison)}
    areas = {method_name(method): f"AUC {interval(value)}" for method, value in intervals(comparison).items()}
    figures: Figures = {}
    where = f"{ROLES[role]}; {comparison.title}"
    averaged = "the trials that held it out" if role.startswith("heldout") else "the trials"
    if all(rows["label"].nunique() == 2 for rows in found.values()):  # one split may hold out a single class
        figures[f"{key}_roc"] = (
            roc_of_methods(found, areas, synthetic),
            f"ROC curves, {where}. Each lesion’s predictions are averaged over {averaged}. The band is where"
            " the curve could lie with other patients of the same kind (95 %); the other methods are grey; the "
            "dotted diagonal is a coin toss.",
        )
    figures |= calibration_figures(key, calibrations(comparison, role), where, synthetic)
    choosing = _choosing(comparison)
    if choosing is not None:
        features = {name: readable(name) for name in choosing["feature"]}
        methods = {m: method_name(m) for m in choosing["method"].drop_duplicates()}
        figures[f"{key}_importances"] = (
            importance_bars(choosing, features, methods, synthetic),
            f"Features that each model on features chose most often over the trials; {comparison.title}. The number "
            "at a bar is the mean weight of the standardised feature: positive speaks for response. Features that "
            "resemble each other stand in for one another, so a rarely chosen feature is not thereby unimportant.",
        )
    return figures


def importance_table(comparison: ComparisonInputs, most: int = 10) -> ShownTable | None:
    """The features chosen most often, by method; the CSV has all of them."""
    table = comparison.importances
    if table is None or table.empty:
        return None
    top = table[table["chosen"] > 0].groupby("method", sort=False).head(most)
    rows = [
        (
            method_name(row["method"]),
            readable(row["feature"]),
            str(row["group"]),
            f"{row['chosen']:.0%}",
            "" if pd.isna(row["weight"]) else f"{row['weight']:+.3f}",
            str(row["feature"]),
        )
        for row in top.to_dict("records")
    ]
    columns = ("method", "feature", "group", "chosen in", "mean weight", "name in the tables")
    notes = [
        "Chosen in: share of the trials. Mean weight: of the standardised value where the model is linear; positive "
        "speaks for response. Up to ten per method are shown; the CSV holds all.",
        *comparison.table["notes"],
    ]
    data = table.assign(words=[readable(name) for name in table["feature"]])
    caption = f"Features by how often they were chosen; {comparison.title}."
    return ShownTable(f"{comparison.key}_importances", caption, columns, rows, notes, data)


def primary_lesions(comparison: ComparisonInputs, method: str) -> pd.DataFrame:
    """One row per lesion of the primary role: a method's averaged prediction."""
    averaged = comparison.averaged(method)
    return averaged[averaged["role"] == roles_of(comparison)[0]].reset_index(drop=True)


def intervals(comparison: ComparisonInputs) -> dict[str, dict[str, Any]]:
    """Method → ``estimate, low, high`` of its primary AUC over patients."""
    scores = comparison.scores()
    primary = (scores["role"] == roles_of(comparison)[0]) & (scores["finding"] == "response")
    rows = scores[primary & (scores["score"] == "auc")]
    return {str(row["method"]): {str(key): value for key, value in row.items()} for row in rows.to_dict("records")}


def candidates(comparison: ComparisonInputs) -> dict[str, int | None]:
    """Method → how many features it may choose from, by the comparison's own record; None where it says nothing."""
    measured = comparison.provenance.get("features", {})
    known: dict[str, int | None] = {method: len(features) for method, features in FEW_FEATURES.items()}
    counts = {group: what["features"] for group, what in measured.items() if "features" in what}
    return known | {method: candidate_features(method, counts) for method in MEASURED}


def _choosing(comparison: ComparisonInputs) -> pd.DataFrame | None:
    table = comparison.importances
    if table is None:
        return None
    counts = table.groupby("method")["feature"].transform("size")
    chosen = table[(counts > FEW) & (table["chosen"] > 0)]
    return chosen if len(chosen) else None
