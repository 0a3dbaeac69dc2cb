"""From the inputs to the page: numbers, figures and what they mean in plain words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from treatment_response.evaluation.figures.cohort import cohort_overview
from treatment_response.evaluation.figures.patches import (
    class_activation_maps,
    feature_maps,
    group_maps,
    reconstructions,
)
from treatment_response.evaluation.figures.performance import confusion_matrix, localisation_bars, roc_curves
from treatment_response.evaluation.figures.style import png_bytes
from treatment_response.evaluation.figures.training import training_curves
from treatment_response.evaluation.localisation import MEASURES, localisation_summary
from treatment_response.evaluation.metrics import CLASS_NAMES, ROLES, lesion_averages
from treatment_response.evaluation.report import tables
from treatment_response.evaluation.report.inputs import ReportInputs
from treatment_response.evaluation.report.page import render_page
from treatment_response.evaluation.views import LesionView

Figures = dict[str, tuple[Figure, str]]
CONTENTS = {
    "cohort": "Who was studied",
    "method": "How it was evaluated",
    "results": "How well it predicts",
    "training": "Training",
    "explanation": "Where the answer comes from",
    "localisation": "Are the maps right?",
    "settings": "Settings",
}


def build_report(inputs: ReportInputs, out: Path) -> Path:
    """Write ``report.html`` and ``figures/*.png``.

    Args:
        inputs: what to show.
        out: folder, created if needed.

    Returns:
        The page's path.
    """
    figures = {name: (png_bytes(figure), caption) for name, (figure, caption) in make_figures(inputs).items()}
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for name, (png, _) in figures.items():
        (out / "figures" / f"{name}.png").write_bytes(png)
    links = [(f"figures/{name}.png", f"figures/{name}.png") for name in figures]
    page = out / "report.html"
    # A sibling first: a report that fails half-way never replaces a whole one.
    partial = out / f".report.{os.getpid()}.html"
    partial.write_text(render_page(page_content(inputs, links), figures), encoding="utf-8")
    partial.replace(page)
    return page


def page_content(inputs: ReportInputs, links: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """The template's values."""
    averaged = lesion_averages(inputs.predictions)
    intervals = tables.auc_intervals(averaged)
    role = tables.primary_role(averaged)
    primary = intervals[role]
    threshold = float(inputs.dataset.get("response_threshold", 0.2))
    leak = tables.leak_interval(inputs.predictions)
    sure = tables.sure_interval(inputs.predictions, inputs.lesions)
    locations = None if inputs.localisation is None else localisation_summary(inputs.localisation)
    key_numbers = [
        {"value": f"{primary.estimate:.2f}", "name": f"AUC, {_role_name(role)}", "note": _interval_words(primary)},
        {
            "value": f"{inputs.lesions['subject'].nunique()} / {len(inputs.lesions)}",
            "name": "patients / lesions",
            "note": f"{int((inputs.lesions['label'] == 0).sum())} non-responding lesions",
        },
    ]
    if leak is not None:
        note = "how much scoring known lesions flatters"
        key_numbers.insert(
            1, {"value": f"{leak.estimate:+.2f}", "name": "AUC, the paper's way, (i) − (ii)", "note": note}
        )
    contents = [item for item in CONTENTS.items() if item[0] != "localisation" or locations is not None]
    skipped = primary.skipped
    return {
        "title": "Radiotherapy response of brain metastases from the first MRI",
        "synthetic": inputs.synthetic,
        "dataset_name": str(inputs.dataset.get("name", "data set")),
        "volume_limit": f"{1 - threshold:.0%}",
        "key_numbers": key_numbers,
        "contents": contents,
        "cohort_rows": tables.cohort_rows(inputs.lesions, threshold),
        "exclusion_rows": tables.exclusion_rows(inputs.ingest),
        "protocol_text": _protocol_text(inputs),
        "has_heldout": role != "train_mri2",
        "metric_tables": tables.metric_tables(averaged),
        "skipped": f"{skipped} of the 2000 resamples held one class only and were left out." if skipped else "",
        "leak": str(leak) if leak is not None else "",
        "fold_count": int(tables.with_model(inputs.predictions)["model"].nunique()),
        "comparison_rows": tables.comparison_rows(inputs.predictions, inputs.lesions),
        "sure": str(sure) if sure is not None else "",
        "sure_count": sure.n if sure is not None else 0,
        "lesion_rows": tables.lesion_rows(inputs.predictions, inputs.lesions),
        "sample_size_text": _sample_size_text(averaged[averaged["role"] == role], primary),
        "has_views": bool(inputs.views),
        "localisation_rows": [] if locations is None else _localisation_rows(locations),
        "localisation_columns": ["map", *(MEASURES[m].name for m in _measures(locations))],
        "localisation_patients": 0 if inputs.localisation is None else inputs.localisation["subject"].nunique(),
        "version_rows": _version_rows(inputs),
        "setting_rows": tables.flat_rows(inputs.provenance),
        "files": [*inputs.files, *links],
    }


def make_figures(inputs: ReportInputs) -> Figures:
    """Every figure that the inputs allow, with its caption, in the order of the page."""
    synthetic, averaged = inputs.synthetic, lesion_averages(inputs.predictions)
    role = tables.primary_role(averaged)
    threshold = float(inputs.dataset.get("response_threshold", 0.2))
    figures: Figures = {
        "cohort": (
            cohort_overview(inputs.lesions, threshold, synthetic),
            "The lesions: how much each changed in volume until follow-up and which label that gives, how large they "
            "were before treatment, how many a patient has, and whether the classes are spread evenly over the sites.",
        )
    }
    if averaged.loc[averaged["role"] == role, "label"].nunique() == 2:
        figures["roc"] = (
            roc_curves(averaged, tables.auc_intervals(averaged), synthetic),
            "Sensitivity against false alarms at every threshold. The further a curve bends to the upper left, the "
            "better; the dotted diagonal is a coin toss. The shaded band is where the primary curve could lie with "
            "other patients of the same kind.",
        )
    figures["confusion"] = (
        confusion_matrix(averaged[averaged["role"] == role], f"Decisions, {_role_name(role)}", synthetic),
        "How often the decision at threshold 0.5 was right. Rows are the truth; upper left and lower right are right.",
    )
    if inputs.history is not None:
        figures["training"] = (
            training_curves(inputs.history, synthetic),
            "What the network gets wrong (left, lower is better) and how often it is right (right) during training. "
            "When the training curve runs away from the held-out one, the network learns its lesions by heart.",
        )
    if inputs.views:
        figures |= _view_figures(inputs.views, synthetic)
    if inputs.localisation is not None:
        summary = localisation_summary(inputs.localisation)
        measure = _measures(summary)[0]
        figures["localisation"] = (
            localisation_bars(summary, measure, MEASURES[measure].name, MEASURES[measure].chance, synthetic),
            "How well each map tells niche from the rest of the lesion: 1 is perfect, 0.5 is what a map without "
            "information gets. Blue bars are the model's maps, grey bars the controls.",
        )
    return figures


def _view_figures(views: Sequence[LesionView], synthetic: bool) -> Figures:
    responders = [view for view in views if view.label == 1][:6]
    others = [view for view in views if view.label == 0][:6]
    mixed = [view for pair in zip(responders, others, strict=False) for view in pair][:6] or list(views[:6])
    shown = _most_telling(others or list(views))
    return {
        "reconstructions": (
            reconstructions(mixed, synthetic),
            "The network must also be able to redraw the lesion from what it keeps of it. Top to bottom: the MRI slice "
            "with the contour, the lesion alone, what the network redraws, and the difference.",
        ),
        "features": (
            feature_maps(shown, synthetic),
            "One lesion inside the network. Upper row: what its five filters respond to. Lower row: how much more of "
            f"each, in each cell, would raise the score of the lesion's true class ({shown.truth}); red raises it, "
            "blue lowers it. Outside the contour there is nothing, because the network decides from the lesion only.",
        ),
        "cams": (
            class_activation_maps(shown, synthetic),
            "The same lesion with the three kinds of class activation map: what speaks for the lesion's true class "
            "(POS, upper row) and for the other one (NEG, lower row). The outline is the contoured tumour; a cell is "
            f"{shown.cell_mm():.1f} mm wide.",
        ),
        "groups": (
            group_maps(responders, others, synthetic),
            "Up to six lesions of each class, chosen by their number and not by how they look: the MRI slice and, "
            "below it, what speaks for the lesion's true class.",
        ),
    }


def _most_telling(views: Sequence[LesionView]) -> LesionView:
    """The lesion for Fig. 5: the largest, because 16 × 16 cells show little of a small one."""
    return max(views, key=lambda view: float(view.mask.sum()) * view.pixel_mm**2)


def _localisation_rows(summary: pd.DataFrame) -> list[tuple[str, ...]]:
    rows = []
    for name in summary["name"].unique():
        cells = []
        for measure in _measures(summary):
            row = summary[(summary["name"] == name) & (summary["measure"] == measure)]
            known = len(row) and pd.notna(row["mean"].iloc[0])
            cells.append("{mean:.2f} [{low:.2f},\u00a0{high:.2f}]".format(**row.iloc[0]) if known else "")
        rows.append((str(name), *cells))
    return rows


def _measures(summary: pd.DataFrame | None) -> list[str]:
    return [] if summary is None else [measure for measure in MEASURES if measure in set(summary["measure"])]


def _role_name(role: str) -> str:
    return ROLES[role].split(") ", 1)[1].replace(" (primary)", "")


def _interval_words(interval: Any) -> str:
    return (
        f"95 % interval {interval.low:.2f} to {interval.high:.2f}; {interval.n} lesions, {interval.patients} patients"
    )


def _protocol_text(inputs: ReportInputs) -> str:
    folds = tables.with_model(inputs.predictions)["model"].nunique()
    held_out = inputs.predictions[inputs.predictions["role"].str.startswith("heldout")]
    if held_out.empty:
        return "Protocol A (the paper's): the network was trained on MRI 1 of all lesions."
    if folds > 1:
        return (
            f"Protocol B, cross-validation: {folds} networks, each trained on MRI 1 of all patients but one fold, so "
            "that every patient is held out once. Pictures and training curves are those of the first of them."
        )
    fold = int(held_out["fold"].iloc[0])
    return (
        f"Protocol B: the network was trained on MRI 1 of the patients outside fold {fold}; fold {fold} was held out."
    )


def _sample_size_text(lesions: pd.DataFrame, interval: Any) -> str:
    rarer = int(lesions["label"].value_counts().reindex([0, 1], fill_value=0).min())
    name = CLASS_NAMES[int(lesions["label"].mean() < 0.5)]
    half = (interval.high - interval.low) / 2
    return (
        f"The primary number rests on {len(lesions)} lesions of {lesions['subject'].nunique()} patients, of which "
        f"{rarer} are in the rarer class ({name}). Its 95 % interval reaches {half:.2f} to either side, so methods "
        "that differ by less cannot be told apart here; halving it takes about four times as many patients. Lesions of "
        "one patient resemble each other, which is why patients and not lesions are counted."
    )


def _version_rows(inputs: ReportInputs) -> list[tuple[str, str]]:
    made = inputs.provenance
    chosen = ("treatment_response", "date", "seed", "protocol", "fold", "device", "threads")
    rows = [(key, str(made[key])) for key in chosen if key in made]
    rows += [(str(name), str(version)) for name, version in made.get("versions", {}).items()]
    return rows or [("provenance", "the run has no provenance.json")]
