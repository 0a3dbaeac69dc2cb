"""A Methods section written from the settings that really ran; what was not recorded is said to be so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from treatment_response.cohort.splits import persons_of
from treatment_response.evaluation.comparison.methods import (
    AFTER_MRI_2,
    FUSED,
    FUSION,
    MEASURED,
)
from treatment_response.features.gradients import GROUP as GRADIENT_GROUP
from treatment_response.features.radiomics import DOSE_GROUP, RADIOMICS_GROUP
from treatment_response.metrics.doubtful import doubtful_beside
from treatment_response.metrics.scores import EXTERNAL
from treatment_response.report.lesions.comparisons import ComparisonInputs
from treatment_response.report.lesions.feature_names import GROUP_NAMES, words
from treatment_response.report.lesions.network_text import network_text, preprocessing_text
from treatment_response.report.lesions.table_one import method_name
from treatment_response.report.lesions.tables import rated
from treatment_response.report.recorded import UNKNOWN, class_name, flat, inner, percent, said

REFERENCES = {
    "peng": "Peng, Jiang, Timmerman. Exploring Strategies for Personalized Radiation Therapy Part I. arXiv 2506.17536.",
    "tripod": "Collins et al. TRIPOD+AI statement. BMJ 2024;385:e078378.",
    "claim": "Tejani et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update. "
    "Radiol Artif Intell 2024;6(4):e240300.",
    "nadeau": "Nadeau, Bengio. Inference for the Generalization Error. Machine Learning 2003;52:239-281.",
    "vickers": "Vickers, Elkin. Decision curve analysis. Med Decis Making 2006;26:565-574.",
    "platt": "Platt. Probabilistic outputs for support vector machines. Advances in Large Margin Classifiers "
    "1999:61-74.",
    "radiomics": "van Griethuysen et al. Computational Radiomics System to Decode the Radiographic Phenotype. "
    "Cancer Res 2017;77:e104-e107.",
    "gradient": "Tunali et al. Radial gradient and radial deviation radiomic features. Oncotarget 2017;8:96013-96026.",
    "cam": "Draelos, Carin. Use HiResCAM instead of Grad-CAM. arXiv 2011.08891.",
    "gradcam": "Selvaraju et al. Grad-CAM. ICCV 2017:618-626.",
    "adamw": "Loshchilov, Hutter. Decoupled Weight Decay Regularization. ICLR 2019.",
    "ssim": "Wang et al. Image Quality Assessment. IEEE Trans Image Process 2004;13:600-612.",
    "riley": "Riley et al. Calculating the sample size required for developing a clinical prediction model. "
    "BMJ 2020;368:m441.",
    "smeden": "van Smeden et al. Sample size for binary logistic prediction models. Stat Methods Med Res "
    "2019;28:2455-2474.",
    "calster": "Van Calster et al. A calibration hierarchy for risk models. J Clin Epidemiol 2016;74:167-176.",
}

RECONSTRUCTING = ("JointLoss", "SequentialLoss")
"""Losses with a part for the decoder, which SSIM belongs to."""


def methods_paragraphs(
    dataset: Mapping[str, Any],
    lesions: pd.DataFrame,
    ingest: Mapping[str, Any],
    run: Mapping[str, Any] | None,
    comparisons: Sequence[ComparisonInputs],
) -> list[tuple[str, str]]:
    """(heading, text) for a paper; every number stands in the data set's, the run's or a comparison's own record.

    Args:
        dataset: content of ``dataset.json``. lesions: ``lesions.csv``. ingest: ``ingest_report.json``.
        run: the trained network's ``provenance.json``; None without a run.
        comparisons: finished comparisons.
    """
    parts = [("Patients and labels", _patients(dataset, lesions, ingest) + _without_label(dataset, lesions))]
    for name, record in _networks(run, comparisons).items():
        parts += [(f"Preprocessing, {name}", preprocessing_text(record)), (name, network_text(record))]
    parts += [
        ("Models on features", _features(comparisons)),
        ("Evaluation", _evaluation(lesions, run, comparisons)),
        ("Statistics", _statistics(run, comparisons)),
        ("Software", _software(run, comparisons)),
    ]
    return [(f"{heading[0].upper()}{heading[1:]}", text) for heading, text in parts if text]


def references_of(run: Mapping[str, Any] | None, comparisons: Sequence[ComparisonInputs]) -> list[str]:
    """What the text and the page rest on."""
    methods = {method for one in comparisons for method in one.methods}
    keys = ["peng", "tripod", "claim"]
    networks = _networks(run, comparisons).values()
    if networks:
        keys += ["cam", "gradcam"]
    if any(class_name(inner(record, "settings", "optimizer")) == "AdamW" for record in networks):
        keys += ["adamw"]
    if any(class_name(inner(record, "settings", "loss")) in RECONSTRUCTING for record in networks):
        keys += ["ssim"]
    if comparisons:
        keys += ["nadeau", "riley", "smeden"]
    if run or comparisons:
        keys += ["vickers", "calster"]
    groups = {group for method in methods for group in MEASURED.get(method, ())}
    groups |= {group for method in FUSED if FUSION in methods for group in MEASURED.get(method, ())}
    if groups:
        keys += ["platt"]
    keys += ["radiomics"] if groups & {RADIOMICS_GROUP, DOSE_GROUP} else []
    keys += ["gradient"] if GRADIENT_GROUP in groups else []
    return [text for key, text in REFERENCES.items() if key in keys]


def _patients(dataset: Mapping[str, Any], lesions: pd.DataFrame, ingest: Mapping[str, Any]) -> str:
    settings = ingest.get("settings", {})
    responders, left_out = int((lesions["label"] == 1).sum()), ingest.get("left_out")
    kind = "simulated patients" if dataset.get("synthetic") else "patients"
    threshold = dataset.get("response_threshold")
    window = settings.get("follow_up_days")
    days = UNKNOWN if not window else f"{window[0]} to {window[1]} days"
    excluded = UNKNOWN if left_out is None else str(len(left_out))
    count = f"{responders} of {len(lesions)}"
    label = (
        f"Labels: {label_rule(ingest)} ({count} responded)."
        if rated(lesions)
        else f"A lesion responded if its volume at follow-up had fallen by more than {percent(threshold)} ({count} "
        f"did). Accepted follow-up: {days} after the first MRI. Lesions no longer contoured at follow-up: "
        f"{said(settings.get('absent'))}. Probability of each label under a contouring uncertainty with SD "
        f"{said(settings.get('contouring_sd_mm'))} mm."
    )
    return (
        f"{len(lesions)} brain metastases of {persons_of(lesions).nunique()} {kind} were analysed "
        f"(source: {said(ingest.get('source'))}); {excluded} lesions or patients were left out, each with its reason. "
        f"Volumes: {said(ingest.get('volumes'))}. {label} "
        f"Largest accepted Gradient Index: {said(settings.get('max_gradient_index'))}."
    )


def _without_label(dataset: Mapping[str, Any], lesions: pd.DataFrame) -> str:
    doubtful = doubtful_beside(lesions, dataset)
    if not doubtful.doubtful:
        return ""
    return f" {doubtful.note} No model was trained on them and no score counts them."


def label_rule(ingest: Mapping[str, Any]) -> str:
    """How ratings became labels, in the words of what prepared the data."""
    return str(inner(ingest, "settings", "labels") or "rated, not the volume rule")


def _features(comparisons: Sequence[ComparisonInputs]) -> str:
    texts = []
    for one in comparisons:
        measured, models = one.provenance.get("features"), one.provenance.get("models")
        text = f"Features: {_measured(measured)}. Methods: {_models(one.methods, models)}."
        if text not in texts:
            texts.append(text)
    return " ".join(texts)


def _measured(record: Mapping[str, Any] | None) -> str:
    """What was measured of the images: groups with number and settings, and the filter for robustness."""
    if record is None:
        return UNKNOWN
    parts = []
    for group, what in record.items():
        if group == "robustness":
            parts.append(
                f"those with an ICC below {said(what.get('least_icc'))} over {len(what.get('perturbations', []))} "
                f"small perturbations of contour and intensities were left out (border displacements correlated over "
                f"{said(what.get('correlation_mm'))} mm)"
            )
        else:
            name = GROUP_NAMES.get(group, group)
            parts.append(f"{name}, {said(what.get('features'))} ({flat(what.get('settings'))})")
    return "; ".join(parts) or "none of the images"


def _models(methods: Sequence[str], record: Mapping[str, Any] | None) -> str:
    """Each method's steps with their settings, or a network's configs and epochs."""
    parts = []
    for method in methods:
        made = (record or {}).get(method)
        if made is None:
            text = UNKNOWN
        elif "mean_of_logits" in made:
            text = f"mean of the logits of {', '.join(map(method_name, made['mean_of_logits']))}, nothing fitted"
        elif "steps" in made:
            steps = [f"{words(step['name'])}{_in_brackets(step.get('settings'))}" for step in made["steps"]]
            count = made.get("mean_number_of_features")
            text = f"{', '.join(steps)}; on average {UNKNOWN if count is None else f'{count:g}'} features"
        else:
            overlays = ", ".join(made.get("overlays", [])) or "no overlay"
            text = f"{said(made.get('config'))} with {overlays}, {said(made.get('epochs'))} epochs"
        parts.append(f"{method_name(method)}: {text}")
    return "; ".join(parts)


def _in_brackets(settings: Mapping[str, Any] | None) -> str:
    return f" ({flat(settings)})" if settings else ""


def _evaluation(lesions: pd.DataFrame, run: Mapping[str, Any] | None, comparisons: Sequence[ComparisonInputs]) -> str:
    sentences = []
    for one in comparisons:
        settings = one.provenance.get("settings", {})
        fewer = settings.get("shuffle_epochs")
        sentences.append(
            f"{one.title}: {said(settings.get('trials'))} trials with seeds from {said(settings.get('seed'))}; "
            f"{_held_out(settings.get('protocol'))}; every method got the same splits; "
            f"{said(settings.get('shuffles'))} shuffles of the labels as a null check"
            f"{'' if fewer is None else f', networks trained for {fewer} epochs there'}."
        )
    if run is not None:
        sentences.append(
            f"The network of the run: protocol {said(run.get('protocol'))}, fold {said(run.get('fold'))}, seed "
            f"{said(run.get('seed'))}, trained on {said(inner(run, 'dataset', 'training_lesions'))} lesions of "
            f"{said(inner(run, 'dataset', 'training_patients'))} patients."
        )
    if _protocols(run, comparisons) == {EXTERNAL}:
        sentences.append("Scaling, selection and calibration were fitted on the lesions that were trained on alone.")
    elif _protocols(run, comparisons) == {"A"}:
        sentences.append("Models were fitted on the first MRI and scored on the second MRI of the same lesions.")
    else:
        scored = (
            "(i) the second MRI of their training lesions, (ii) the second and (iii) the first MRI of held-out "
            "patients; (iii) is primary"
            if lesions["volume_ses-02_mm3"].notna().any()
            else "that of held-out patients; there is no second MRI"
        )
        later = [method_name(method) for one in comparisons for method in one.methods if method in AFTER_MRI_2]
        if later:
            names = ", ".join(dict.fromkeys(later))
            sentences.append(
                f"Fitted and scored on both MRIs of lesions that have both, known only after MRI 2: {names}."
            )
        sentences.append(
            f"{'Other models' if later else 'Models'} were fitted on the first MRI and scored on {scored}. Scaling, "
            "selection and calibration were fitted on training lesions alone."
        )
    return " ".join(sentences)


def _protocols(run: Mapping[str, Any] | None, comparisons: Sequence[ComparisonInputs]) -> set[str]:
    protocols = {str(inner(one.provenance, "settings", "protocol")) for one in comparisons}
    return protocols | ({str(run.get("protocol"))} if run is not None else set())


def _held_out(protocol: object) -> str:
    return {
        EXTERNAL: "one model per method was fitted on all lesions of another data set, and every patient of this one "
        "was only scored",
        "A": "no patient was held out (the original paper’s way)",
        "B": "each trial held out a fifth of the patients, all lesions of a patient on one side, in stratified "
        "five-fold divisions repeated with other seeds",
    }.get(str(protocol), f"protocol {UNKNOWN}")


def _statistics(run: Mapping[str, Any] | None, comparisons: Sequence[ComparisonInputs]) -> str:
    counts = {entry["auc"].get("resamples") for one in comparisons for entry in one.table["differences"]} - {None}
    repeated = f" Differences used {', '.join(str(n) for n in sorted(counts))} valid resamples." if counts else ""
    second = (
        " Differences between methods are paired; a corrected resampled t-interval over the trials is the second "
        "opinion."
        if any(entry.get("nadeau_bengio") for one in comparisons for entry in one.table["differences"])
        else ""
    )
    held_out = "" if _protocols(run, comparisons) == {"A"} else "held-out "
    more = " Mean ± SD over trials is the spread over splits." if comparisons else ""
    return (
        f"The unit is the patient: each lesion’s {held_out}predictions were averaged, then patients were resampled "
        f"with replacement for 95 % intervals (on the logit scale for shares, on Fisher’s z for correlations, "
        f"plain for differences).{repeated}{second} Metrics are given with response and with "
        "non-response as the positive class, at P(response) = 0.5, which was not tuned; the Brier score needs no such "
        f"limit.{more} Calibration (slope, intercepts, Brier score beside that of the prevalence, groups of about "
        "equal size) and net benefit of acting on non-response are those of single fitted models, never of their mean."
    )


def _software(run: Mapping[str, Any] | None, comparisons: Sequence[ComparisonInputs]) -> str:
    versions: dict[str, str] = {}
    for record in [*(one.provenance for one in comparisons), *([run] if run else [])]:
        versions |= {str(name): str(version) for name, version in record.get("versions", {}).items()}
        if "treatment_response" in record:
            versions["treatment-response"] = str(record["treatment_response"])
    return "Versions: " + (", ".join(f"{name} {version}" for name, version in versions.items()) or UNKNOWN) + "."


def _networks(run: Mapping[str, Any] | None, comparisons: Sequence[ComparisonInputs]) -> dict[str, Mapping[str, Any]]:
    """Network in words → its record: the run's and the comparisons' first trials; like ones are named once."""
    found: dict[str, Mapping[str, Any]] = {"network of the run": run} if run else {}
    for one in comparisons:
        for method, record in one.networks.items():
            if _like(record) not in map(_like, found.values()):
                name = method_name(method)
                found[f"{name}, {one.title}" if name in found else name] = record
    return found


def _like(record: Mapping[str, Any]) -> dict[str, Any]:
    """The settings but those in which trials differ."""
    return {key: value for key, value in record.get("settings", {}).items() if key not in ("seed", "fold", "protocol")}
