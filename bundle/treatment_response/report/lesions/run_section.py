"""The page's sections on one trained network: how well it predicts, its training, its inside, its maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from treatment_response.classes import CLASS_NAMES
from treatment_response.cohort.splits import persons_of
from treatment_response.evaluation.calibration_scores import calibration_scores
from treatment_response.evaluation.training_gap import TrainingGap
from treatment_response.evaluation.views import LesionView
from treatment_response.metrics.doubtful import AucRange
from treatment_response.metrics.intervals import Interval, ends_text, estimable
from treatment_response.metrics.scores import ROLES, lesion_averages, primary_role, with_model
from treatment_response.report.figures.training import training_curves
from treatment_response.report.lesions import tables
from treatment_response.report.lesions.calibration_section import calibration_figures, calibration_table
from treatment_response.report.lesions.doubtful_section import ranges_table
from treatment_response.report.lesions.figures.patches import (
    class_activation_maps,
    feature_maps,
    group_maps,
    reconstructions,
)
from treatment_response.report.lesions.figures.performance import confusion_matrix, roc_curves
from treatment_response.report.lesions.inputs import ReportInputs
from treatment_response.report.lesions.network_text import slices_text
from treatment_response.report.scores_section import SYNTHETIC_NOTE
from treatment_response.report.shown import Figures, ShownTable, known, number

NOTES = ("Research use only.",)


def run_content(inputs: ReportInputs, predictions: pd.DataFrame) -> dict[str, Any]:
    """The template's values for a trained network.

    Args:
        predictions: the run's ``predictions.csv``.
    """
    averaged = lesion_averages(predictions)
    role = primary_role(averaged)
    primary = tables.auc_intervals(averaged)[role]
    gap = inputs.training_gap
    sure = tables.sure_interval(predictions, inputs.lesions)
    notes = scored_notes(inputs)
    ranges = {} if inputs.doubtful_range is None else {"the network": inputs.doubtful_range.as_dict()}
    return {
        "protocol_text": _protocol_text(predictions),
        "slices": slices_text(inputs.provenance) or "slices",
        "has_heldout": role != "train_mri2",
        "metric_tables": [
            ShownTable(
                f"network_{metrics['finding'].replace('-', '_')}",
                f"The network; finding (positive class): {metrics['finding']}; decision at P(response) = 0.5.",
                tuple(metrics["columns"]),
                metrics["rows"],
                (*notes, *_redrawn_note(metrics["redrawn"])),
            )
            for metrics in tables.metric_tables(averaged)
        ],
        "training_gap": "" if gap is None else _gap_text(gap, int(with_model(predictions)["model"].nunique())),
        "baselines": ShownTable(
            "network_and_baselines",
            "The network beside what needs no picture, on the same lesions.",
            ("on the same lesions", "AUC", "network − this"),
            tables.comparison_rows(predictions, inputs.lesions),
            notes,
        ),
        "calibration": calibration_table(
            "network", {"the network": calibration_scores(predictions)}, ROLES[role], notes_of(inputs)
        ),
        "sure": str(sure) if sure is not None else "",
        "sure_count": sure.n if sure is not None else 0,
        "ranges": ranges_table("network", ranges, "this run", notes_of(inputs)),
        "key_numbers": _key_numbers(role, primary, gap, inputs.doubtful_range),
        "sample_size_text": _sample_size_text(averaged[averaged["role"] == role], primary),
        "flips": (sum(view.flips for view in inputs.views), len(inputs.views)) if inputs.views else None,
    }


def notes_of(inputs: ReportInputs) -> tuple[str, ...]:
    """What stands under every table of numbers."""
    synthetic = (SYNTHETIC_NOTE,) if inputs.synthetic else ()
    return (*NOTES, *synthetic, inputs.doubtful.note)


def scored_notes(inputs: ReportInputs) -> tuple[str, ...]:
    """What stands under tables with the network's AUC: its range comes first where many lesions are doubtful."""
    found = inputs.doubtful_range
    headline = () if found is None else (f"Headline: {found.sentence}",)
    return (*headline, *notes_of(inputs))


def run_figures(inputs: ReportInputs, predictions: pd.DataFrame) -> Figures:
    """Every figure of the network that the inputs allow, with its caption, in the order of the page."""
    synthetic, averaged = inputs.synthetic, lesion_averages(predictions)
    role = primary_role(averaged)
    figures: Figures = {}
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
    scored = {"the network": calibration_scores(predictions)}
    figures |= calibration_figures("network", scored, ROLES[role], synthetic)
    if inputs.history is not None:
        figures["training"] = (
            training_curves(inputs.history, synthetic),
            "What the network gets wrong (left, lower is better) and how often it is right (right) during training. "
            "When the training curve runs away from the held-out one, the network learns its lesions by heart.",
        )
    if inputs.drawn:
        figures |= _view_figures(inputs.drawn, synthetic)
    return figures


def _view_figures(views: Sequence[LesionView], synthetic: bool) -> Figures:
    responders = [view for view in views if view.label == 1][:6]
    others = [view for view in views if view.label == 0][:6]
    mixed = [view for pair in zip(responders, others, strict=False) for view in pair][:6] or list(views[:6])
    shown = _most_telling(others or list(views))
    figures: Figures = {}
    if shown.reconstruction is not None:  # the autoencoder's own figures; the stronger network has no decoder
        figures["reconstructions"] = (
            reconstructions(mixed, synthetic),
            "The network must also be able to redraw the lesion from what it keeps of it. Top to bottom: the MRI slice "
            "with the contour, the lesion alone, what the network redraws, and the difference.",
        )
        figures["features"] = (
            feature_maps(shown, synthetic),
            f"One lesion inside the network. Upper row: what its {len(shown.features)} filters respond to. Lower row: "
            f"how much more of each, in each cell, would raise the score of the lesion's true class ({shown.truth}); "
            "red raises it, blue lowers it. Outside the contour's cells the gradient is 0, because the feature maps "
            "are masked there.",
        )
    return figures | {
        "cams": (
            class_activation_maps(shown, synthetic),
            "The same lesion with the three kinds of class activation map: what speaks for the lesion's true class "
            "(POS, upper row) and for the other one (NEG, lower row). The outline is the contoured tumour; a cell is "
            f"{shown.cell_mm():.1f} mm wide. P is the network's answer for this slice.",
        ),
        "groups": (
            group_maps(responders, others, synthetic),
            "Up to six lesions of each class, chosen by their number and not by how they look: the MRI slice and, "
            "below it, what speaks for the lesion's true class. P is the network's answer for this slice; with "
            "a thick frame it is misclassified at 0.5.",
        ),
    }


def _most_telling(views: Sequence[LesionView]) -> LesionView:
    """The lesion for Fig. 5: the largest, because 16 × 16 cells show little of a small one."""
    return max(views, key=lambda view: float(view.mask.sum()) * view.pixel_mm**2)


def _redrawn_note(count: int) -> tuple[str, ...]:
    return (f"{count} resamples had a metric undefined and were drawn again.",) if count else ()


def _role_name(role: str) -> str:
    return ROLES[role].split(") ", 1)[1].replace(" (primary)", "")


def _key_numbers(role: str, primary: Interval, gap: TrainingGap | None, found: AucRange | None) -> list[dict[str, str]]:
    name, note = f"AUC, {_role_name(role)}", _interval_words(primary)
    numbers = [{"value": number(primary.estimate), "name": name, "note": note}]
    if found is not None:
        without = f"without them {number(primary.estimate)}, {note}"
        numbers = [{"value": found.span, "name": name, "note": f"{found.meaning}; {without}"}]
    if gap is not None and known(gap.true.estimate):
        numbers.append(_recognition(gap))
    return numbers


def _recognition(gap: TrainingGap) -> dict[str, str]:
    """What recognising a lesion is worth, for the head of the page."""
    value, rest = "not computed", "that takes a second --run, on shuffled labels"
    if gap.recognition is not None and gap.shuffled is not None:
        value = f"{gap.recognition.estimate:+.2f}"
        rest = (
            f"less {gap.shuffled.estimate:+.2f} with shuffled labels; 95 % interval of the rest "
            f"{ends_text(gap.recognition.low, gap.recognition.high, '+.2f', ' to ')}"
        )
    note = f"training minus held-out, (i) − (ii), is {gap.true.estimate:+.2f}; {rest}"
    return {"value": value, "name": "AUC, what recognising a lesion is worth", "note": note}


def _gap_text(gap: TrainingGap, models: int) -> str:
    """Training minus held-out in sentences."""
    first = (
        f"AUC (i) − (ii) = {gap.true}, inside each fitted model, averaged over {models} fitted "
        f"model{'s' if models > 1 else ''}. Every model has such a difference that fits its training lesions."
    )
    if gap.recognition is None:
        return (
            f"{first} What recognising a lesion is worth was not computed: it takes the same difference of networks "
            "trained on shuffled labels (a second --run)."
        )
    return (
        f"{first} Networks trained on shuffled labels, with nothing to learn, have {gap.shuffled}. What is left, "
        f"{gap.recognition} on the same resampled patients, is what recognising a lesion is worth."
    )


def _interval_words(interval: Interval) -> str:
    counts = f"{interval.n} lesions, {interval.patients} patients"
    if not known(interval.estimate):
        return f"one class only; {counts}"
    if not known(interval.low):
        return f"too few patients for an interval; {counts}"
    return f"95 % interval {ends_text(interval.low, interval.high, between=' to ')}; {counts}"


def _protocol_text(predictions: pd.DataFrame) -> str:
    folds = with_model(predictions)["model"].nunique()
    held_out = predictions[predictions["role"].str.startswith("heldout")]
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


def _sample_size_text(lesions: pd.DataFrame, interval: Interval) -> str:
    rarer = int(lesions["label"].value_counts().reindex([0, 1], fill_value=0).min())
    name = CLASS_NAMES[int(lesions["label"].mean() < 0.5)]
    if estimable(interval.low, interval.high):
        reach = (
            f"Its 95 % interval is {interval.high - interval.low:.2f} wide; halving it takes about four times as many "
            "patients. Whether two methods differ is not read off their own intervals but off that of their difference."
        )
    elif known(interval.low):
        reach = "Every resample gives the same number, so its interval is not estimable."
    elif known(interval.estimate):
        reach = "With one patient of a class it has no interval."
    else:
        reach = "With one class only there is no AUC."
    return (
        f"The primary number rests on {len(lesions)} lesions of {persons_of(lesions).nunique()} patients, of which "
        f"{rarer} are in the rarer class ({name}). {reach} Lesions of one patient resemble each other, which is why "
        "patients and not lesions are counted."
    )
