"""A Methods section written from the settings that really ran; what was not recorded is said to be so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from treatment_response.evaluation.report.feature_names import GROUP_NAMES, words
from treatment_response.evaluation.report.results import ComparisonInputs
from treatment_response.evaluation.report.table_one import method_name

UNKNOWN = "not recorded"
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
    "hanley": "Hanley, McNeil. The meaning and use of the area under a ROC curve. Radiology 1982;143:29-36.",
}


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
    network = _network_record(run, comparisons)
    parts = [
        ("Patients and labels", _patients(dataset, lesions, ingest)),
        ("Preprocessing", _preprocessing(network)),
        ("Network", _network(network)),
        ("Models on features", _features(comparisons)),
        ("Evaluation", _evaluation(run, comparisons)),
        ("Statistics", _statistics(comparisons)),
        ("Software", _software(run, comparisons)),
    ]
    return [(heading, text) for heading, text in parts if text]


def references_of(run: Mapping[str, Any] | None, comparisons: Sequence[ComparisonInputs]) -> list[str]:
    """What the text and the page rest on."""
    methods = {method for one in comparisons for method in one.methods}
    keys = ["peng", "tripod", "claim", "vickers", "hanley"]
    if _network_record(run, comparisons):
        keys += ["cam", "gradcam", "adamw", "ssim"]
    if comparisons:
        keys += ["nadeau"]
    if methods & {"radiomics", "gradient", "dose", "ensemble", "fusion"}:
        keys += ["platt"]
    if methods & {"radiomics", "dose", "ensemble", "fusion"}:
        keys += ["radiomics"]
    if methods & {"gradient", "ensemble", "fusion"}:
        keys += ["gradient"]
    return [text for key, text in REFERENCES.items() if key in keys]


def _patients(dataset: Mapping[str, Any], lesions: pd.DataFrame, ingest: Mapping[str, Any]) -> str:
    settings = ingest.get("settings", {})
    responders, left_out = int((lesions["label"] == 1).sum()), ingest.get("left_out")
    kind = "simulated patients" if dataset.get("synthetic") else "patients"
    threshold = dataset.get("response_threshold")
    window = settings.get("follow_up_days")
    days = UNKNOWN if not window else f"{window[0]} to {window[1]} days"
    excluded = UNKNOWN if left_out is None else str(len(left_out))
    return (
        f"{len(lesions)} brain metastases of {lesions['subject'].nunique()} {kind} were analysed "
        f"(source: {_said(ingest.get('source'))}); {excluded} lesions or patients were left out, each with its reason. "
        f"Volumes: {_said(ingest.get('volumes'))}. A lesion responded if its volume at follow-up had fallen by more "
        f"than {_percent(threshold)} ({responders} of {len(lesions)} did). Accepted follow-up: {days} after the first "
        f"MRI. Lesions no longer contoured at follow-up: {_said(settings.get('absent'))}. "
        f"Largest accepted Gradient Index: {_said(settings.get('max_gradient_index'))}. "
        f"Probability of each label under a contouring uncertainty with SD {_said(settings.get('contouring_sd_mm'))} "
        "mm."
    )


def _preprocessing(network: Mapping[str, Any]) -> str:
    if not network:
        return ""
    settings = network.get("settings", {})
    scaling = _transform(settings, "image_transforms", "ScaleByBrainPercentilesd")
    patch = _transform(settings, "patch_transforms", "LesionSlicePatchd")
    angles = settings.get("angles")
    turned = UNKNOWN if angles is None else (", ".join(f"{angle:g}" for angle in angles) or "none")
    return (
        f"Of each lesion the axial slice with the largest contoured area was cut to {_said(patch.get('size'))} × "
        f"{_said(patch.get('size'))} pixels of {_said(patch.get('pixel'))} mm. Intensities were scaled so that "
        f"percentile {_said(scaling.get('air'))} of the volume became 0 and percentile {_said(scaling.get('brain'))} "
        f"of the brain {_said(scaling.get('brain_value'))}. Training slices were also rotated by these angles in "
        f"degrees: {turned}."
    )


def _network(network: Mapping[str, Any]) -> str:
    if not network:
        return ""
    settings = network.get("settings", {})
    parts = settings.get("network", {})
    loss, optimiser = settings.get("loss", {}), settings.get("optimizer", {})
    reconstruction = loss.get("reconstruction", {})
    widths = [parts.get(layer, {}).get("out_channels") for layer in ("encoder_1", "encoder_2")]
    betas = optimiser.get("betas")
    return (
        f"{_class(parts)}: two convolution blocks with {_said(widths[0])} and {_said(widths[1])} channels, "
        f"features multiplied by the contour, a decoder, and a classifier with {_hidden(parts)} hidden units and "
        f"dropout {_said(parts.get('dropout', {}).get('p'))}. Loss ({_class(loss)}): "
        f"{_said(loss.get('weight_reconstruction'))} × reconstruction ({_said(reconstruction.get('weight_ssim'))} × "
        f"(1 − SSIM) + {_said(reconstruction.get('weight_pixel'))} × cross-entropy per pixel + "
        f"{_said(reconstruction.get('weight_outside'))} × squared features outside the contour) + "
        f"{_said(loss.get('weight_classification'))} × cross-entropy of the class. Optimiser: {_class(optimiser)}, "
        f"learning rate {_said(optimiser.get('lr'))}, weight decay {_said(optimiser.get('weight_decay'))}, betas "
        f"{UNKNOWN if not betas else ' and '.join(map(str, betas))}; batches of {_said(settings.get('batch_size'))}, "
        f"{_said(settings.get('max_epochs'))} epochs, the last one used. Precision: "
        f"{_precision(settings.get('bf16'))}."
    )


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
    for group, said in record.items():
        if group == "robustness":
            parts.append(
                f"those with an ICC below {_said(said.get('least_icc'))} over {len(said.get('perturbations', []))} "
                f"small perturbations of contour and intensities were left out (border displacements correlated over "
                f"{_said(said.get('correlation_mm'))} mm)"
            )
        else:
            name = GROUP_NAMES.get(group, group)
            parts.append(f"{name}, {_said(said.get('features'))} ({_flat(said.get('settings'))})")
    return "; ".join(parts) or "none of the images"


def _models(methods: Sequence[str], record: Mapping[str, Any] | None) -> str:
    """Each method's steps with their settings, or a network's configs and epochs."""
    parts = []
    for method in methods:
        made = (record or {}).get(method)
        if made is None:
            said = UNKNOWN
        elif "mean_of_logits" in made:
            said = f"mean of the logits of {', '.join(map(method_name, made['mean_of_logits']))}, nothing fitted"
        elif "steps" in made:
            steps = [f"{words(step['name'])}{_in_brackets(step.get('settings'))}" for step in made["steps"]]
            count = made.get("mean_number_of_features")
            said = f"{', '.join(steps)}; on average {UNKNOWN if count is None else f'{count:g}'} features"
        else:
            overlays = ", ".join(made.get("overlays", [])) or "no overlay"
            said = f"{_said(made.get('config'))} with {overlays}, {_said(made.get('epochs'))} epochs"
        parts.append(f"{method_name(method)}: {said}")
    return "; ".join(parts)


def _in_brackets(settings: Mapping[str, Any] | None) -> str:
    return f" ({_flat(settings)})" if settings else ""


def _evaluation(run: Mapping[str, Any] | None, comparisons: Sequence[ComparisonInputs]) -> str:
    sentences = []
    for one in comparisons:
        settings = one.provenance.get("settings", {})
        held = {
            "A": "no patient was held out (the original paper’s way)",
            "B": "each trial held out a fifth of the patients, all lesions of a patient on one side, in stratified "
            "five-fold divisions repeated with other seeds",
        }.get(str(settings.get("protocol")), f"protocol {UNKNOWN}")
        sentences.append(
            f"{one.title}: {_said(settings.get('trials'))} trials with seeds from {_said(settings.get('seed'))}; "
            f"{held}; every method got the same splits; networks were trained for {_said(settings.get('epochs'))} "
            f"epochs; {_said(settings.get('shuffles'))} shuffles of the labels as a null check."
        )
    if run is not None:
        sentences.append(
            f"The network shown in pictures: protocol {_said(run.get('protocol'))}, fold {_said(run.get('fold'))}, "
            f"seed {_said(run.get('seed'))}, trained on {_said(_inner(run, 'dataset', 'training_lesions'))} lesions of "
            f"{_said(_inner(run, 'dataset', 'training_patients'))} patients."
        )
    sentences.append(
        "Models were fitted on the first MRI and scored on (i) the second MRI of their training lesions, (ii) the "
        "second and (iii) the first MRI of held-out patients; (iii) is primary. Scaling, selection and calibration "
        "were fitted on training lesions alone."
    )
    return " ".join(sentences)


def _statistics(comparisons: Sequence[ComparisonInputs]) -> str:
    counts = {entry["auc"].get("resamples") for one in comparisons for entry in one.table["differences"]} - {None}
    repeated = f" Differences used {', '.join(str(n) for n in sorted(counts))} valid resamples." if counts else ""
    second = (
        " Differences between methods are paired; a corrected resampled t-interval over the trials is the second "
        "opinion."
        if comparisons
        else ""
    )
    return (
        "The unit is the patient: each lesion’s held-out predictions were averaged, then patients were resampled with "
        f"replacement for 95 % percentile intervals.{repeated}{second} Mean ± SD over trials is the spread over "
        "splits. Metrics are given with response and with non-response as the positive class, at P(response) = 0.5, "
        "which was not tuned. Calibration is shown in groups of about equal size with the Brier score; net benefit "
        "for acting on non-response."
    )


def _software(run: Mapping[str, Any] | None, comparisons: Sequence[ComparisonInputs]) -> str:
    versions: dict[str, str] = {}
    for record in [*(one.provenance for one in comparisons), *([run] if run else [])]:
        versions |= {str(name): str(version) for name, version in record.get("versions", {}).items()}
        if "treatment_response" in record:
            versions["treatment-response"] = str(record["treatment_response"])
    return "Versions: " + (", ".join(f"{name} {version}" for name, version in versions.items()) or UNKNOWN) + "."


def _network_record(run: Mapping[str, Any] | None, comparisons: Sequence[ComparisonInputs]) -> Mapping[str, Any]:
    """The record that describes the network: the run's, or a comparison's first trial."""
    if run:
        return run
    return next((record for one in comparisons for record in one.networks.values() if record), {})


def _transform(settings: Mapping[str, Any], where: str, name: str) -> Mapping[str, Any]:
    return next((item for item in settings.get(where, []) if str(item.get("class", "")).endswith(f".{name}")), {})


def _class(part: Mapping[str, Any]) -> str:
    return str(part.get("class", UNKNOWN)).rsplit(".", 1)[-1]


def _precision(bf16: bool | None) -> str:
    return UNKNOWN if bf16 is None else "bfloat16 autocast" if bf16 else "float32"


def _hidden(parts: Mapping[str, Any]) -> str:
    return _said(parts.get("dense", {}).get("out_features"))


def _inner(record: Mapping[str, Any], *keys: str) -> Any:
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _said(value: Any) -> str:
    return UNKNOWN if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _percent(value: Any) -> str:
    return UNKNOWN if value is None else f"{value:.0%}"


def _flat(record: Any, prefix: str = "") -> str:
    if isinstance(record, Mapping):
        return ", ".join(_flat(value, f"{prefix} {key}".strip()) for key, value in record.items())
    if isinstance(record, list | tuple):
        return f"{prefix} {' '.join(_said(item) for item in record)}".strip()
    return f"{prefix} {_said(record)}".strip()
