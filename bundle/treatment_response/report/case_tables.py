"""Tables of a report on any classes that only some runs and comparisons have: thresholds, test, controls, seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from treatment_response.evaluation.class_shares import SHARES_WORDS
from treatment_response.metrics.class_intervals import METRIC_NAMES
from treatment_response.metrics.thresholds import CHOSEN, held_out_decisions, operating_point
from treatment_response.report.case_inputs import CaseComparisonInputs, CaseReportInputs
from treatment_response.report.shown import Row, ShownTable, interval, number

_AT_THRESHOLD = (
    f"The threshold of each fold is the one with {CHOSEN} among the held-out patients of the other folds; no patient "
    "takes part in the choice of the own threshold."
)


def at_threshold_table(rows: pd.DataFrame, inputs: CaseReportInputs) -> ShownTable:
    """Sensitivity and specificity for the finding, one row; without rows where it cannot be.

    Args:
        rows: the cases of the primary role.
    """
    classes = inputs.classes
    folds = inputs.cases[["subject", "case", "fold"]]
    in_folds = rows.drop(columns="fold", errors="ignore").merge(folds, on=["subject", "case"])
    # The folds of an external validation's data set have trained nothing, and no threshold is chosen there.
    decided = None if inputs.external else held_out_decisions(in_folds, classes)
    shown: list[Row] = [] if decided is None else [_point("the network", operating_point(decided, classes))]
    return ShownTable(
        "network_threshold",
        f"For {classes.finding}, at a threshold of other patients",
        _POINT_HEADS,
        shown,
        (_AT_THRESHOLD,),
    )


_POINT_HEADS = ("method", "sensitivity", "specificity", "thresholds")


def _point(name: str, point: Mapping[str, Any]) -> Row:
    thresholds = point["thresholds"]
    ends = number(thresholds[0]) if len(thresholds) == 1 else f"{number(thresholds[0])} to {number(thresholds[-1])}"
    return (name, _share(point["sensitivity"]), _share(point["specificity"]), ends)


def _share(share: Mapping[str, Any]) -> str:
    if share["estimate"] is None:
        return "undefined"
    return f"{interval(share)}\n{share['hits']}/{share['n']}"


def test_table(inputs: CaseReportInputs) -> ShownTable:
    """The final test on the patients kept apart; without rows where there was none."""
    test, classes = inputs.test, inputs.classes
    rows: list[Row] = []
    if test:
        rows.append(("accuracy of the majority vote", _share(test["accuracy"])))
        rows += [(f"recall of {name} by vote", _share(test["recall"][name])) for name in classes.names]
        if "at_threshold" in test:
            at = test["at_threshold"]
            rows += [
                (f"{name} for {at['finding']} at P ≥ {number(at['thresholds'][0])}", _share(at[name]))
                for name in ("sensitivity", "specificity")
            ]
        rows += [(METRIC_NAMES[name], interval(test["intervals"][name])) for name in ("auc", "brier", "macro_f1")]
    patients = f"{test.get('patients', 0)} patients kept apart"
    notes = (
        "Class by majority vote of the folds' networks; probabilities are their mean, "
        f"{'each calibrated on its held-out patients' if test.get('calibrated') else 'not calibrated'}. Shares of few "
        "patients have exact binomial intervals. Nothing was chosen on these patients.",
    )
    return ShownTable("final_test", f"The final test: {patients}", ("", "95 %"), rows, notes)


_BY_VOTE = "The other tables and the figures decide by the largest mean probability."


def external_tables(inputs: CaseReportInputs, notes: Sequence[str]) -> list[ShownTable]:
    """Of an external validation: shift of the classes, decisions by class, and conformal sets; else none."""
    found = inputs.external
    if not found:
        return []
    shares: list[Row] = []
    for name, share in found["class_shares"]["classes"].items():
        before, words = share["training"], {True: "yes", False: "no", None: "not known"}
        training = (
            "not known" if before is None else f"{number(before)}\n{share['training_cases']} {inputs.words.cases}"
        )
        shares.append((name, training, _share(share["here"]), number(share["said"]), words[share["shifted"]]))
    distance, brier = found["class_shares"]["distance"], found["brier_of_training_shares"]
    sizes = [] if distance is None else [f"Total variation distance of the shares: {number(distance)} (0 to 1)."]
    if brier is not None:
        model = interval(found["intervals"]["brier"])
        sizes.append(f"Brier score: the model {model}; answering with the training's shares {number(brier)}.")
    decisions: list[Row] = [("accuracy", _share(found["accuracy"]))]
    decisions += [(f"recall of {name}", _share(share)) for name, share in found["recall"].items()]
    how = "the majority vote of the networks" if found["decision"] == "vote" else "the largest mean probability"
    tables = [
        ShownTable(
            "external_shares",
            "Shift of the classes' shares",
            ("class", "share in training", "share here [95 %]", "mean probability here", "shifted"),
            shares,
            (*notes, *sizes, SHARES_WORDS),
        ),
        ShownTable(
            "external_decisions",
            f"Decisions by {how}",
            ("", "95 %"),
            decisions,
            (
                *notes,
                "Shares of few patients have exact binomial intervals.",
                *([_BY_VOTE] if found["decision"] == "vote" else []),
            ),
        ),
    ]
    if found["sets"] is not None:
        level, trivial = found["sets"]["level"], found["sets"]["trivial"]
        rows: list[Row] = [(name, _share(share)) for name, share in found["sets"]["coverage"].items()]
        never = [f"Every set holds {', '.join(trivial)}: too few calibration patients."] if trivial else []
        mean = f"The sets hold {number(found['sets']['mean_size'])} classes on average."
        title = f"How often a conformal set holds the truth; meant: {level:.0%} of each class"
        tables.append(ShownTable("external_sets", title, ("class", "coverage [95 %]"), rows, (*notes, mean, *never)))
    return tables


def operating_points_table(one: CaseComparisonInputs, notes: Sequence[str]) -> ShownTable:
    """Sensitivity and specificity of every method; without rows where folds were drawn anew."""
    points = one.table.get("operating_points", {})
    rows = [_point(one.label(method), point) for method, point in points.items()]
    finding = next((point["finding"] for point in points.values()), "")
    title = f"For {finding}, at a threshold of other patients"
    return ShownTable(f"{one.key}_points", title, _POINT_HEADS, rows, (*notes, _AT_THRESHOLD))


def reliance_table(one: CaseComparisonInputs, notes: Sequence[str]) -> ShownTable:
    """How far the first network relies on a channel: with its own and with other patients'."""
    rows = [
        (
            f"{entry['network']}: {entry['channel']} swapped",
            number(entry["own"]),
            f"{number(entry['mean'])} [{number(entry['low'])}, {number(entry['high'])}]",
            f"{entry['at_least_as_good']:.0%} of {entry['swaps']}",
        )
        for entry in one.table.get("reliance", [])
    ]
    said = (
        "Swaps when the network is tested show what it uses, not what that is worth; square brackets hold 95 % of them."
    )
    heads = ("", "own", "mean over swaps", "swaps at least as good")
    return ShownTable(f"{one.key}_reliance", "Reliance: channels of other patients", heads, rows, (*notes, said))


def seeds_table(one: CaseComparisonInputs, notes: Sequence[str]) -> ShownTable:
    """The primary metric by the seed of the weights; without rows for a single repeat."""
    rows = [
        (
            entry["method"],
            f"{number(entry['mean'])} ± {number(entry['sd'])}",
            ", ".join(map(number, entry["values"])),
            "undefined" if (share := entry.get("share_of_error")) is None else f"{share:.0%}",
        )
        for entry in one.table.get("seeds", [])
        if entry["sd"] is not None
    ]
    title = "Spread over seeds of the networks' weights, on the same folds"
    said = (
        "Another seed alone moves the score by the SD. Its share of the standard error over patients says how much "
        "chance in training adds to that in who was examined. One seed cannot tell two networks apart that differ "
        "by less than the SD."
    )
    heads = ("network", "mean ± SD", "each seed", "SD as a share of the standard error over patients")
    return ShownTable(f"{one.key}_seeds", title, heads, rows, (*notes, said))
