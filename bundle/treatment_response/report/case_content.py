"""The page of a report on any classes: its values, its figures, and sentences about the sections that do not apply."""

from __future__ import annotations

from typing import Any

import pandas as pd

from treatment_response.classes import Classes
from treatment_response.cohort.case import images_of
from treatment_response.cohort.dataset import TEST_FOLD
from treatment_response.cohort.splits import persons_of
from treatment_response.evaluation.comparison.pairs import shown_pairs
from treatment_response.metrics.bootstrap import patient_bootstrap
from treatment_response.metrics.class_intervals import (
    ALL_CLASSES,
    CLASS_METRIC_NAMES,
    METRIC_NAMES,
    ORDINAL_ERROR_WORDS,
    class_metric,
    metric_names,
)
from treatment_response.metrics.class_scores import class_scores
from treatment_response.metrics.intervals import COVERED, Interval, ends_text
from treatment_response.metrics.scores import ROLES, with_model
from treatment_response.notice import training_data_sentence
from treatment_response.protocols import PROTOCOLS, leak_of, leak_of_role
from treatment_response.report.case_inputs import CaseComparisonInputs, CaseReportInputs
from treatment_response.report.case_tables import (
    at_threshold_table,
    external_tables,
    operating_points_table,
    reliance_table,
    seeds_table,
    test_table,
)
from treatment_response.report.checklists import CHECKLISTS, answered, read_checklist
from treatment_response.report.class_tables import (
    calibration_table,
    far_misses_table,
    folds_table,
    leaks_table,
    recalls_table,
)
from treatment_response.report.figures.classes import (
    class_roc_curves,
    decisions_figure,
    net_benefit_curve,
    reliability_by_class,
)
from treatment_response.report.figures.planes import three_planes
from treatment_response.report.recorded import class_name, flat_rows, inner, said, scalars
from treatment_response.report.sample_size import Counted, sample_size_table
from treatment_response.report.scores_section import (
    SYNTHETIC_NOTE,
    ShownMaps,
    explanation_figures,
    explanation_tables,
)
from treatment_response.report.sheet_section import sheet_figures, sheet_tables
from treatment_response.report.shown import NO_BREAK, Figures, Row, ShownTable, interval, known, mean_and_sd, number


def case_page(inputs: CaseReportInputs) -> dict[str, Any]:
    """The template's values."""
    run, scores, sample_sizes, facts = _run(inputs), inputs.explanations, _sample_sizes(inputs), _facts(inputs)
    sections = _sections(inputs, bool(sample_sizes))
    return {
        "title": inputs.words.title,
        "question": inputs.words.question,
        "classes": inputs.classes.names,
        "cases": inputs.words.cases,
        "synthetic": inputs.synthetic,
        "filters": [],
        "key_numbers": [*([] if run is None else run["key_numbers"]), _counts(inputs)],
        "sections": sections,
        "absent": _absent(inputs),
        "cohort": _cohort(inputs),
        "board": sheet_tables(inputs.sheets, inputs.classes.names, inputs.words.cases, _notes(inputs))
        if inputs.sheets
        else None,
        "covered": COVERED,
        "run": run,
        "comparisons": [_comparison(inputs, one) for one in inputs.comparisons],
        "pictures": [f"case_{place}" for place in range(1, len(inputs.pictures) + 1)],
        "explanations": []
        if scores is None
        else explanation_tables(scores, scores.synthetic(inputs.synthetic), _shown_maps(inputs)),
        "sample_sizes": sample_sizes,
        "methods_text": _methods(inputs),
        "checklists": [answered(read_checklist(name), sections, facts, of_cases=True) for name in CHECKLISTS],
        "versions": ShownTable("versions", "Versions", ("", "value"), _versions(inputs)),
        "settings": ShownTable("settings", "Every recorded setting", ("setting", "value"), _settings(inputs)),
        "files": inputs.files,
    }


def case_figures(inputs: CaseReportInputs) -> Figures:
    """Every figure that the inputs allow, in the order of the page."""
    classes, cases, synthetic = inputs.classes, inputs.words.cases, inputs.synthetic
    figures: Figures = sheet_figures(inputs.sheets, inputs.classes, synthetic)
    if inputs.primary is not None:
        role, rows = inputs.primary
        areas = {name: of_class["auc"] for name, of_class in inputs.class_intervals.items()}
        counts = class_scores(rows["label"], rows[list(classes.columns)].to_numpy(), classes)["confusion"]
        figures["confusion"] = (
            decisions_figure(counts, classes, ROLES[role], cases, synthetic),
            f"What was decided of the {cases} of each class. Rows are the truth, with shares of the row; the diagonal "
            "from upper left to lower right is right.",
        )
        if len(classes.names) == 2:
            figures["net_benefit"] = (
                net_benefit_curve(rows, classes, f"Decision curve\n{ROLES[role]}", synthetic),
                f"What acting on the answer is worth, in true positives per case, if one would act from this "
                f"probability of {classes.finding} on: the higher, the better. Where the curve lies below one of the "
                "others, acting on everybody or on nobody is better. The probabilities are those of held-out patients.",
            )
        figures["roc"] = (
            class_roc_curves(rows, classes, areas, f"Each class against the rest\n{ROLES[role]}", synthetic),
            "Sensitivity against false alarms at every threshold on a class's probability. The further a curve bends "
            "to the upper left, the better; the dotted diagonal is a coin toss. The shaded band is where the curve of "
            f"{classes.finding} could lie with other patients of the same kind.",
        )
        figures["calibration"] = (
            reliability_by_class(inputs.calibration, classes, f"Calibration of each class\n{ROLES[role]}", synthetic),
            f"What was said of a class and how often it came, in five groups of {cases} of about equal number by its "
            "probability. On the dotted diagonal both are the same; below it the network says too much.",
        )
    for place, picture in enumerate(inputs.pictures, start=1):
        figures[f"case_{place}"] = (
            three_planes(picture, synthetic),
            f"What speaks for {picture.decided}, the class that was decided, in three planes through the map's highest "
            "place (dotted lines). Colour is the share of a constant that was fitted on the training "
            f"{cases}: the same colour means the same contribution in every {inputs.words.case}.",
        )
    if (scores := inputs.explanations) is not None:
        figures |= explanation_figures(scores, scores.synthetic(synthetic), _shown_maps(inputs))
    return figures


def _shown_maps(inputs: CaseReportInputs) -> ShownMaps:
    finding = inputs.classes.finding
    return ShownMaps(finding, [name for name in inputs.classes.names if name != finding], "cases")


def _sections(inputs: CaseReportInputs, sample: bool) -> dict[str, str]:
    """Anchor → heading of what the page has."""
    there = {
        "data": ("The data", True),
        "board": ("Dose, place and growth, without any network", bool(inputs.sheets)),
        "comparison": ("Beside simple methods", bool(inputs.comparisons)),
        "results": (
            f"{'External validation: how' if inputs.external else 'How'} well the network tells the classes apart",
            inputs.predictions is not None,
        ),
        "maps": ("Where its decisions come from", bool(inputs.pictures)),
        "explanation-scores": ("Are the maps right?", inputs.explanations is not None),
        "sample": ("How far the number of patients carries", sample),
        "methods-text": ("Methods", True),
        "checklists": ("Reporting checklists", True),
        "settings": ("Versions, settings, files", True),
    }
    return {anchor: heading for anchor, (heading, shown) in there.items() if shown}


def _absent(inputs: CaseReportInputs) -> list[str]:
    """What the page does not have, and what would put it there."""
    sentences = {
        "Performance of a network is not shown: no run was given (--run).": inputs.predictions is not None,
        "A comparison with simple methods is not shown: none was given (--comparison).": bool(inputs.comparisons),
        "Dose, place and growth of each case are not shown: the data set has no dvh.csv, which "
        "scripts/prepare_longitudinal.py writes.": bool(inputs.sheets),
        "Maps are not shown: no inference folder was given (--cams).": bool(inputs.pictures),
        "How right the maps are is not shown: no scores were given (--explanations).": inputs.explanations is not None,
    }
    return [sentence for sentence, shown in sentences.items() if not shown]


def _facts(inputs: CaseReportInputs) -> set[str]:
    """What the checklists may rest an answer on."""
    holds = {
        "always": True,
        "synthetic": inputs.synthetic,
        "run": inputs.predictions is not None and bool(inputs.provenance),
        "network": bool(inputs.provenance),
        "comparison": bool(inputs.comparisons),
        "heldout": _patients_held_out(inputs),
        "all_held_out": inputs.primary is not None
        and not inputs.external
        and len(inputs.primary[1]) >= len(_in_folds(inputs)),
        "external": bool(inputs.external),
        "robustness": any(one.table["null_check"] for one in inputs.comparisons),
    }
    return {fact for fact, true in holds.items() if true}


def _patients_held_out(inputs: CaseReportInputs) -> bool:
    """Whether all that is scored is of patients of the training data set whom nothing was trained on."""
    used = [one.table["protocol"] for one in inputs.comparisons]
    if inputs.primary is not None and not inputs.external:
        used += [name for name, one in PROTOCOLS.items() if inputs.primary[0] in {role.name for role in one.roles}]
    return bool(used) and all(PROTOCOLS[name].holds_out and not leak_of(name) for name in used)


def _in_folds(inputs: CaseReportInputs) -> pd.DataFrame:
    """The cases that are held out once each: all but those of the final test."""
    return inputs.cases[inputs.cases["fold"] != TEST_FOLD]


def _sample_sizes(inputs: CaseReportInputs) -> list[ShownTable]:
    """One table per comparison on this data set; of the run alone where there is none."""
    words, outcome = inputs.words, inputs.classes.names[1]
    counted, cases = Counted(words.case, words.cases, outcome), _in_folds(inputs)
    if own := [one for one in inputs.comparisons if one.own]:
        return [
            sample_size_table(
                one.key,
                cases,
                counted,
                _areas(one),
                one.table.get("labels", {}),
                one.table.get("candidates", {}),
                _notes(inputs),
            )
            for one in own
        ]
    if inputs.primary is None:
        return []
    found = patient_bootstrap(inputs.primary[1], class_metric("auc", inputs.classes)).as_dict()
    scored = {"the network": found}
    develops = not inputs.external
    return [sample_size_table("network", inputs.primary[1], counted, scored, {}, {}, _notes(inputs), develops)]


def _areas(one: CaseComparisonInputs) -> dict[str, dict[str, Any]]:
    """Method → its AUC over all classes with its interval."""
    rows = [row for row in one.table["scores"] if row["class"] == ALL_CLASSES and row["score"] == "auc"]
    return {row["method"]: row for row in rows}


def _notes(inputs: CaseReportInputs) -> tuple[str, ...]:
    return ("Research use only.", *((SYNTHETIC_NOTE,) if inputs.synthetic else ()))


def _counts(inputs: CaseReportInputs) -> dict[str, str]:
    labels = inputs.cases["label"].value_counts()
    by_class = ", ".join(f"{labels.get(place, 0)} {name}" for place, name in enumerate(inputs.classes.names))
    value = f"{persons_of(inputs.cases).nunique()} / {len(inputs.cases)}"
    return {"value": value, "name": f"patients / {inputs.words.cases}", "note": by_class}


def _cohort(inputs: CaseReportInputs) -> ShownTable:
    table, classes, cases = inputs.cases, inputs.classes, inputs.words.cases
    folds = table.loc[table["fold"] != TEST_FOLD, "fold"].value_counts().sort_index()
    apart = table[table["fold"] == TEST_FOLD]
    names = list(images_of(inputs.dataset["training"][0])) if inputs.dataset.get("training") else []
    rows: list[Row] = [("patients", str(persons_of(table).nunique())), (cases, str(len(table)))]
    for place, name in enumerate(classes.names):
        own = table[table["label"] == place]
        note = " (the finding)" if name == classes.finding else ""
        rows.append((f"class {name}{note}", f"{len(own)} ({len(own) / len(table):.0%})"))
    rows += [
        (f"{cases} without a label", str(len(inputs.dataset.get("unlabelled", [])))),
        (f"images of each {inputs.words.case}", ", ".join(names)),
        (f"{cases} in each fold, split by patient", ", ".join(f"{fold}: {count}" for fold, count in folds.items())),
    ]
    if len(apart):
        rows.append((f"{cases} kept apart for the final test", str(len(apart))))
    return ShownTable("cohort", "The data set", ("", inputs.words.title), rows, _notes(inputs))


def _run(inputs: CaseReportInputs) -> dict[str, Any] | None:
    if inputs.predictions is None or inputs.averaged is None or inputs.primary is None:
        return None
    classes, cases, averaged = inputs.classes, inputs.words.cases, inputs.averaged
    role, rows = inputs.primary
    models = int(with_model(inputs.predictions)["model"].nunique())
    order = sorted(metric_names(classes), key=lambda name: name != classes.primary_metric)
    overall: list[Row] = []
    scored: dict[str, list[Interval]] = {}
    for each in [known_role for known_role in reversed(ROLES) if known_role in set(averaged["role"])]:
        part = averaged[averaged["role"] == each]
        scored[each] = [patient_bootstrap(part, class_metric(name, classes)) for name in order]
        count = f"{len(part)} {cases}, {persons_of(part).nunique()} patients"
        overall.append((ROLES[each], count, *map(_cell, scored[each])))
    of_class: list[Row] = []
    for place, name in enumerate(classes.names):
        found = inputs.class_intervals[name].values()
        of_class.append((name, str(int((rows["label"] == place).sum())), *map(_cell, found)))
    primary = scored[role][0]
    brier = scored[role][order.index("brier")]
    heads = [f"{METRIC_NAMES[name]}{' (primary)' if name == classes.primary_metric else ''}" for name in order]
    return {
        "fitted": _fitted(inputs, models),
        "overall": ShownTable(
            "network",
            "The network, over all classes",
            ("scored on", "n", *heads),
            overall,
            (*_notes(inputs), *([ORDINAL_ERROR_WORDS.format(order=", ".join(classes.order))] if classes.order else [])),
        ),
        "by_class": ShownTable(
            "network_classes",
            f"The network, class by class; {ROLES[role]}",
            ("class", cases, *CLASS_METRIC_NAMES.values()),
            of_class,
            _notes(inputs),
        ),
        "key_numbers": [
            {
                "value": number(primary.estimate),
                "name": f"{METRIC_NAMES[classes.primary_metric]}, {ROLES[role]}",
                "note": f"95 % interval {ends_text(primary.low, primary.high, between=' to ')}; {primary.n} {cases}, "
                f"{primary.patients} patients",
            },
            *(
                [
                    {
                        "value": number(brier.estimate),
                        "name": f"{METRIC_NAMES['brier']}, {ROLES[role]}",
                        "note": f"95 % interval {number(brier.low)} to {number(brier.high)}; the classes' shares alone "
                        f"give {number(_prevalence_brier(rows, classes))}",
                    }
                ]
                if len(classes.names) == 2
                else []
            ),
        ],
        "leak": leak_of_role(role),
        "external": [*inputs.external["notes"]] if inputs.external else [],
        "tables": [
            *external_tables(inputs, _notes(inputs)),
            *(
                table
                for table in (
                    folds_table(inputs, _notes(inputs)),
                    far_misses_table(inputs, _notes(inputs)),
                    calibration_table(inputs.calibration, cases, _notes(inputs)),
                    at_threshold_table(rows, inputs),
                    test_table(inputs),
                )
                if table is not None and (table.rows or table.id == "far_misses")
            ),
        ],
        "figures": ["confusion", *(["net_benefit"] if len(classes.names) == 2 else []), "roc", "calibration"],
    }


def _fitted(inputs: CaseReportInputs, models: int) -> str:
    """What was fitted, as the end of a sentence."""
    if inputs.external:
        networks, model = inputs.external["networks"], inputs.external["model"]
        made = f"an ensemble of {networks} networks" if networks > 1 else "one network"
        state = "calibrated there" if inputs.external["calibrated"] else "not calibrated"
        return f"{made}, trained on the data set {training_data_sentence(model)}, and {state}; nothing was fitted here"
    return f"{models} fitted networks, each held out other patients" if models > 1 else "one fitted network"


def _prevalence_brier(rows: pd.DataFrame, classes: Classes) -> float:
    """The Brier score of answering with the classes' shares."""
    shares = rows["label"].value_counts(normalize=True).reindex(range(len(classes.names)), fill_value=0.0)
    return float(1 - (shares**2).sum())


def _comparison(inputs: CaseReportInputs, one: CaseComparisonInputs) -> dict[str, Any]:
    scores, primary = pd.DataFrame(one.table["scores"]), inputs.classes.primary_metric
    order = sorted(metric_names(inputs.classes), key=lambda name: name != primary)
    rows: list[Row] = []
    fair = scores[(scores["class"] == ALL_CLASSES) & ~scores["method"].isin(one.table.get("leaking", []))]
    for method, mine in fair.groupby("method", sort=False):
        of_score = {row["score"]: row for row in mine.to_dict("records")}
        cells = [f"{interval(of_score[score])}\n{mean_and_sd(of_score[score])}" for score in order]
        rows.append((one.label(method), *cells))
    other = () if one.own else ("This comparison was made from other data than those described above.",)
    notes = tuple(dict.fromkeys((*other, *map(str, one.table["notes"]))))
    shown, left = shown_pairs(one.table["differences"])
    pairs = [
        (
            f"{one.label(entry['method'])} − {one.label(entry['minus'])}",
            interval(entry["interval"], sign=True),
            interval(entry["nadeau_bengio"], centre="mean", sign=True),
            one.label(entry["better"] or "no order shown"),
        )
        for entry in shown
    ]
    nulls = [
        (
            one.label(entry["method"]),
            f"{number(entry['mean'])} ± {number(entry['se'])}",
            f"{number(entry['pooled_mean'])} ± {number(entry['pooled_se'])}",
            str(entry["shuffles"]),
        )
        for entry in one.table["null_check"]
    ]
    heads = [f"{METRIC_NAMES[name]}{' (primary)' if name == primary else ''}" for name in order]
    return {
        "methods": {one.label(method): meaning for method, meaning in one.table["methods"].items()},
        "scores": ShownTable(
            one.key, f"{one.table['role']}: interval over patients, below it mean ± SD over splits",
            ("method", *heads), rows, notes, scores,
        ),
        "differences": ShownTable(
            f"{one.key}_differences", f"Differences of {METRIC_NAMES[primary]} on the same {inputs.words.cases}",
            ("", "patients, 95 %", "Nadeau–Bengio over the trials", "better"), pairs, (*_notes(inputs), *left),
        ),
        "headline": one.table.get("headline", []),
        "tables": [
            table
            for table in (
                recalls_table(one, _notes(inputs)),
                leaks_table(one, _notes(inputs)),
                operating_points_table(one, _notes(inputs)),
                reliance_table(one, _notes(inputs)),
                seeds_table(one, _notes(inputs)),
            )
            if table.rows
        ],
        "null_check": ShownTable(
            f"{one.key}_null", "AUC with shuffled labels ± standard error; chance is 0.5",
            ("method", "inside each trial", "pooled over the trials", "shuffles"), nulls, _notes(inputs),
        ),
    }  # fmt: skip


def _methods(inputs: CaseReportInputs) -> list[tuple[str, str]]:
    """Headed paragraphs: the system's own, then what the program recorded of the run and always does."""
    made = inner(inputs.provenance, "settings") or {}
    found = [("Data", paragraph) for paragraph in inputs.words.methods]
    if not found:
        found = [("Data", "The data set brings no text of its own (words, methods in dataset.json).")]
    if inputs.provenance:
        found.append(
            (
                "Network",
                f"{class_name(made.get('network'))} ({scalars(made.get('network'))}), "
                f"loss {class_name(made.get('loss'))}, optimiser {class_name(made.get('optimizer'))}, "
                f"{said(made.get('max_epochs'))} epochs in batches of {said(made.get('batch_size'))}; "
                f"protocol {said(made.get('protocol'))}. {_epoch_words(made.get('protocol'))}",
            )
        )
    if inputs.external:
        found.append(
            (
                "External validation",
                f"The numbers are of {_fitted(inputs, 1)}. Every labelled {inputs.words.case} of the data set was "
                f"predicted. {' '.join(inputs.external['notes'])}",
            )
        )
    found.append(
        (
            "Statistics",
            f"Of several fitted networks that held a {inputs.words.case} out, the mean probability counts; the class "
            "with the largest probability is decided. Intervals resample patients 2000 times, each with all "
            f"{inputs.words.cases}; the standard error is carried to the logit scale for shares. {COVERED}",
        )
    )
    return found


def _epoch_words(protocol: Any) -> str:
    """Which epoch is the model, and what leaks."""
    if protocol not in PROTOCOLS:
        return "Which epoch is the model is not recorded."
    used = PROTOCOLS[protocol]
    return f"{used.epoch_words} {used.leak}".strip()


def _versions(inputs: CaseReportInputs) -> list[Row]:
    versions = dict(inputs.provenance.get("versions", {}))
    for one in inputs.comparisons:
        versions |= one.settings.get("versions", {})
    return [(str(name), str(version)) for name, version in versions.items()] or [("provenance", "not recorded")]


def _settings(inputs: CaseReportInputs) -> list[Row]:
    rows = flat_rows(inputs.provenance)
    for one in inputs.comparisons:
        rows += flat_rows(one.settings, f"{one.key}.")
    return rows


def _cell(found: Interval) -> str:
    """Two lines, the second with a no-break space: narrow columns stay readable."""
    if not known(found.estimate):
        return "undefined"
    ends = ends_text(found.low, found.high, between=f",{NO_BREAK}")
    return f"{found.estimate:.2f}" + (f"\n[{ends}]" if known(found.low) else "")
