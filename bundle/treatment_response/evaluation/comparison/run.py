"""A whole comparison: splits, trials, statistics, files. Started again, it goes on where it was stopped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from treatment_response.cohort.splits import persons_in, with_persons
from treatment_response.evaluation.calibration_scores import calibration
from treatment_response.evaluation.comparison import importances, provenance, statistics, tables
from treatment_response.evaluation.comparison.after_mri2 import beside_later_methods
from treatment_response.evaluation.comparison.external import as_external, external_notes, join_seen
from treatment_response.evaluation.comparison.measurements import Measurements, Seen, measured_groups, without_dose
from treatment_response.evaluation.comparison.method import TrialRun, TrialSet
from treatment_response.evaluation.comparison.methods import REFERENCES
from treatment_response.evaluation.comparison.plan import Comparison, Plan, claim_folder, make_external_plan, make_plan
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.evaluation.written import read_json
from treatment_response.files import write_whole
from treatment_response.metrics.doubtful import UNLABELLED_PREDICTIONS, auc_ranges
from treatment_response.problems import DataProblem, Problem

Result = tuple[pd.DataFrame, dict[str, Any]]
"""The scores (`statistics.score_table`) and the content of ``table.json``."""


def compare(dataset_dir: Path, out: Path, settings: Comparison, console: Console | None = None) -> Result:
    """Run every method on the same splits and write what is found into `out`.

    Finished trials are read from `out`; the same command gives the same bytes, stopped in between or not.
    Written: ``table.csv, table.json, predictions.csv, importances.csv, splits.json, provenance.json``; and
    ``unlabelled_predictions.csv`` where held-out lesions have no label.

    Raises:
        DataProblem: the data set or a setting cannot be used, or `out` was made with others.
    """
    return _run([make_plan(dataset_dir, out, settings)], out / "features", console)[0]


def compare_external(
    training_dir: Path, dataset_dir: Path, out: Path, settings: Comparison, console: Console | None = None
) -> Result:
    """Fit every method once on all lesions of one data set and score the patients of another; files as `compare`.

    Raises:
        DataProblem: a data set or a setting cannot be used, the two do not fit, or `out` was made with others.
    """
    return _run([make_external_plan(training_dir, dataset_dir, out, settings)], out / "features", console)[0]


def compare_thresholds(
    dataset_dir: Path, out: Path, thresholds: Sequence[float], settings: Comparison, console: Console | None = None
) -> dict[float, Result]:
    """`compare` with several definitions of response: features are measured once, each threshold has its own folder.

    Args:
        thresholds: losses of volume, each once; `out` gets ``threshold_20`` for 0.2 and so on.

    Raises:
        DataProblem: see `compare`; if one threshold cannot be used, nothing is run.
    """
    if len(set(thresholds)) < len(thresholds):
        raise DataProblem(Problem("--threshold", "one is named twice", "name each once"))
    plans = [
        make_plan(dataset_dir, out / f"threshold_{100 * threshold:g}", replace(settings, threshold=threshold))
        for threshold in thresholds
    ]
    return dict(zip(thresholds, _run(plans, out / "features", console), strict=True))


def _run(plans: Sequence[Plan], cache: Path, console: Console | None) -> list[Result]:
    for plan in plans:
        claim_folder(plan)
    seen = _prepare(plans[0], cache, console)
    return [_carry_out(plan, seen, console) for plan in plans]


def _prepare(plan: Plan, cache: Path, console: Console | None) -> dict[str, Seen]:
    """Method on features → what it sees: of the data set, or for external validation of both."""
    settings, groups = plan.settings, plan.groups
    folders = [(plan.dataset_dir, settings.least_icc)]
    if plan.training is not None:
        fitted = plan.training.dataset_dir
        allowed = measured_groups(fitted, [method.measured for method in plan.run_methods])
        groups = [group for group in groups if group in allowed]
        folders = [(fitted, settings.least_icc), (plan.dataset_dir, 0.0)]
    measurements = [Measurements(folder, groups, cache, icc, settings.workers, console) for folder, icc in folders]
    found = {}
    for method in plan.run_methods:
        seen = [each for part in measurements if (each := method.prepare(part)) is not None]
        if seen:
            found[method.name] = seen[0] if len(seen) == 1 else join_seen(*seen)
    return found


def _carry_out(plan: Plan, seen: Mapping[str, Seen], console: Console | None) -> Result:
    settings, methods, out = plan.settings, plan.settings.methods, plan.out
    if console is not None and settings.threshold is not None:
        console.print(f"response: a loss of more than {settings.threshold:.0%} of the volume")
    write_whole(out / "splits.json", json_text([asdict(split) for split in plan.splits]))
    trials = TrialSet("", plan.splits, plan.fitted_and_scored, out / "trials", unlabelled=plan.unlabelled)
    nulls = [
        TrialSet(f"shuffled {number}, ", splits, dealt, out / "null" / f"shuffle_{number:03d}", shuffled=True)
        for number, (splits, dealt) in enumerate(plan.nulls)
    ]
    _run_trials(plan, [trials, *nulls], seen, console)
    predictions, *shuffles = (_predictions(plan, each) for each in (trials, *nulls))
    unlabelled = _unlabelled(plan, trials)
    ranges = auc_ranges(predictions, unlabelled, plan.doubtful)

    chosen = importances.read_chosen([method for method in plan.run_methods if method in plan.methods], trials)
    fallbacks = importances.fallbacks(chosen)
    external = [] if plan.training is None else external_notes(plan.training, seen)
    said = [*tables.notes(plan, fallbacks, {} if external else without_dose(seen), ranges), *plan.notes, *external]
    reference = next((name for name in REFERENCES if name in methods), methods[0])
    shares = [_share(split, plan.fitted_and_scored) for split in plan.splits]
    table = statistics.score_table(predictions)
    result = {
        "synthetic": bool(plan.content.get("synthetic")),
        "protocol": plan.protocol,
        "response_threshold": plan.threshold,
        "notes": said,
        "doubtful": {**plan.doubtful.as_dict(), "auc": {method: each.as_dict() for method, each in ranges.items()}},
        "scores": json.loads(table.to_json(orient="records", double_precision=8)),
        "paper": tables.PAPER,
        "differences": statistics.differences(predictions, reference, shares),
        "training_gap": statistics.training_gaps(predictions, shuffles),
        "calibration": calibration(predictions, methods),
        "null_check": statistics.null_check(
            shuffles, shown_before(plan.out, plan.settings.shuffles, plan.settings.methods)
        )
        if shuffles
        else [],
        "fallbacks": fallbacks,
    }
    write_whole(out / "predictions.csv", predictions.to_csv(index=False, float_format="%.8g"))
    if unlabelled is None:
        (out / UNLABELLED_PREDICTIONS).unlink(missing_ok=True)
    else:
        write_whole(out / UNLABELLED_PREDICTIONS, unlabelled.to_csv(index=False, float_format="%.8g"))
    write_whole(out / "importances.csv", tables.with_notes(importances.summary(chosen, len(plan.splits)), said))
    write_whole(out / "table.csv", tables.csv_text(table, said))
    write_whole(out / "table.json", json_text(result))
    write_whole(out / "provenance.json", json_text(_provenance(plan, chosen)))
    return table, result


def _run_trials(plan: Plan, sets: Sequence[TrialSet], seen: Mapping[str, Seen], console: Console | None) -> None:
    """Run what is not finished, the methods of each kind together; the quick ones come first."""
    settings = plan.settings
    # With external validation the split's held-out patients are those of another data set.
    fitted, scored = (
        (plan.dataset_dir, None) if plan.training is None else (plan.training.dataset_dir, plan.dataset_dir)
    )
    run = TrialRun(
        sets,
        fitted,
        scored,
        seen,
        plan.networks,
        settings.shuffle_epochs,
        settings.workers,
        settings.cluster,
        console,
    )
    methods = plan.run_methods
    for kind in dict.fromkeys(type(method) for method in methods):
        kind.run_trials([method for method in methods if type(method) is kind], run)


def _predictions(plan: Plan, trials: TrialSet) -> pd.DataFrame:
    """The predictions of every method for a set of trials, in the methods' order."""
    return _as_scored(plan, [method.predictions(trials) for method in plan.methods])


def _unlabelled(plan: Plan, trials: TrialSet) -> pd.DataFrame | None:
    """The predictions of every method for the lesions without a label; None if none was held out."""
    tables = [table for method in plan.methods if (table := method.unlabelled(trials)) is not None]
    return _as_scored(plan, tables) if tables else None


def _as_scored(plan: Plan, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The methods' predictions in the roles in which they are scored, method after method."""
    found = pd.concat(tables, ignore_index=True)
    found = beside_later_methods(found) if plan.training is None else as_external(found)
    ordered = pd.concat([found[found["method"] == name] for name in plan.settings.methods], ignore_index=True)
    return with_persons(ordered, persons_in(plan.content))


def shown_before(out: Path, now: int, methods: Sequence[str]) -> dict[str, int]:
    """Method → how many of the first shuffles an earlier null check in this folder has shown.

    Notes in ``null/shown.json`` that the present check is shown, before it is.

    Args:
        out: the comparison's folder. now: shuffles of the present check.
    """
    record = out / "null" / "shown.json"
    table = read_json(out / "table.json")  # of a version that kept no record
    shown = read_json(record) or {each["method"]: [each["shuffles"]] for each in table.get("null_check", [])}
    write_whole(record, json_text({**shown, **{m: sorted({*shown.get(m, []), now}) for m in methods}}))
    return {m: max((number for number in shown.get(m, []) if number < now), default=0) for m in methods}


def _share(split: Split, lesions: pd.DataFrame) -> float:
    training = len(split.training(lesions))
    return (len(lesions) - training) / training


def _provenance(plan: Plan, chosen: pd.DataFrame) -> dict[str, Any]:
    settings, methods = plan.settings, plan.settings.methods
    kept = {
        key: value for key, value in asdict(settings).items() if key not in ("workers", "cluster")
    }  # they change no number
    epochs = sorted({made["epochs"] for made in plan.networks.values()})
    selected = importances.selected_features(chosen, methods, len(plan.splits))
    return {
        "data_set": provenance.data_set(plan.content, plan.lesions, plan.threshold),
        "settings": {**kept, "protocol": plan.protocol, "epochs": epochs[0] if len(epochs) == 1 else epochs},
        "trained_on": None
        if plan.training is None
        else provenance.data_set(plan.training.content, plan.training.lesions, plan.threshold),
        "features": provenance.features(plan.groups, settings.least_icc),
        "models": provenance.models(plan.methods, plan.networks, selected, settings.least_icc),
        "seeds": {"splits": [split.seed for split in plan.splits], "shuffles": list(range(settings.shuffles))},
        "versions": provenance.versions(),
    }


def json_text(content: Any) -> str:
    """A file's text: indented JSON, where undefined is null."""
    return json.dumps(_without_nan(content), indent=1, ensure_ascii=False) + "\n"


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: undefined is null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
