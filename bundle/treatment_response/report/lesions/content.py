"""Everything the page says, as one mapping: which sections there are depends on what was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.cohort.splits import persons_of
from treatment_response.evaluation.comparison.methods import FUSION, MEASURED
from treatment_response.metrics.intervals import COVERED, ends_text
from treatment_response.metrics.scores import EXTERNAL, lesion_averages, primary_role
from treatment_response.report.build import write_report
from treatment_response.report.checklists import CHECKLISTS, answered, read_checklist
from treatment_response.report.lesions import tables
from treatment_response.report.lesions.comparison_section import (
    comparison_content,
    comparison_figures,
    intervals,
    method_ranges,
    primary_lesions,
)
from treatment_response.report.lesions.comparisons import ComparisonInputs
from treatment_response.report.lesions.doubtful_section import counts_table, lesions_table
from treatment_response.report.lesions.figures.cohort import cohort_overview
from treatment_response.report.lesions.inputs import ReportInputs
from treatment_response.report.lesions.lesion_table import FILTERS, lesion_rows
from treatment_response.report.lesions.methods_text import label_rule, methods_paragraphs, references_of
from treatment_response.report.lesions.run_section import notes_of, run_content, run_figures
from treatment_response.report.lesions.table_one import method_name, overview_table, primary_methods
from treatment_response.report.recorded import flat_rows, percent
from treatment_response.report.scores_section import ShownMaps, explanation_figures, explanation_tables
from treatment_response.report.shown import Figures, ShownTable

TITLE = "Radiotherapy response of brain metastases from the first MRI"
SECTIONS = {
    "cohort": "Who was studied",
    "method": "How it was evaluated",
    "comparison": "Methods side by side",
    "results": "How well the network predicts",
    "lesions": "Lesion by lesion",
    "sample": "Sample size",
    "training": "Training",
    "explanation": "Where the answer comes from",
    "explanation-scores": "Are the explanations right?",
    "methods-text": "Methods, for a paper",
    "checklists": "Reporting checklists",
    "settings": "Versions, settings and files",
}
OF_LESIONS = ShownMaps("non-response", ("response",), "lesions")
HEADLINES = ("fusion", "improved", "cnn", "ensemble", "gradient", "radiomics", "clinical", "size")
"""Whose primary AUC stands at the top of a page without a run: fixed beforehand, not the best one."""


def build_report(inputs: ReportInputs, out: Path) -> Path:
    """Write the report on response of lesions into `out`, see `write_report`; returns the page's path."""
    return write_report(page_content(inputs), make_figures(inputs), out, "lesions/page.html")


def page_content(inputs: ReportInputs, links: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """The template's values."""
    threshold = inputs.dataset.get("response_threshold")
    name = str(inputs.dataset.get("name", "data set"))
    cohort = tables.cohort_rows(inputs.lesions, float(threshold or 0.2))
    run = None if inputs.predictions is None else run_content(inputs, inputs.predictions)
    comparisons = [comparison_content(one) for one in inputs.comparisons]
    lesions, rows = lesion_rows(inputs.lesions, _predictions_by_method(inputs), inputs.pictures)
    lesions = replace(lesions, notes=list(dict.fromkeys([*_lesion_notes(inputs), *lesions.notes, *notes_of(inputs)])))
    present = {
        "comparison": bool(comparisons),
        "results": run is not None,
        "sample": run is not None or bool(comparisons),
        "training": inputs.history is not None or bool(inputs.drawn),
        "explanation": bool(inputs.drawn),
        "explanation-scores": inputs.explanations is not None,
    }
    sections = {anchor: name for anchor, name in SECTIONS.items() if present.get(anchor, True)}
    record = None if inputs.predictions is None else inputs.provenance
    facts = facts_of(inputs)
    synthetic, explanations = inputs.synthetic, inputs.explanations
    return {
        "title": TITLE,
        "synthetic": inputs.synthetic,
        "only_synthetic": inputs.only_synthetic,
        "held_out": (run is None and not comparisons) or "heldout" in facts,
        "path_only": _path_only(inputs),
        "response_means": _response_means(inputs),
        "key_numbers": [*_key_numbers(inputs, run), _counts(inputs)],
        "sections": sections,
        "cohort": ShownTable("cohort", "The cohort", ("", name), cohort, notes_of(inputs)),
        "left_out": ShownTable(
            "left_out", "Left out", ("lesion or patient", "reason"), tables.exclusion_rows(inputs.ingest)
        ),
        "doubtful_counts": counts_table(inputs.doubtful, notes_of(inputs)),
        "doubtful_lesions": lesions_table(inputs.dataset, _unlabelled_by_method(inputs), notes_of(inputs)),
        "covered": COVERED,
        "run": run,
        "comparisons": comparisons,
        "overview": overview_table(inputs.comparisons),
        "lesions": lesions,
        "pictured_rows": rows,
        "filters": FILTERS,
        "mapped": any(picture.mapped for picture in inputs.pictures.values()),
        "explanations": []
        if explanations is None
        else explanation_tables(explanations, explanations.synthetic(synthetic), OF_LESIONS),
        "methods_text": methods_paragraphs(inputs.dataset, inputs.lesions, inputs.ingest, record, inputs.comparisons),
        "references": references_of(record, inputs.comparisons),
        "checklists": [answered(read_checklist(name), sections, facts) for name in CHECKLISTS],
        "versions": ShownTable("versions", "Versions", ("", "value"), _version_rows(inputs)),
        "settings": ShownTable("settings", "Every resolved setting", ("setting", "value"), _setting_rows(inputs)),
        "files": [*inputs.files, *links],
    }


def make_figures(inputs: ReportInputs) -> Figures:
    """Every figure that the inputs allow, in the order of the page."""
    threshold = float(inputs.dataset.get("response_threshold") or 0.2)
    figures: Figures = {
        "cohort": (
            cohort_overview(inputs.lesions, threshold, inputs.synthetic),
            "The lesions: how much each changed in volume until follow-up and which label that gives, how large they "
            "were before treatment, how many a patient has, and whether the classes are spread evenly over the sites.",
        )
    }
    for one in inputs.comparisons:
        figures |= comparison_figures(one)
    if inputs.predictions is not None:
        figures |= run_figures(inputs, inputs.predictions)
    if inputs.explanations is not None:
        figures |= explanation_figures(inputs.explanations, inputs.explanations.synthetic(inputs.synthetic), OF_LESIONS)
    return figures


def _key_numbers(inputs: ReportInputs, run: dict[str, Any] | None) -> list[dict[str, str]]:
    if run is not None:
        return list(run["key_numbers"])
    for one in inputs.comparisons[:1]:
        found = intervals(one)
        shown = [method for method in HEADLINES if method in found][:2]
        return [_key_number(one, method, found[method]) for method in shown]
    return []


def _key_number(comparison: ComparisonInputs, method: str, primary: Mapping[str, Any]) -> dict[str, str]:
    value = f"{primary['estimate']:.2f}"
    note = f"95 % interval {ends_text(primary['low'], primary['high'], between=' to ')}; {comparison.title}"
    if (found := comparison.ranges.get(method)) is not None:
        value, note = str(found["span"]), f"{found['meaning']}; without them {value}, {note}"
    return {"value": value, "name": f"AUC, {method_name(method)}", "note": note}


def _lesion_notes(inputs: ReportInputs) -> list[str]:
    """The range of each method's AUC, where many lesions are doubtful."""
    main = main_comparison(inputs)
    found = {} if inputs.doubtful_range is None else {"network of the run": inputs.doubtful_range.as_dict()}
    found |= {} if main is None else method_ranges(main)
    return [f"Headline, {name}: {each['sentence']}" for name, each in found.items()]


def _unlabelled_by_method(inputs: ReportInputs) -> dict[str, pd.DataFrame]:
    """Method in words → its predictions of doubtful lesions: the run's network, the main comparison's methods."""
    found = {} if inputs.unlabelled is None else {"network of the run": inputs.unlabelled}
    main = main_comparison(inputs)
    if main is not None and main.unlabelled is not None:
        table = main.unlabelled
        found |= {method_name(method): table[table["method"] == method] for method in primary_methods(main)}
    return found


def _path_only(inputs: ReportInputs) -> str:
    """Why the page shows no performance: few lesions were held out. Empty where all were, or none could be."""
    held_out = max((_held_out(table) for table in _scored(inputs)), default=0)
    roles = {role for table in _scored(inputs) for role in table["role"].unique()}
    if not held_out or held_out >= len(inputs.lesions) or EXTERNAL in roles:
        return ""
    return (
        f"{held_out} of {len(inputs.lesions)} lesions were held out. For numbers to quote, hold every patient out "
        "(scripts/cross_validate.py, or scripts/compare.py with more trials)."
    )


def _scored(inputs: ReportInputs) -> list[pd.DataFrame]:
    """The predictions of the run and of every comparison."""
    tables = [one.predictions for one in inputs.comparisons]
    return tables if inputs.predictions is None else [*tables, inputs.predictions]


def _response_means(inputs: ReportInputs) -> str:
    """What the word means on this page, to follow “means”."""
    if tables.rated(inputs.lesions):
        return f"what a clinician called so: {label_rule(inputs.ingest)}"
    threshold = inputs.dataset.get("response_threshold")
    limit = "a stated share" if threshold is None else percent(1 - threshold)
    return f"that the lesion's volume at follow-up is below {limit} of its volume before treatment"


def _counts(inputs: ReportInputs) -> dict[str, str]:
    lesions, doubtful = inputs.lesions, inputs.doubtful.doubtful
    note = f"{int((lesions['label'] == 0).sum())} non-responding lesions"
    return {
        "value": f"{persons_of(lesions).nunique()} / {len(lesions)}",
        "name": "patients / lesions",
        "note": f"{note}; {doubtful} more are doubtful" if doubtful else note,
    }


def _predictions_by_method(inputs: ReportInputs) -> dict[str, pd.DataFrame]:
    """Method in words → one row per lesion of the primary role: the run's network, the main comparison's methods."""
    found = {}
    if inputs.predictions is not None:
        averaged = lesion_averages(inputs.predictions)
        found["network of the run"] = averaged[averaged["role"] == primary_role(averaged)]
    main = main_comparison(inputs)
    if main is not None:
        found |= {method_name(method): primary_lesions(main, method) for method in primary_methods(main)}
    return found


def main_comparison(inputs: ReportInputs) -> ComparisonInputs | None:
    """The first comparison of this data set with its own labels; others have other lesions or other labels."""
    threshold = inputs.dataset.get("response_threshold")
    own = (one for one in inputs.comparisons if one.own and one.table.get("response_threshold") == threshold)
    return next(own, None)


def facts_of(inputs: ReportInputs) -> set[str]:
    """What the checklists may rest an answer on."""
    scored = _scored(inputs)
    roles = {role for table in scored for role in table["role"].unique()}
    thresholds = {one.table.get("response_threshold") for one in inputs.comparisons}
    null = any(one.table["null_check"] for one in inputs.comparisons)
    methods = {method for one in inputs.comparisons for method in one.methods}
    external = EXTERNAL in roles
    holds = {
        "always": True,
        "synthetic": inputs.only_synthetic,
        "ingest": bool(inputs.ingest),
        "dose": bool(inputs.lesions["max_dose_gy"].notna().any()),
        "one_site": inputs.lesions["site"].nunique(dropna=False) == 1 and bool(inputs.lesions["site"].notna().all()),
        "run": inputs.predictions is not None and bool(inputs.provenance),
        "network": bool(inputs.provenance) or any(one.networks for one in inputs.comparisons),
        "heldout": any(role.startswith("heldout") for role in roles),
        "all_held_out": not external and any(_held_out(table) >= len(inputs.lesions) for table in scored),
        "robustness": len(thresholds) > 1 or null,
        "selection": bool(methods & {*MEASURED, FUSION}),
        "external": external,
        "volumes": not tables.rated(inputs.lesions),
    }
    return {fact for fact, true in holds.items() if true}


def _held_out(predictions: pd.DataFrame) -> int:
    """How many lesions were held out at least once."""
    return len(predictions.loc[predictions["role"].str.startswith("heldout"), ["subject", "lesion"]].drop_duplicates())


def _version_rows(inputs: ReportInputs) -> list[tuple[str, str]]:
    made = inputs.provenance
    chosen = ("treatment_response", "date", "seed", "protocol", "fold", "device", "threads")
    rows = [(key, str(made[key])) for key in chosen if key in made]
    versions = dict(made.get("versions", {}))
    for one in inputs.comparisons:
        versions |= one.provenance.get("versions", {})
    rows += [(str(name), str(version)) for name, version in versions.items()]
    return rows or [("provenance", "not recorded")]


def _setting_rows(inputs: ReportInputs) -> list[tuple[str, ...]]:
    rows = flat_rows(inputs.provenance)
    for one in inputs.comparisons:
        rows += flat_rows(one.provenance, f"{one.key}.")
    return rows
