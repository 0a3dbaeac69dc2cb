"""How the AUC grows with the number of training lesions, on one fixed test set, beside the most a slice can tell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from treatment_response.cases.samples import Samples
from treatment_response.configs import read_configs
from treatment_response.evaluation.trials import Trial, run_trials
from treatment_response.files import write_whole
from treatment_response.metrics.bootstrap import auc, patient_bootstrap
from treatment_response.report.figures.style import png_bytes

from synthetic.ceilings import CEILING_LESIONS, kept_ceilings
from synthetic.figures import learning_curve as draw
from synthetic.rendered_lesions import (
    LesionSet,
    as_fold,
    first_lesions,
    joined,
    rendered_samples,
)

SIZES = (69, 150, 300)
TEST_LESIONS = 500
TRAIN_SEED, TEST_SEED = 0, 1000


def learning_curve(
    out: Path,
    niches: Sequence[str] = ("texture",),
    sizes: Sequence[int] = SIZES,
    test_lesions: int = TEST_LESIONS,
    epochs: int = 150,
    workers: int = 2,
    console: Console | None = None,
    ceiling_lesions: int = CEILING_LESIONS,
) -> pd.DataFrame:
    """Render, train at every size, score the same test lesions, write ``learning_curve.csv``, ``.json`` and ``.png``.

    Finished sets and trainings in `out` are not done again. The smaller training sets are parts of the larger ones; the
    test set comes from another seed, and no training set sees it.

    Args:
        out: folder, also of the cached lesions and the runs.
        niches: kinds of niche, each its own curve. sizes: numbers of training lesions.
        test_lesions: size of the fixed test set. epochs: per training.
        workers: processes with one thread each. console: where the progress goes.
        ceiling_lesions: that the ceiling is computed from.

    Returns:
        ``niche, lesions, auc, low, high, ceiling, test_lesions, test_patients``; the interval resamples the test set's
        patients and holds nothing about how the result varies with the training set.
    """
    console = console or Console(stderr=True)
    angles = tuple(float(angle) for angle in read_configs(("train.json",))["angles"])
    trials: list[Trial] = []
    samples: dict[str, Samples] = {}
    for niche in niches:
        train = _render(LesionSet("train", max(sizes), TRAIN_SEED, niche, angles), out, workers, console)
        test = _render(LesionSet("test", test_lesions, TEST_SEED, niche), out, workers, console)
        for size in sizes:
            trial = Trial(
                f"{niche}, {size} lesions",
                out / "runs" / f"{niche}_{size}",
                # Protocol B with the test set as the fold that is held out; it is scored once, at the end.
                {"protocol": "B", "fold": 0, "max_epochs": epochs, "val_interval": epochs},
                epochs,
            )
            trials.append(trial)
            samples[trial.name] = joined(as_fold(test, 0), as_fold(first_lesions(train, size), 1))
    # The longest first, so that the two processes end together.
    run_trials(list(reversed(trials)), samples, (), workers, console)
    top = kept_ceilings(out / "ceilings.json", ceiling_lesions)["burden_slice"]
    rows = []
    for trial, (niche, size) in zip(trials, [(n, s) for n in niches for s in sizes], strict=True):
        scored = pd.read_csv(trial.output_dir / "predictions.csv", dtype={"subject": str, "lesion": str})
        interval = patient_bootstrap(scored[scored["role"] == "heldout_mri1"], auc())
        rows.append((niche, size, interval.estimate, interval.low, interval.high, top, interval.n, interval.patients))
    columns = ["niche", "lesions", "auc", "low", "high", "ceiling", "test_lesions", "test_patients"]
    table = pd.DataFrame(rows, columns=columns)
    write_whole(out / "learning_curve.csv", table.to_csv(index=False, float_format="%.6g"))
    note = "Rankings on synthetic data reflect its design."
    content = {"note": note, "epochs": epochs, "curve": json.loads(table.to_json(orient="records"))}
    write_whole(out / "learning_curve.json", json.dumps(content, indent=1) + "\n")
    write_whole(out / "learning_curve.png", png_bytes(draw(table)))
    return table


def _render(wanted: LesionSet, out: Path, workers: int, console: Console) -> Samples:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"rendering {wanted.lesions} {wanted.niche} lesions ({wanted.name})", total=None)
        return rendered_samples(
            wanted, out / "lesions", workers, lambda done, total: progress.update(task, completed=done, total=total)
        )
