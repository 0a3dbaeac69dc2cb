"""A whole comparison: splits, trials, statistics, files. Started again, it goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from treatment_response.cohort.dataset import read_dataset
from treatment_response.cohort.layout import DATALIST, LESIONS
from treatment_response.evaluation.comparison import statistics, tables
from treatment_response.evaluation.comparison.calibration import decision_curve, reliability
from treatment_response.evaluation.comparison.methods import NETWORK, check_methods, feature_tables
from treatment_response.evaluation.comparison.splits import FOLDS, Split, make_splits, read_lesions, shuffled
from treatment_response.evaluation.comparison.trials import TrialSet, run_classical, run_network, write_whole
from treatment_response.evaluation.metrics import lesion_averages
from treatment_response.evaluation.report.tables import primary_role
from treatment_response.problems import DataProblem, Problem

LIBRARIES = ("treatment-response", "numpy", "pandas", "scipy", "scikit-learn", "torch", "monai", "pyradiomics")


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how.

    Attributes:
        methods: of `METHODS`. trials: how many splits. protocol: ``A`` or ``B``.
        threshold: loss of volume that counts as response; None keeps the data set's labels.
        shuffles: runs with shuffled labels, one repeat of the 5 folds each. seed: of the splits.
        epochs, overlays: of the network. workers: processes with one thread each.
    """

    methods: tuple[str, ...]
    trials: int = 50
    protocol: str = "B"
    threshold: float | None = None
    shuffles: int = 0
    seed: int = 0
    epochs: int = 150
    overlays: tuple[str, ...] = ()
    workers: int = 2


def compare(
    dataset_dir: Path, out: Path, settings: Comparison, console: Console | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Run every method on the same splits and write what is found into `out`.

    Finished trials are read from `out`; the same command gives the same bytes, stopped in between or not.
    Written: ``table.csv, table.json, predictions.csv, splits.json, provenance.json``.

    Returns:
        The scores (`statistics.score_table`) and the content of ``table.json``.

    Raises:
        DataProblem: the data set or a setting cannot be used, or `out` was made with others.
    """
    check_methods(settings.methods)
    if settings.shuffles and settings.protocol == "A":
        what = "the null check needs held-out patients, which protocol A has not"
        raise DataProblem(Problem("--shuffle-labels", what, "use --protocol B"))
    content = read_dataset(dataset_dir)
    lesions = read_lesions(dataset_dir, settings.threshold)
    splits = make_splits(lesions, settings.trials, settings.protocol, settings.seed)
    threshold = settings.threshold or content.get("response_threshold")
    _claim(out, dataset_dir, settings, threshold)
    write_whole(out / "splits.json", _json([asdict(split) for split in splits]))

    sets = [TrialSet("", splits, lesions, out / "trials")]
    for shuffle in range(settings.shuffles):
        dealt = shuffled(lesions, shuffle)
        folder = out / "null" / f"shuffle_{shuffle:03d}"
        sets.append(TrialSet(f"shuffled {shuffle}, ", make_splits(dealt, FOLDS, "B", shuffle), dealt, folder))
    predictions, *nulls = _predictions(sets, dataset_dir, out, settings, console)

    said = tables.notes(bool(content.get("synthetic")), lesions, settings.protocol)
    reference = next((m for m in (NETWORK, "size") if m in settings.methods), settings.methods[0])
    shares = [_share(split, lesions) for split in splits]
    table = statistics.score_table(predictions)
    result = {
        "synthetic": bool(content.get("synthetic")),
        "protocol": settings.protocol,
        "response_threshold": threshold,
        "notes": said,
        "scores": json.loads(table.to_json(orient="records", double_precision=8)),
        "paper": tables.PAPER,
        "differences": statistics.differences(predictions, reference, shares),
        "leak": statistics.leaks(predictions),
        "calibration": _calibration(predictions, settings.methods),
        "null_check": statistics.null_check(nulls) if nulls else [],
    }
    write_whole(out / "predictions.csv", predictions.to_csv(index=False, float_format="%.8g"))
    write_whole(out / "table.csv", tables.csv_text(table, said))
    write_whole(out / "table.json", _json(result))
    write_whole(out / "provenance.json", _json(_provenance(content, lesions, settings, threshold)))
    return table, result


def _predictions(
    sets: Sequence[TrialSet], dataset_dir: Path, out: Path, settings: Comparison, console: Console | None
) -> list[pd.DataFrame]:
    """The predictions of every method for each set of trials, the classical methods first."""
    parts: list[list[pd.DataFrame]] = []
    classical = [method for method in settings.methods if method != NETWORK]
    if classical:
        features = feature_tables(dataset_dir, classical, out / "features", settings.workers, console)
        parts.append(run_classical(classical, sets, features, settings.workers, console))
    if NETWORK in settings.methods:
        parts.append(run_network(sets, dataset_dir, settings.epochs, settings.overlays, settings.workers, console))
    return [pd.concat(found, ignore_index=True) for found in zip(*parts, strict=True)]


def _calibration(predictions: pd.DataFrame, methods: Sequence[str]) -> dict[str, Any]:
    result = {}
    for method in methods:
        averaged = lesion_averages(predictions[predictions["method"] == method].assign(fold=0))
        role = primary_role(averaged)
        lesions = averaged[averaged["role"] == role]
        result[method] = {"role": role, "reliability": reliability(lesions), "decision_curve": decision_curve(lesions)}
    return result


def _share(split: Split, lesions: pd.DataFrame) -> float:
    training = len(split.training(lesions))
    return (len(lesions) - training) / training


def _claim(out: Path, dataset_dir: Path, settings: Comparison, threshold: float | None) -> None:
    """Write down what the trials in the folder are made with, or refuse a folder that was made otherwise.

    More methods, trials and shuffles may be added to a folder.
    """
    digest = hashlib.sha256()
    for name in (DATALIST, LESIONS):
        if not (dataset_dir / name).is_file():
            raise DataProblem(Problem("data set", f"{name} is missing", "prepare the data set again"))
        digest.update((dataset_dir / name).read_bytes())
    made = {
        "dataset": digest.hexdigest(),
        "protocol": settings.protocol,
        "threshold": threshold,
        "seed": settings.seed,
        "epochs": settings.epochs,
        "overlays": list(settings.overlays),
    }
    record = out / "comparison.json"
    if record.is_file():
        before = json.loads(record.read_text(encoding="utf-8"))
        changed = [key for key in made if before.get(key) != made[key]]
        if changed:
            what = f"the folder was made with another {', '.join(changed)}"
            raise DataProblem(Problem("--out", what, "name a new folder, or remove it"))
    write_whole(record, _json(made))


def _provenance(
    content: dict[str, Any], lesions: pd.DataFrame, settings: Comparison, threshold: float | None
) -> dict[str, Any]:
    return {
        "data_set": {
            "name": content.get("name"),
            "synthetic": bool(content.get("synthetic")),
            "lesions": len(lesions),
            "patients": int(lesions["subject"].nunique()),
            "response": int(lesions["label"].sum()),
            "response_threshold": threshold,
        },
        "settings": {key: value for key, value in asdict(settings).items() if key != "workers"},  # changes no number
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _json(content: Any) -> str:
    return json.dumps(_without_nan(content), indent=1, ensure_ascii=False) + "\n"


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: undefined is null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
