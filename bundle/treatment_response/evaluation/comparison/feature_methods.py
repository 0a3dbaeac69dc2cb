"""Methods on features: each trial is one pipeline, fitted on the split's training lesions and kept in files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from treatment_response.cases.samples import MRI1, MRI2
from treatment_response.evaluation.classical import FEATURE_MODELS, build, chosen_features, describe, notes
from treatment_response.evaluation.comparison.measurements import Measurements, Seen
from treatment_response.evaluation.comparison.method import COLUMNS, Method, TrialRun, TrialSet, read_trial
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.evaluation.engines.choice import open_engine
from treatment_response.features.clinical import CLINICAL_GROUP, SIZE_GROUP
from treatment_response.features.deltas import GROUP as DELTA_GROUP
from treatment_response.features.deltas import delta_features
from treatment_response.features.gradients import GROUP as GRADIENT_GROUP
from treatment_response.features.radiomics import DOSE_GROUP, RADIOMICS_GROUP
from treatment_response.features.table import LESION_KEY, Known
from treatment_response.files import write_whole
from treatment_response.metrics.doubtful import UNLABELLED_COLUMNS
from treatment_response.metrics.scores import HELD_OUT
from treatment_response.problems import DataProblem, Problem

CHANGING = (RADIOMICS_GROUP, GRADIENT_GROUP)
"""Groups whose change from MRI 1 to MRI 2 methods after MRI 2 see."""


@dataclass(frozen=True)
class FeatureMethod(Method):
    """A model on features.

    It is fitted on MRI 1, or on both MRIs of the lesions that have both if it is known after MRI 2.

    Attributes:
        name: of `FEATURE_MODELS`.
        sees: what it takes from the measurements, in MRI 1 and in MRI 2 under the same names; importable by name.
        measured: groups of features that are measured in the images for it.
    """

    name: str
    sees: Callable[[Measurements, FeatureMethod], Seen]
    measured: tuple[str, ...] = ()

    @property
    def known(self) -> Known:
        return FEATURE_MODELS[self.name].known

    @property
    def without_images(self) -> bool:
        return not self.measured

    def candidates(self, counts: Mapping[str, int]) -> int | None:
        if not self.measured:
            return None
        groups = FEATURE_MODELS[self.name].groups
        changing = CHANGING if DELTA_GROUP in groups else ()
        return sum(counts.get(group, 0) for group in (*groups, *changing) if group != DELTA_GROUP) or None

    def prepare(self, measurements: Measurements) -> Seen:
        return self.sees(measurements, self)

    def build(self, seed: int, ratings: pd.DataFrame | None, least_icc: float) -> Pipeline:
        """An unfitted model, see `classical.build`."""
        return build(self.name, seed, ratings=ratings, least_icc=least_icc)

    @classmethod
    def run_trials(cls, methods: Sequence[Self], run: TrialRun) -> None:
        everything = [(method, trials, split) for trials in run.sets for method in methods for split in trials.splits]
        waiting = [each for each in everything if not trial_file(*each).is_file()]
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=run.console, disable=run.console is None) as progress:
            tasks = {}
            for method in methods:
                left = sum(each is method for each, _, _ in waiting)
                total = sum(len(trials.splits) for trials in run.sets)
                tasks[method.name] = progress.add_task(method.name, total=total, completed=total - left)
            if not waiting:
                return
            with open_engine(run.workers, run.cluster, writes=[trials.folder for trials in run.sets]) as engine:
                shared = {method.name: engine.share(run.seen[method.name]) for method in methods}
                calls = [
                    (
                        m,
                        split,
                        trials.lesions,
                        shared[m.name],
                        trial_file(m, trials, split).resolve(),
                        trials.unlabelled,
                    )
                    for m, trials, split in waiting
                ]
                engine.run(fit_to_file, calls, done=lambda index: progress.advance(tasks[waiting[index][0].name]))

    def predictions(self, trials: TrialSet) -> pd.DataFrame:
        tables = [read_trial(trial_file(self, trials, split)) for split in trials.splits]
        return pd.concat(tables, ignore_index=True)

    def unlabelled(self, trials: TrialSet) -> pd.DataFrame | None:
        files = [unlabelled_file(trial_file(self, trials, split)) for split in trials.splits]
        tables = [read_trial(file)[UNLABELLED_COLUMNS] for file in files if file.is_file()]
        return pd.concat(tables, ignore_index=True) if tables else None

    def chosen(self, trials: TrialSet) -> list[pd.DataFrame]:
        return [
            pd.read_csv(chosen_file(trial_file(self, trials, split)), float_precision="round_trip").assign(
                method=self.name, trial=split.trial
            )
            for split in trials.splits
        ]

    def describe(self, least_icc: float, training: Mapping[str, Any] | None, features: float) -> dict[str, Any]:
        ratings = pd.DataFrame() if self.measured and least_icc > 0 else None
        steps = describe(self.build(0, ratings, least_icc))
        return {"steps": steps, "mean_number_of_features": round(features, 3)}


def sees_size(measurements: Measurements, method: FeatureMethod) -> Seen:
    """The volume of each session."""
    volume = measurements.facts.known_by(Known.BEFORE_TREATMENT).of_groups(SIZE_GROUP).values
    second = measurements.facts.values[["size.volume_mri2"]].rename(columns={"size.volume_mri2": "size.volume"})
    return Seen({MRI1: volume, MRI2: second})


def sees_clinical_facts(measurements: Measurements, method: FeatureMethod) -> Seen:
    """Clinical facts known before treatment, which stay what they were."""
    table = measurements.facts.known_by(Known.BEFORE_TREATMENT).of_groups(CLINICAL_GROUP).values
    return Seen({MRI1: table, MRI2: table})


def sees_images(measurements: Measurements, method: FeatureMethod) -> Seen:
    """The method's groups, measured in each session. Without any dose in the data set they go without dose."""
    table = measurements.images.of_groups(*method.measured)
    ratings = measurements.ratings
    return Seen(
        {session: table.at(session).values for session in (MRI1, MRI2)},
        None if ratings is None else ratings[list(table.values.columns)],
        measurements.least_icc,
    )


def sees_size_at_both(measurements: Measurements, method: FeatureMethod) -> Seen:
    """The volumes of both MRIs and their change."""
    return Seen({MRI2: measurements.facts.of_groups(SIZE_GROUP).values.dropna(subset=["size.volume_mri2"])})


def sees_images_at_both(measurements: Measurements, method: FeatureMethod) -> Seen:
    """All features of MRI 1 and their changes; the model takes the columns of its own groups.

    Whether a change is robust is judged by its feature's ICC in MRI 1.
    """
    changes = delta_features(measurements.images.of_groups(*CHANGING))
    both = measurements.images.at(MRI1).join(changes).values.loc[changes.values.index]
    ratings = measurements.ratings
    if ratings is not None:
        ratings = pd.concat([ratings, ratings.add_prefix(f"{DELTA_GROUP}.")], axis=1)
    return Seen({MRI2: both}, ratings, measurements.least_icc)


FEATURE_METHODS = {
    method.name: method
    for method in (
        FeatureMethod("size", sees_size),
        FeatureMethod("clinical", sees_clinical_facts),
        FeatureMethod("radiomics", sees_images, (RADIOMICS_GROUP,)),
        FeatureMethod("gradient", sees_images, (GRADIENT_GROUP,)),
        FeatureMethod("dose", sees_images, (DOSE_GROUP,)),
        FeatureMethod("ensemble", sees_images, (RADIOMICS_GROUP, GRADIENT_GROUP, DOSE_GROUP)),
        FeatureMethod("size-after-mri2", sees_size_at_both),
        FeatureMethod("delta", sees_images_at_both, CHANGING),
        FeatureMethod("ensemble-after-mri2", sees_images_at_both, (*CHANGING, DOSE_GROUP)),
    )
}


def fit_trial(
    method: FeatureMethod, split: Split, lesions: pd.DataFrame, seen: Seen, unlabelled: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Fit a method on the split's training lesions and score every role.

    Nothing of a held-out lesion, or of one without a label, reaches the fit: ICC filter, selection, scaling and
    imputation are inside the model, and look at the lesions given to ``fit`` alone.

    Args:
        unlabelled: lesions without a label; the held-out ones are scored by the same fitted model.

    Returns:
        Rows of ``predictions.csv``; the features that the fitted model looks at: ``feature, weight, note``; rows of
        ``unlabelled_predictions.csv``, None if there are none.

    Raises:
        DataProblem: a lesion has no row of features, or the fitting refuses the data.
    """
    later = method.known is Known.AFTER_MRI_2
    training, session = split.training(lesions), MRI1
    if later:
        training, session = training[training["has_mri2"]], MRI2
    with threadpool_limits(1):
        model = method.build(split.seed, seen.ratings, seen.least_icc)
        model.fit(_rows(seen.features[session], training, method), training["label"].to_numpy())

        def p_response(session: str, scored: pd.DataFrame) -> Any:
            return model.predict_proba(_rows(seen.features[session], scored, method))[:, 1]

        tables = [pd.DataFrame(columns=COLUMNS)]
        roles = split.roles_after_mri2(lesions) if later else split.roles(lesions)
        for role, (of_role, scored) in roles.items():
            table = scored[[*LESION_KEY, "label"]].assign(p_response=p_response(of_role, scored), role=role)
            tables.append(table.assign(session=of_role, method=method.name, model=split.trial))
        predictions = pd.concat(tables[1:] or tables, ignore_index=True)[COLUMNS]
        doubtful = None
        if unlabelled is not None and not later and len(held := split.held_out_lesions(unlabelled)):
            table = held[LESION_KEY].assign(p_response=p_response(MRI1, held), session=MRI1, role=HELD_OUT)
            doubtful = table.assign(fold=split.fold, model=split.trial, method=method.name)[UNLABELLED_COLUMNS]
    chosen = [*chosen_features(model)[["feature", "weight"]].to_dict("records"), *({"note": n} for n in notes(model))]
    return predictions, pd.DataFrame(chosen, columns=["feature", "weight", "note"]), doubtful


def fit_to_file(
    method: FeatureMethod,
    split: Split,
    lesions: pd.DataFrame,
    seen: Seen,
    file: Path,
    unlabelled: pd.DataFrame | None = None,
) -> None:
    """`fit_trial` into files; a trial whose `file` is there is finished."""
    predictions, chosen, doubtful = fit_trial(method, split, lesions, seen, unlabelled)
    if doubtful is not None:
        write_whole(unlabelled_file(file), doubtful.to_csv(index=False, float_format="%.8g"))
    write_whole(chosen_file(file), chosen.to_csv(index=False, float_format="%.8g"))
    write_whole(file, predictions.to_csv(index=False, float_format="%.8g"))


def trial_file(method: FeatureMethod, trials: TrialSet, split: Split) -> Path:
    """Where a trial's predictions are kept."""
    return trials.folder / method.name / f"trial_{split.trial:03d}.csv"


def unlabelled_file(file: Path) -> Path:
    """Where a trial's predictions of lesions without a label are, beside its predictions."""
    return file.parent / "unlabelled" / file.name


def chosen_file(file: Path) -> Path:
    """Where the features that a trial chose are, beside its predictions."""
    return file.parent / "chosen" / file.name


def _rows(features: pd.DataFrame, lesions: pd.DataFrame, method: FeatureMethod) -> pd.DataFrame:
    index = pd.MultiIndex.from_frame(lesions[LESION_KEY])
    missing = index[~index.isin(features.index)]
    if len(missing):
        subject, lesion = missing[0]
        what = f"there are no {method.name} features of this lesion"
        raise DataProblem(Problem(f"{subject} {lesion}", what, "prepare the data set again"))
    return features.loc[index]
