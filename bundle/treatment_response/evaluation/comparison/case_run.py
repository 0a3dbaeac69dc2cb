"""A comparison of a system's network with simple methods, for any number of classes, on the same splits by patient."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from treatment_response.classes import Classes, read_classes
from treatment_response.cohort.case import case_name
from treatment_response.cohort.check import check_list
from treatment_response.cohort.dataset import dataset_digest, read_dataset
from treatment_response.cohort.layout import DATALIST
from treatment_response.cohort.lesion import BASELINE
from treatment_response.cohort.splits import persons_in, persons_of, with_persons
from treatment_response.cohort.words import words_of
from treatment_response.configs import fingerprints, planned_epochs
from treatment_response.evaluation.claim import claim
from treatment_response.evaluation.class_calibration import class_calibration
from treatment_response.evaluation.comparison.case_findings import (
    far_misses_of,
    headlines,
    leaks,
    operating_points,
    prevalence_note,
    seeds_spread,
    worths,
)
from treatment_response.evaluation.comparison.case_methods import (
    CASE_METHODS,
    KEY,
    RADIOMICS,
    CaseTrials,
    NetworkTrials,
    check_case_methods,
    samples_of,
)
from treatment_response.evaluation.comparison.case_radiomics import check_radiomics, radiomics_rule
from treatment_response.evaluation.comparison.case_rules import case_rules
from treatment_response.evaluation.comparison.case_statistics import differences, null_check, score_table
from treatment_response.evaluation.comparison.provenance import versions
from treatment_response.evaluation.comparison.run import Result, json_text, shown_before
from treatment_response.evaluation.comparison.splits import (
    FOLDS,
    Split,
    make_splits,
    shuffled,
    stored_case_splits,
    stored_splits,
)
from treatment_response.evaluation.comparison.tables import RESEARCH, SYNTHETIC, with_notes
from treatment_response.evaluation.comparison.variants import NETWORK, ONE, Variants, read_variants
from treatment_response.features.column_labels import column_label
from treatment_response.files import write_whole
from treatment_response.metrics.class_intervals import METRIC_NAMES, ORDINAL_ERROR_WORDS
from treatment_response.metrics.intervals import COVERED
from treatment_response.problems import DataProblem, Problem, check_least
from treatment_response.protocols import FOLD, Protocol

COLUMNS = ["method", "model", "role", *KEY, "label"]
"""First columns of ``predictions.csv``; those of the classes follow."""


@dataclass(frozen=True)
class CaseComparison:
    """What is compared, and how.

    Attributes:
        methods: of `CASE_METHODS`. features: columns of the table of cases, for the methods ``features`` and ``each``.
        variants: a file of several networks, see `read_variants`; None: the system's own.
        stored_folds: hold out the data set's own folds, and repeat them with other seeds of the network; else draw
            folds anew in every repeat.
        trials: how many splits. shuffles: runs with shuffled labels. seed: of the splits.
        epochs: of the network; None: what its configs say. shuffle_epochs: the same with shuffled labels.
        overlays: the system's configs on top of ``train.json``.
        workers, cluster: where trials run; they change no number.
    """

    methods: tuple[str, ...]
    features: tuple[str, ...] = ()
    variants: str | None = None
    stored_folds: bool = False
    trials: int = 50
    shuffles: int = 0
    seed: int = 0
    epochs: int | None = None
    shuffle_epochs: int | None = None
    overlays: tuple[str, ...] = ()
    workers: int = 2
    cluster: str | None = None


def compare_cases(dataset_dir: Path, out: Path, settings: CaseComparison, console: Console | None = None) -> Result:
    """Run every method on the same splits and write what is found into `out`.

    Each split holds a fifth of the patients out (`make_splits`), or a fold of the data set. Finished trainings are read
    from `out`; the same command gives the same bytes, stopped in between or not. Written: ``table.csv, table.json,
    predictions.csv, splits.json, provenance.json``.

    Raises:
        DataProblem: the data set or a setting cannot be used, or `out` was made with others.
    """
    from treatment_response.evaluation.cross_validation import holding_out  # imports MONAI

    check_case_methods(settings.methods, settings.features)
    check_least(
        ("--epochs", settings.epochs, 1),
        ("--shuffle-epochs", settings.shuffle_epochs, 1),
        ("--shuffle-labels", settings.shuffles, 0),
    )
    content, protocol = read_dataset(dataset_dir), holding_out(settings.overlays)
    classes, cases = read_classes(content, DATALIST), labelled_cases(content, protocol)
    variants = read_variants(settings.variants, settings.overlays) if settings.variants else ONE
    if settings.variants and NETWORK not in settings.methods:
        raise DataProblem(Problem("--variants", "no network is among the methods", "add the method network"))
    if RADIOMICS in settings.methods:
        check_radiomics(classes)
    columns = words_of(content).columns
    rules, gaps = case_rules(settings.methods, settings.features, dataset_dir, cases, classes, columns)
    if not {NETWORK, RADIOMICS} & set(settings.methods):
        _check_any(rules, gaps)
    fair, others = variants.by_protocol(protocol)
    networks = list(fair.networks) if NETWORK in settings.methods else []
    others = others if networks else {}
    true = CaseTrials("", _splits(content, cases, protocol, settings), cases, out / "trials")
    of_others = {name: replace(true, splits=_splits(content, cases, other, settings)) for name, other in others.items()}
    folds = _folds(content, protocol) if settings.stored_folds else FOLDS
    if settings.shuffles and protocol.leak:
        what = f"shuffled labels are for folds by patient, and the protocol is {protocol.name}"
        raise DataProblem(Problem("--shuffle-labels", what, "leave it out"))
    nulls = []
    for number in range(settings.shuffles):
        dealt, folder = shuffled(cases, number), out / "null" / f"shuffle_{number:03d}"
        nulls.append(CaseTrials(f"shuffled {number}, ", make_splits(dealt, FOLDS, "B", number), dealt, folder))
    epochs = settings.epochs or planned_epochs(settings.overlays)
    shuffle_epochs = settings.shuffle_epochs or epochs
    trainings = {
        name: NetworkTrials(
            name,
            {key: value for key, value in variants.networks[name].items() if key != "protocol"},
            dataset_dir,
            others.get(name, protocol),
            settings.overlays,
            epochs,
            shuffle_epochs,
            settings.workers,
            settings.cluster,
        )
        for name in [*networks, *others]
    }
    _claim(dataset_dir, out, settings, trainings)
    write_whole(out / "splits.json", json_text([asdict(split) for split in true.splits]))
    if RADIOMICS in settings.methods:
        rule, told = radiomics_rule(
            dataset_dir, content, cases, classes, settings.overlays, out / "features", settings.workers, console
        )
        rules += rule
        gaps += told
        _check_any([*rules, *networks], gaps)
    for name, network in trainings.items():
        first = [true, *nulls] if name == variants.reference else [true]
        network.run([of_others[name]] if name in others else first, console)

    def predictions(trials: CaseTrials, networks: Sequence[str]) -> pd.DataFrame:
        parts = [
            *(rule.predictions(trials, role=protocol.roles[-1].name) for rule in rules),
            *(trainings[name].predictions(trials, classes) for name in networks),
        ]
        return _in_order(pd.concat(parts, ignore_index=True), classes)

    own = predictions(true, networks)
    leaking = [trainings[name].predictions(of_others[name], classes) for name in others]
    everything = _in_order(pd.concat([own, *leaking], ignore_index=True), classes)
    table = score_table(everything, classes)
    shares = [_share(split, cases) for split in true.splits]
    names = [rule.name for rule in rules]
    methods = [*names, *networks]
    reference = variants.reference if networks else methods[0]
    shuffles = [predictions(trials, networks[:1]) for trials in nulls]
    compared = differences(own, classes, reference, shares) if len(methods) > 1 else []
    worth = worths(own, classes, fair) if networks else []
    leak = leaks(everything, classes, variants, variants.protocols(protocol)) if networks else []
    labels = {rule.name: rule.label for rule in rules if rule.label}
    headline = headlines(compared, fair, names, labels) if networks else []
    headline += [one["sentence"] for one in (*worth, *leak)]
    said = [*headline, *_notes(content, cases, classes, settings, gaps, protocol), *prevalence_note(table)]
    result = {
        "synthetic": bool(content.get("synthetic")),
        "classes": classes.content(),
        "protocol": protocol.name,
        "role": protocol.roles[-1].title,
        "methods": {
            **{rule.name: rule.meaning for rule in rules},
            **{name: _network(name, variants, others) for name in trainings},
        },
        "labels": labels,
        "candidates": {rule.name: rule.candidates for rule in rules} | dict.fromkeys(networks),
        "leaking": list(others),
        "headline": headline,
        "notes": said,
        "scores": json.loads(table.to_json(orient="records", double_precision=8)),
        "differences": compared,
        "worth": worth,
        "leaks": leak,
        "far_misses": far_misses_of(own, classes, networks),
        "calibration": class_calibration(own, classes, networks),
        "reliance": _reliance(trainings[reference], true, variants, classes, folds) if networks else [],
        "seeds": seeds_spread(own, classes, folds, networks) if settings.stored_folds else [],
        "operating_points": operating_points(own, classes, _fold_of(content, protocol))
        if settings.stored_folds and not protocol.leak
        else {},
        "null_check": null_check(shuffles, classes, shown_before(out, settings.shuffles, [*names, *networks[:1]]))
        if shuffles
        else [],
    }
    write_whole(out / "predictions.csv", everything.to_csv(index=False, float_format="%.8g"))
    write_whole(out / "table.csv", with_notes(table, said))
    write_whole(out / "table.json", json_text(result))
    made = _provenance(content, cases, classes, settings, true.splits)
    made["settings"] |= {"protocol": protocol.name, "epochs": epochs, "networks": dict(variants.networks)}
    write_whole(out / "provenance.json", json_text(made))
    return table, result


def _check_any(methods: Sequence[Any], gaps: Sequence[str]) -> None:
    """Refuse a comparison in which no method is left; `gaps` say why."""
    if not methods:
        raise DataProblem(Problem("--methods", "none of them can be computed in this data set", " ".join(gaps)))


def _in_order(table: pd.DataFrame, classes: Classes) -> pd.DataFrame:
    """The predictions with the common columns first."""
    first = [*COLUMNS, *classes.columns]
    return table[[*first, *(name for name in table if name not in first)]]


def _splits(
    content: Mapping[str, Any], cases: pd.DataFrame, protocol: Protocol, settings: CaseComparison
) -> list[Split]:
    """The trials of a protocol.

    Raises:
        DataProblem: folds that the protocol needs are not stored, or were not asked for.
    """
    if not settings.stored_folds:
        if protocol.fold_field != FOLD:
            what = f"protocol {protocol.name} has folds of its own in the data set"
            raise DataProblem(Problem("--folds", what, "say --folds stored"))
        return make_splits(cases, settings.trials, "B", settings.seed)
    repeats = settings.trials // _folds(content, protocol)
    if protocol.fold_field == FOLD:
        splits = stored_splits(_fold_of(content, protocol), repeats, settings.seed)
    else:
        fold_of = {(entry["subject"], case_name(entry)): protocol.fold_of(entry) for entry in content["training"]}
        splits = stored_case_splits(fold_of, repeats, settings.seed)
    if one := next((split for split in splits if split.training(cases)["label"].nunique() < 2), None):
        what = f"trial {one.trial} would train on one class only"
        raise DataProblem(Problem("--folds", what, "prepare the data set with other folds or more patients"))
    return splits


def _fold_of(content: Mapping[str, Any], protocol: Protocol) -> dict[str, int]:
    """Subject → fold of a data set; of folds by patient alone."""
    return {entry["subject"]: protocol.fold_of(entry) for entry in content["training"]}


def _folds(content: Mapping[str, Any], protocol: Protocol) -> int:
    return len({protocol.fold_of(entry) for entry in content["training"]})


def _told(value: Any) -> str:
    """What a variant sets, in words: a list's items, a component's own name."""
    if isinstance(value, list):
        return " + ".join(map(str, value))
    if isinstance(value, dict):
        return str(value.get("_target_", "settings")).rsplit(".", 1)[-1]
    return str(value)


def _network(name: str, variants: Variants, others: Mapping[str, Protocol]) -> str:
    """What a network is; of one whose protocol leaks, what leaks."""
    ids = ", ".join(f"{key} {_told(value)}" for key, value in variants.networks[name].items() if key != "protocol")
    protocol = f" {others[name].title}. {others[name].leak}" if name in others else ""
    return f"{CASE_METHODS[NETWORK]} {f'With {ids}.' if ids else ''}".strip() + protocol


def _reliance(
    network: NetworkTrials, trials: CaseTrials, variants: Variants, classes: Classes, folds: int
) -> list[dict[str, Any]]:
    """Of the reference network's first repeat, per channel that the variants name."""
    if not variants.reliance:
        return []
    from treatment_response.evaluation.comparison.reliance import HeldOut, reliance  # imports MONAI
    from treatment_response.evaluation.cross_validation import read_protocol_samples

    samples = read_protocol_samples(network.overlays, network.protocol, network.dataset_dir, **network.settings)
    held_out = [
        HeldOut(
            network.folder(trials, split) / "models" / "model.pt",
            samples_of(samples, split, trials.cases).where(lambda row: row.fold == 0 and row.label is not None),
        )
        for split in trials.splits[:folds]
    ]
    configs = ("train.json", *network.overlays)
    return [
        {"network": network.name, **reliance(held_out, channel, classes, configs, dict(network.settings))}
        for channel in variants.reliance
    ]


def labelled_cases(content: dict[str, Any], protocol: Protocol) -> pd.DataFrame:
    """The cases that a protocol scores: ``subject, case, label``, and ``person`` where subjects share one; sorted.

    Args:
        content: of ``dataset.json``.

    Raises:
        DataProblem: a list with faults, or one class only.
    """
    if problems := check_list(content):
        raise DataProblem(*problems)
    session = protocol.roles[-1].session
    entries = [entry for entry in content["training"] if session in (None, entry.get("session", BASELINE))]
    rows = [{"subject": entry["subject"], "case": case_name(entry), "label": entry["label"]} for entry in entries]
    table = pd.DataFrame(rows, columns=[*KEY, "label"]).drop_duplicates(KEY).sort_values(KEY, ignore_index=True)
    if table["label"].nunique() < 2:
        what = f"all {len(table)} cases are of one class, so nothing can be learned or compared"
        raise DataProblem(Problem("labels", what, "bring cases of other classes"))
    return with_persons(table, persons_in(content))


def _share(split: Split, cases: pd.DataFrame) -> float:
    training = len(split.training(cases))
    return (len(cases) - training) / training


def _claim(dataset_dir: Path, out: Path, settings: CaseComparison, trainings: Mapping[str, NetworkTrials]) -> None:
    files = fingerprints(["train.json", *settings.overlays])
    from treatment_response.evaluation.cross_validation import holding_out  # imports MONAI

    protocol = holding_out(settings.overlays).name
    made = {
        name: {
            "overlays": list(settings.overlays),
            "settings": dict(network.settings),
            "epochs": network.epochs,
            "files": files,
            **({} if network.protocol.name == protocol else {"protocol": network.protocol.name}),
        }
        for name, network in trainings.items()
    }
    shuffled_epochs = {name: network.shuffle_epochs for name, network in list(trainings.items())[:1]}
    claim(
        out / "comparison.json",
        {
            "dataset": dataset_digest(dataset_dir),
            "protocol": protocol,
            "folds": "stored" if settings.stored_folds else "drawn",
            "seed": settings.seed,
            "networks": made,
            "epochs with shuffled labels": shuffled_epochs if settings.shuffles else {},
        },
    )


def _notes(
    content: dict[str, Any],
    cases: pd.DataFrame,
    classes: Classes,
    settings: CaseComparison,
    gaps: Sequence[str],
    protocol: Protocol,
) -> list[str]:
    counts = cases["label"].value_counts()
    by_class = ", ".join(f"{counts.get(number, 0)} {name}" for number, name in enumerate(classes.names))
    primary, unlabelled = METRIC_NAMES[classes.primary_metric], len(content.get("unlabelled", []))
    return [
        RESEARCH,
        *([SYNTHETIC] if content.get("synthetic") else []),
        *([f"The protocol of all methods leaks: {protocol.leak}"] if protocol.leak else []),
        f"{len(cases)} cases of {persons_of(cases).nunique()} patients: {by_class}. The primary metric is {primary}. "
        "Two methods have an order only where the paired intervals of its difference lie on one side of 0.",
        "mean ± SD is the spread over splits, not an interval; intervals resample patients (95 %).",
        COVERED,
        *([f"{unlabelled} cases have no label; they are not compared."] if unlabelled else []),
        *([f"The features are {_named(settings.features, words_of(content).columns)}."] if settings.features else []),
        *([ORDINAL_ERROR_WORDS.format(order=", ".join(classes.order))] if classes.order else []),
        *gaps,
        *(
            ["The folds are the data set's own; repeats differ in the networks' seeds."]
            if settings.stored_folds
            else []
        ),
    ]


def _named(columns: Sequence[str], labels: Mapping[str, str]) -> str:
    """Columns in words, their names behind them."""
    words = {column: column_label(column, more=labels) for column in columns}
    return "; ".join(column if label == column else f"{label} ({column})" for column, label in words.items())


def _provenance(
    content: dict[str, Any],
    cases: pd.DataFrame,
    classes: Classes,
    settings: CaseComparison,
    splits: Sequence[Split],
) -> dict[str, Any]:
    kept = {key: value for key, value in asdict(settings).items() if key not in ("workers", "cluster")}
    return {
        "data_set": {
            "name": content.get("name"),
            "synthetic": bool(content.get("synthetic")),
            "cases": len(cases),
            "patients": int(persons_of(cases).nunique()),
            "classes": {name: int((cases["label"] == number).sum()) for number, name in enumerate(classes.names)},
        },
        "settings": kept,
        "models": {name: CASE_METHODS[name] for name in settings.methods},
        "seeds": {"splits": [split.seed for split in splits], "shuffles": list(range(settings.shuffles))},
        "versions": versions(),
    }
