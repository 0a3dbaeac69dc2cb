"""What the page says of lesions whose follow-up is in doubt: their number, their reasons, and the range of the AUC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from treatment_response.cohort.doubtful_counts import DoubtfulCounts
from treatment_response.cohort.lesion import BASELINE
from treatment_response.report.shown import Row, ShownTable, interval

Range = Mapping[str, Any]
"""`metrics.doubtful.AucRange.as_dict`."""


def counts_table(counts: DoubtfulCounts, notes: Sequence[str]) -> ShownTable | None:
    """Doubtful lesions by lesions per patient; None if there are none."""
    if not counts.doubtful:
        return None
    rows = [
        (
            group.per_patient,
            str(group.lesions),
            str(group.doubtful),
            f"{group.doubtful / group.lesions:.1%}" if group.lesions else "",
        )
        for group in counts.groups
    ]
    rows.append(("all", str(counts.lesions), str(counts.doubtful), f"{counts.share:.1%}"))
    columns = ("lesions per patient", "lesions of MRI 1", "doubtful", "share")
    caption = "Lesions without a label because their follow-up is in doubt."
    return ShownTable("doubtful_counts", caption, columns, rows, notes)


def lesions_table(
    dataset: Mapping[str, Any], predictions: Mapping[str, pd.DataFrame], notes: Sequence[str]
) -> ShownTable | None:
    """Every doubtful lesion with its reason and what the methods said of it; None if there are none.

    Args:
        dataset: content of ``dataset.json``.
        predictions: method in words → rows of ``unlabelled_predictions.csv``.
    """
    samples = [sample for sample in dataset.get("unlabelled", []) if sample["session"] == BASELINE]
    if not samples:
        return None
    means = {
        name: table.groupby(["subject", "lesion"])["p_response"].mean().to_dict() for name, table in predictions.items()
    }
    rows: list[Row] = []
    for sample in samples:
        key = (sample["subject"], sample["lesion"])
        said = (f"{found[key]:.2f}" if key in found else "not scored" for found in means.values())
        rows.append((" ".join(key), str(sample.get("reason", "")), *said))
    about = "Numbers under a method are its P(response), averaged over the models that held the patient out."
    columns = ("lesion", "why its follow-up is in doubt", *means)
    return ShownTable("doubtful_lesions", "Lesions without a label.", columns, rows, [about, *notes])


def ranges_table(key: str, ranges: Mapping[str, Range], title: str, notes: Sequence[str]) -> ShownTable | None:
    """The AUC with the doubtful lesions, the headline where they are many; None where they are few.

    Args:
        key: start of the CSV's name. ranges: method in words → its range. title: of the comparison or the run.
    """
    if not ranges:
        return None
    rows = [
        (name, str(each["headline"]), interval(each["as_non_response"]), interval(each["as_response"]))
        for name, each in ranges.items()
    ]
    data = pd.DataFrame(
        [
            {"method": name, "doubtful_as": label, **{part: each[end][part] for part in ("estimate", "low", "high")}}
            for name, each in ranges.items()
            for label, end in (("non-response", "as_non_response"), ("response", "as_response"))
        ]
    )
    columns = (
        "method",
        "AUC as a range",
        "doubtful as non-response [95 % interval]",
        "doubtful as response [95 % interval]",
    )
    about = "The range is the headline, since more than 5 % of the lesions of MRI 1 have no label."
    caption = f"Primary AUC with every doubtful lesion as non-response and as response; {title}."
    return ShownTable(f"{key}_doubtful_range", caption, columns, rows, [about, *notes], data)
