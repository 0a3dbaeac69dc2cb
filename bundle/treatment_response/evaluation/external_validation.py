"""External validation: a trained model, or several as an ensemble, applied to another prepared data set.

Nothing is fitted: weights, calibration and the rule of the decision are those of the model and its configs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.cases.samples import Samples
from treatment_response.certainty import Certainty
from treatment_response.classes import RESPONSE, Classes, read_classes
from treatment_response.cohort.case import images_of
from treatment_response.cohort.check import check_list
from treatment_response.cohort.dataset import TEST, dataset_digest, read_dataset
from treatment_response.cohort.layout import DATALIST
from treatment_response.cohort.shared_images import shared_image
from treatment_response.cohort.splits import persons_in, with_persons
from treatment_response.configs import fingerprints, read_configs
from treatment_response.evaluation.claim import claim
from treatment_response.evaluation.class_calibration import calibration_by_class
from treatment_response.evaluation.class_shares import brier_of_shares, class_shares
from treatment_response.evaluation.comparison.provenance import versions
from treatment_response.evaluation.model_answers import answers_table, decision_scores, network_logits, set_columns
from treatment_response.evaluation.written import EXTERNAL_VALIDATION
from treatment_response.files import write_whole
from treatment_response.inference.case_answer import Decision
from treatment_response.inference.model import describe_model, read_models
from treatment_response.metrics.class_scores import class_scores_by_role
from treatment_response.metrics.ordinal import far_misses
from treatment_response.metrics.scores import EXTERNAL_PATIENTS
from treatment_response.metrics.thresholds import share_with_interval
from treatment_response.notice import shown_name
from treatment_response.problems import DataProblem, Problem
from treatment_response.protocols import PROTOCOLS
from treatment_response.training.experiment import read_samples
from treatment_response.weights import Weights

NO_FOLD = -1
_NOT_LOOKED_FOR = (
    "Whether a patient was trained on was not looked for: the training data set was not named (--trained-on)."
)


def validate_externally(
    dataset_dir: Path,
    models: Sequence[Path],
    out: Path,
    overlays: Sequence[str],
    trained_on: Path | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predict every labelled case of a data set; write ``predictions.csv`` and ``external.json``.

    Args:
        dataset_dir: a prepared data set that the model was not trained on.
        models: one ``model.pt`` (an ensemble with its calibration, or a single network), or several of one design,
            which then are an ensemble without calibration.
        out: gets the files; a folder that holds another run is refused.
        overlays: configs on top of ``train.json``, of the training.
        trained_on: the training data set, to compare the classes' shares and to look for patients in both. Without it
            the shares are those of the cases that an ensemble was calibrated on, or unknown.

    Returns:
        The predictions, see `answers_table`, and the content of ``external.json``.

    Raises:
        DataProblem: the model does not fit the data set or the configs, or it was trained on its patients.
    """
    content = read_dataset(dataset_dir)
    if problems := check_list(content):
        raise DataProblem(*problems)
    classes = read_classes(content, DATALIST)
    weights = read_models(models[0] if len(models) == 1 else [str(path) for path in models])
    _check_model(weights, classes, content)
    configs, serving = ("train.json", *overlays), read_configs(["inference.json", *overlays])
    counts, notes = _training_shares(weights, classes, dataset_dir, trained_on, list(serving["inputs"]))
    decision = Decision(serving["decision"])
    _claim(out, dataset_dir, weights, overlays)
    samples = read_samples(configs, None, dataset_dir=str(dataset_dir)).where(lambda row: row.label is not None)
    table = _answers(samples, weights, classes, decision, configs)
    table = with_persons(table, persons_in(content))
    rows = table.drop(columns=["fold"])
    result = {
        **class_scores_by_role(table, classes)[EXTERNAL_PATIENTS],
        **decision_scores(table, classes),
        "synthetic": bool(content.get("synthetic")),
        "model": describe_model(weights),
        "networks": len(weights.folds) or 1,
        "calibrated": weights.certainty is not None,
        "decision": decision.value,
        "calibration": calibration_by_class(rows, classes),
        "class_shares": class_shares(table, classes, counts),
        "brier_of_training_shares": brier_of_shares(table, classes, counts),
        "sets": _sets(table, classes, weights.certainty),
        **({"far_misses": far_misses(rows, classes)} if classes.order else {}),
        "notes": [*notes, *_notes(content, weights)],
        "versions": versions(),
    }
    write_whole(out / "predictions.csv", table.to_csv(index=False, float_format="%.8g"))
    write_whole(out / EXTERNAL_VALIDATION, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return table, result


def _check_model(weights: Weights, classes: Classes, content: Mapping[str, Any]) -> None:
    if RESPONSE in (classes, weights.classes):
        what = "response of lesions is validated by fitting its methods on the first data set"
        raise DataProblem(Problem("data set", what, "use scripts/compare.py DATASET --external OTHER"))
    if weights.classes != classes:
        there, here = (f"{', '.join(one.names)} (finding {one.finding})" for one in (weights.classes, classes))
        what = f"the model tells {there} apart, and the data set's classes are {here}"
        raise DataProblem(Problem("--model", what, "name a model of the same system"))
    if not content["training"]:
        raise DataProblem(Problem("data set", "no case has a label, so nothing can be scored", "use inference.json"))
    trained, prepared = weights.training_data.preparation, content.get("preparation")
    if trained != prepared:
        words = (prepared or "on no atlas", trained or "on no atlas")
        what = f"its images are {words[0]}, and the model was trained on images that are {words[1]}"
        raise DataProblem(Problem("data set", what, "prepare it as the training data set was"))


def _training_shares(
    weights: Weights, classes: Classes, dataset_dir: Path, trained_on: Path | None, inputs: Sequence[str]
) -> tuple[dict[str, int] | None, list[str]]:
    """Class → cases that trained, None if unknown; and what has to be said about them.

    Args:
        inputs: images that the system asks for.
    """
    if trained_on is None:
        if weights.certainty is not None:
            return dict(weights.certainty.conformal.lesions()), [_NOT_LOOKED_FOR]
        unknown = "The classes' shares in training are not known: the training data set was not named (--trained-on)."
        return None, [unknown, _NOT_LOOKED_FOR]
    content, data = read_dataset(trained_on), weights.training_data
    if data.name is not None and content.get("name") != data.name:
        what = f"the model was trained on “{shown_name(data.name)}”, and this is another data set"
        raise DataProblem(Problem("--trained-on", what, "name that data set, or leave the option out"))
    if dataset_digest(trained_on) == dataset_digest(dataset_dir):
        what = "the data set is the one that the model was trained on"
        raise DataProblem(Problem("data set", what, "name another one; cross_validate.py holds patients out"))
    if read_classes(content, DATALIST) != classes:
        raise DataProblem(Problem("--trained-on", "its classes are not the model's", "name another data set"))
    places = (trained_on, content), (dataset_dir, read_dataset(dataset_dir))
    if shared := shared_image(*(_image_files(root, of, inputs) for root, of in places)):
        what = f"{shared[1]} has the same image as {shared[0]} of the training data set, so a person is in both"
        raise DataProblem(Problem("data set", what, "leave the person out of it"))
    entries = content["training"]
    if data.fold is not None and data.protocol in PROTOCOLS:
        protocol = PROTOCOLS[data.protocol]
        entries = [entry for entry in entries if not protocol.holds(protocol.fold_of(entry), data.fold)]
    counts = {name: sum(entry["label"] == n for entry in entries) for n, name in enumerate(classes.names)}
    return counts, ["Persons in both data sets were looked for by identical images; names are not kept."]


def _image_files(root: Path, content: Mapping[str, Any], inputs: Sequence[str]) -> dict[Path, str]:
    """Images of a data set → their subject: those that the system asks for; all where the data set names none so.

    A label map is no input, and that of two patients without a tumour is the same.
    """
    lists = (content.get(name, []) for name in ("training", "unlabelled", TEST))
    entries = [entry for entries in lists for entry in entries]
    named = {name for entry in entries for name in images_of(entry)}
    looked_at = named & set(inputs) or named
    return {
        root / file: str(entry["subject"])
        for entry in entries
        for name, file in images_of(entry).items()
        if name in looked_at
    }


def _claim(out: Path, dataset_dir: Path, weights: Weights, overlays: Sequence[str]) -> None:
    record = out / "external_validation.json"
    if (out / "predictions.csv").is_file() and not record.is_file():
        raise DataProblem(Problem("--out", "the folder holds predictions of another run", "name a new folder"))
    made = {
        "dataset": dataset_digest(dataset_dir),
        "model": weights.sha256,
        "configs": [list(file) for file in fingerprints(["train.json", *overlays]).items()],
    }
    claim(record, made)


def _answers(
    samples: Samples, weights: Weights, classes: Classes, decision: Decision, configs: Sequence[str]
) -> pd.DataFrame:
    logits = network_logits(samples, weights.folds or (weights.state,), configs)
    return answers_table(samples, logits, classes, weights.certainty, decision, EXTERNAL_PATIENTS, NO_FOLD)


def _sets(table: pd.DataFrame, classes: Classes, certainty: Certainty | None) -> dict[str, Any] | None:
    """How often the conformal sets hold the truth; None without a calibration."""
    if certainty is None:
        return None
    held = table[set_columns(classes)].to_numpy(dtype=bool)
    holds = pd.Series(held[range(len(table)), table["label"]], index=table.index)
    return {
        "level": certainty.conformal.level,
        "coverage": {
            name: share_with_interval(table[table["label"] == n], holds[table["label"] == n])
            for n, name in enumerate(classes.names)
        },
        "mean_size": float(held.sum(axis=1).mean()),
        "trivial": certainty.conformal.trivial(),
    }


def _notes(content: Mapping[str, Any], weights: Weights) -> list[str]:
    notes = []
    if weights.training_data.synthetic:
        notes.append("The model was trained on synthetic patients.")
    if weights.training_data.name is not None and content.get("name") == weights.training_data.name:
        notes.append("The data set has the name of the one that the model was trained on.")
    if unlabelled := len(content.get("unlabelled", [])):
        notes.append(f"{unlabelled} cases have no label; they are not scored.")
    if apart := len(content.get(TEST, [])):
        notes.append(f"{apart} cases that this data set keeps apart for a final test are not scored.")
    return notes
