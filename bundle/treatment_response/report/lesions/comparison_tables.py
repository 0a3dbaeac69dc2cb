"""What stands beside Table 1: paired differences, training minus held-out, the null check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from treatment_response.evaluation.comparison.statistics import higher_of
from treatment_response.evaluation.training_gap import GAP_PARTS
from treatment_response.metrics.scores import ROLES
from treatment_response.report.lesions.comparisons import ComparisonInputs
from treatment_response.report.lesions.table_one import method_name, roles_of
from treatment_response.report.shown import ShownTable, interval, known, number

NO_ORDER = "no order shown"
GAP_NOTE = (
    "(i) − (ii) is training minus held-out. Every method that fits its training lesions has it, clinical facts "
    "included, which are the same at both MRIs. What recognising a lesion is worth is the difference with true labels "
    "minus that with shuffled labels, on the same patients."
)


def differences_table(comparison: ComparisonInputs) -> ShownTable | None:
    """Paired AUC differences with Nadeau and Bengio's second opinion, and which method may be called the higher one."""
    order = {role: place for place, role in enumerate(roles_of(comparison))}
    entries = sorted(comparison.table["differences"], key=lambda entry: order.get(entry["role"], len(order)))
    if not entries:
        return None
    higher = [higher_of(entry) for entry in entries]
    rows = [
        (
            f"{method_name(entry['method'])} − {method_name(entry['minus'])}",
            ROLES[entry["role"]],
            interval(entry["auc"], sign=True),
            _second(entry.get("nadeau_bengio")),
            NO_ORDER if best is None else method_name(best),
        )
        for entry, best in zip(entries, higher, strict=True)
    ]
    data = pd.DataFrame(
        [
            {key: entry[key] for key in ("method", "minus", "role")}
            | {key: entry["auc"][key] for key in ("estimate", "low", "high", "patients")}
            | {f"nadeau_bengio_{key}": value for key, value in (entry.get("nadeau_bengio") or {}).items()}
            | {"higher": best}
            for entry, best in zip(entries, higher, strict=True)
        ]
    )
    notes = [
        "Second column of numbers: corrected resampled t-interval over the trials (Nadeau and Bengio 2003). A method "
        "is called higher where both intervals lie on its side of 0. Else the data show no order, which is not to say "
        f"that the two are equal. No correction for the {len(entries)} comparisons was made.",
        *comparison.table["notes"],
    ]
    columns = (
        "AUC difference",
        "scored on",
        "95 % interval over patients",
        "Nadeau–Bengio 95 % interval",
        "higher",
    )
    caption = f"Paired differences in AUC on the same lesions; {comparison.title}."
    return ShownTable(f"{comparison.key}_differences", caption, columns, rows, notes, data)


def training_gap_table(comparison: ComparisonInputs) -> ShownTable | None:
    """AUC (i) − (ii) of every method with true and with shuffled labels, and what is left."""
    gaps: Mapping[str, Mapping[str, Any]] = comparison.table["training_gap"]
    if not gaps:
        return None
    rows = [
        (
            method_name(method),
            *("not computed" if gap[part] is None else interval(gap[part], sign=True) for part in GAP_PARTS),
        )
        for method, gap in gaps.items()
    ]
    data = pd.DataFrame(
        [
            {
                "method": method,
                "difference": part,
                **{key: gap[part][key] for key in ("estimate", "low", "high", "patients")},
            }
            for method, gap in gaps.items()
            for part in GAP_PARTS
            if gap[part] is not None
        ]
    )
    notes = [GAP_NOTE]
    if all(gap["shuffled"] is None for gap in gaps.values()):
        notes.append("Not computed: the comparison was made without --shuffle-labels.")
    caption = f"Training minus held-out: AUC (i) − (ii) inside the same fitted models; {comparison.title}."
    columns = ("method", "true labels", "shuffled labels", "what recognising a lesion is worth")
    name = f"{comparison.key}_training_minus_heldout"
    return ShownTable(name, caption, columns, rows, [*notes, *comparison.table["notes"]], data)


def null_table(comparison: ComparisonInputs) -> ShownTable | None:
    """Mean AUC with labels dealt out anew, patient by patient: should be 0.5."""
    entries: Sequence[Mapping[str, Any]] = comparison.table["null_check"]
    if not entries:
        return None
    rows = [
        (method_name(entry["method"]), *_null_cells(entry), *_null_cells(entry, "pooled_"), str(entry["shuffles"]))
        for entry in entries
    ]
    columns = (
        "method",
        "AUC inside each trial ± standard error",
        "0.5 within 3 SE",
        "AUC pooled over the trials ± standard error",
        "0.5 within 3 SE",
        "shuffles",
    )
    few = min(int(entry["shuffles"]) for entry in entries)
    notes = [
        "Labels were shuffled by patient with seeds fixed beforehand; mean AUC (iii) over the shuffles. Inside each "
        "trial: the trials’ own AUCs. Pooled: each lesion’s held-out prediction, as in Table 1. Pooled, a method that "
        "knows nothing may come out below 0.5, because a model trained without a lesion has seen a little more of the "
        "other class; a mean above 0.5 would point to a fault that flatters."
    ]
    notes += [f"Only {few} shuffles: at least 20 make a check."] if few < 20 else []
    if earlier := {entry["earlier"] for entry in entries if entry.get("earlier")}:
        count = " or ".join(str(number) for number in sorted(earlier))
        notes.append(
            f"The check was extended: the first {count} shuffles had been shown before and are not counted, because a "
            "check that goes on until it pleases is none."
        )
    caption = f"Null check with shuffled labels; {comparison.title}."
    notes += comparison.table["notes"]
    return ShownTable(f"{comparison.key}_null_check", caption, columns, rows, notes, pd.DataFrame(list(entries)))


def _null_cells(entry: Mapping[str, Any], prefix: str = "") -> tuple[str, str]:
    if f"{prefix}mean" not in entry:
        return "not computed", ""
    words = {True: "yes", False: "NO", None: "not known"}
    mean, se = (number(entry[f"{prefix}{key}"], 3) for key in ("mean", "se"))
    return f"{mean} ± {se}", words[entry[f"{prefix}within_3_se"]]


def _second(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "not applicable (trained on)"
    if not known(entry["p"]):
        return "undefined"
    return f"{interval(entry, centre='mean', sign=True)}, p = {entry['p']:.2f}"
