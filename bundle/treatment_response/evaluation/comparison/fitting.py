"""One trial of a method on features: fitted on the split's training lesions, every role scored, what it chose kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from treatment_response.cases.samples import MRI1, MRI2
from treatment_response.evaluation.comparison.methods import AFTER_MRI_2, Seen
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.features.table import LESION_KEY
from treatment_response.files import write_whole
from treatment_response.metrics.doubtful import UNLABELLED_COLUMNS
from treatment_response.metrics.scores import HELD_OUT
from treatment_response.problems import DataProblem, Problem

COLUMNS = ["method", "model", "role", "session", "subject", "lesion", "label", "p_response"]
"""Of ``predictions.csv``."""


def fit_and_score(method: str, split: Split, lesions: pd.DataFrame, seen: Seen) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit a classical method on the split's training lesions and score every role.

    It is fitted on MRI 1, or on both MRIs of the lesions that have both if it is known after MRI 2.

    Returns:
        Rows of ``predictions.csv``, and what the fitted model looks at: ``feature, weight, note``.

    Raises:
        DataProblem: a lesion has no row of features, or the fitting refuses the data.
    """
    with threadpool_limits(1):
        model = _fitted(method, split, lesions, seen)
        return _scored(model, method, split, lesions, seen), _looked_at(model)


def fit_to_file(
    method: str, split: Split, lesions: pd.DataFrame, seen: Seen, file: Path, unlabelled: pd.DataFrame | None = None
) -> None:
    """`fit_and_score` into files; a trial whose `file` is there is finished.

    Args:
        unlabelled: lesions without a label; the held-out ones are scored by the same fitted model.
    """
    with threadpool_limits(1):
        model = _fitted(method, split, lesions, seen)
        predictions, chosen = _scored(model, method, split, lesions, seen), _looked_at(model)
        held = None if unlabelled is None or method in AFTER_MRI_2 else split.held_out_lesions(unlabelled)
        if held is not None and len(held):
            p = model.predict_proba(_rows(seen.features[MRI1], held, method))[:, 1]
            table = held[LESION_KEY].assign(session=MRI1, role=HELD_OUT, fold=split.fold, model=split.trial)
            table = table.assign(method=method, p_response=p)[UNLABELLED_COLUMNS]
            write_whole(unlabelled_file(file), table.to_csv(index=False, float_format="%.8g"))
    write_whole(chosen_file(file), chosen.to_csv(index=False, float_format="%.8g"))
    write_whole(file, predictions.to_csv(index=False, float_format="%.8g"))


def unlabelled_file(file: Path) -> Path:
    """Where a trial's predictions of lesions without a label are, beside its predictions."""
    return file.parent / "unlabelled" / file.name


def chosen_file(file: Path) -> Path:
    """Where the features that a trial chose are, beside its predictions."""
    return file.parent / "chosen" / file.name


def _fitted(method: str, split: Split, lesions: pd.DataFrame, seen: Seen) -> Any:
    """The method's model.

    Nothing of a held-out lesion, or of one without a label, reaches the fit: ICC filter, selection, scaling and
    imputation are inside what `build` returns, and look at the lesions given to ``fit`` alone.
    """
    from treatment_response.evaluation.classical import build  # slow; only workers need it

    training, session = split.training(lesions), MRI1
    if method in AFTER_MRI_2:
        training, session = training[training["has_mri2"]], MRI2
    model = build(method, split.seed, ratings=seen.ratings, least_icc=seen.least_icc)
    model.fit(_rows(seen.features[session], training, method), training["label"].to_numpy())
    return model


def _scored(model: Any, method: str, split: Split, lesions: pd.DataFrame, seen: Seen) -> pd.DataFrame:
    parts = [pd.DataFrame(columns=COLUMNS)]
    roles = split.roles_after_mri2(lesions) if method in AFTER_MRI_2 else split.roles(lesions)
    for role, (session, rows) in roles.items():
        p = model.predict_proba(_rows(seen.features[session], rows, method))[:, 1]
        part = rows[[*LESION_KEY, "label"]].assign(p_response=p, role=role, session=session)
        parts.append(part.assign(method=method, model=split.trial))
    return pd.concat(parts[1:] or parts, ignore_index=True)[COLUMNS]


def _looked_at(model: Any) -> pd.DataFrame:
    from treatment_response.evaluation.classical import chosen_features, notes

    chosen = chosen_features(model)[["feature", "weight"]].to_dict("records")
    said = [{"note": note} for note in notes(model)]
    return pd.DataFrame([*chosen, *said], columns=["feature", "weight", "note"])


def _rows(features: pd.DataFrame, lesions: pd.DataFrame, method: str) -> pd.DataFrame:
    index = pd.MultiIndex.from_frame(lesions[LESION_KEY])
    missing = index[~index.isin(features.index)]
    if len(missing):
        subject, lesion = missing[0]
        what = f"there are no {method} features of this lesion"
        raise DataProblem(Problem(f"{subject} {lesion}", what, "prepare the data set again"))
    return features.loc[index]
