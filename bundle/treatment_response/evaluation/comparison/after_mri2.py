"""Methods that see MRI 2 too: whether the data set allows them, and what stands beside them in their table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from treatment_response.cases.samples import MRI2
from treatment_response.cohort.layout import LESIONS
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.features.table import LESION_KEY
from treatment_response.metrics.scores import HELD_OUT, HELD_OUT_AFTER
from treatment_response.problems import DataProblem, Problem

_DAYS, _VOLUMES = ["days_ses-02", "days_ses-03"], ["volume_ses-02_mm3", "volume_ses-03_mm3"]


def check_after_mri2(dataset_dir: Path, lesions: pd.DataFrame, splits: Sequence[Split], methods: Sequence[str]) -> str:
    """Refuse methods after MRI 2 where MRI 2 is the examination that gives the label, or too few lesions have one.

    Args:
        lesions: from `read_lesions`. methods: those after MRI 2 that are asked for.

    Returns:
        What has to be said under their tables: when the two examinations were.

    Raises:
        DataProblem: in one sentence.
    """
    option = f"--methods {' '.join(methods)}"
    both = lesions[lesions["has_mri2"]]
    if not all(split.held_out for split in splits):
        raise DataProblem(Problem(option, "it needs held-out patients, which protocol A has not", "use --protocol B"))
    if any(split.training(both)["label"].nunique() < 2 for split in splits):
        what = f"{len(both)} lesions have MRI 2, too few to train on both classes in every split"
        raise DataProblem(Problem(option, what, "prepare MRI 2, or leave the method out"))
    table = pd.read_csv(dataset_dir / LESIONS, dtype=dict.fromkeys(LESION_KEY, str)).set_index(LESION_KEY)
    table = table.loc[pd.MultiIndex.from_frame(both[LESION_KEY])].reindex(columns=[*_DAYS, *_VOLUMES])
    second, follow_up = (table[day] for day in _DAYS)
    dated = second.notna() & follow_up.notna()
    # Without dates, one volume to the last digit on both sides is one examination under two names.
    same = (dated & (second >= follow_up)) | (~dated & (table[_VOLUMES[0]] == table[_VOLUMES[1]]))
    if same.any():
        subject, lesion = table.index[same.to_numpy()][0]
        what = (
            f"MRI 2 of {subject} {lesion} ({int(same.sum())} lesions in all) is not earlier than the follow-up that "
            "gives the label, so the change to MRI 2 would be the label itself"
        )
        raise DataProblem(Problem(option, what, "prepare an earlier MRI 2, or leave the method out"))
    when = (
        f"MRI 2 on days {second[dated].min():.0f} to {second[dated].max():.0f}, follow-up on days "
        f"{follow_up[dated].min():.0f} to {follow_up[dated].max():.0f}"
        if dated.any()
        else "when is not recorded"
    )
    undated = f"; not recorded for {int((~dated).sum())}" if dated.any() and not dated.all() else ""
    return (
        f"{', '.join(methods)}: known only after MRI 2 ({len(both)} lesions; {when}{undated}). The change until then "
        "is a part of the change that gives the label; beside them stand the other methods’ predictions of the same "
        "lesions from MRI 1. Lesions without a label are not scored."
    )


def beside_later_methods(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions with those from MRI 1 in the role after MRI 2 too: what was known before is known then.

    Args:
        predictions: rows of ``predictions.csv``; without a method after MRI 2 they stay as they are.
    """
    keys = ["model", *LESION_KEY]
    later = predictions.loc[predictions["role"] == HELD_OUT_AFTER, keys].drop_duplicates()
    if later.empty:
        return predictions
    before = predictions[predictions["role"] == HELD_OUT]
    copied = before.merge(later, on=keys)[list(predictions)].assign(role=HELD_OUT_AFTER, session=MRI2)
    return pd.concat([predictions, copied], ignore_index=True)
