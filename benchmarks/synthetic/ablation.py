"""What each part of a design brings, on other synthetic cohorts than the one that is reported."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from treatment_response.cases.samples import Samples
from treatment_response.cohort.splits import patient_folds
from treatment_response.configs import fingerprints, planned_epochs, read_configs
from treatment_response.evaluation.claim import claim
from treatment_response.evaluation.outside_contour import BRAIN, NOISE, flipped_lesions
from treatment_response.evaluation.trials import Trial, run_trials
from treatment_response.explain.cam import PixelwiseCAM
from treatment_response.explain.localisation import localisation_scores
from treatment_response.explain.target import TargetClass
from treatment_response.files import write_whole
from treatment_response.metrics.bootstrap import auc, difference, mean, patient_bootstrap
from treatment_response.metrics.intervals import COVERED, SHARE, Interval
from treatment_response.problems import DataProblem, Problem
from treatment_response.report.figures.style import png_bytes
from treatment_response.weights import load_into, read_weights

from synthetic.ceilings import kept_ceilings
from synthetic.designs import DESIGNS, IMPROVED, MASKED_INPUT, PAPER, Design
from synthetic.figures import ablation_bars
from synthetic.rendered_lesions import (
    LesionSet,
    RenderedLesions,
    rendered_lesions,
)

LESIONS, FOLDS = 69, 5
REPORTED_SEED = 0
NOTES = (
    "Research use only.",
    "Synthetic data. Rankings on synthetic data reflect its design.",
    "Designs were chosen on these cohorts; the reported cohort (seed 0) is none of them.",
    "auc: held-out lesions (MRI 1) of all cohorts together, 95 % interval over patients.",
    "difference: to the paper's network, on the same resampled patients. Two other designs have no interval.",
    COVERED,
    "gap_closed: the share of the way from the paper's network to ceiling (c).",
    "cam_auc: pixel-wise map for non-response of held-out lesions' largest slices against the planted niche, per "
    "lesion, averaged per patient; 0.5 is chance. Empty maps count as 0.5.",
    "flips: share of held-out lesions whose class (at 0.5) changes when what lies outside the contour becomes "
    f"brain-like: {BRAIN:g}, white matter, with noise of SD {NOISE:g}.",
    "Ceiling (c) knows the niche's share of one slice; who sees all slices could pass it, up to ceiling (b).",
)


@dataclass(frozen=True)
class Settings:
    """What is run.

    Attributes:
        seeds: of the cohorts; the reported one's is refused. niches: kinds.
        designs: names; None: all. The paper's network is always among them.
        lesions: per cohort. folds: of each cohort, by patient.
        epochs: of every network; None: what its config says.
        workers: processes, one thread each.
    """

    seeds: tuple[int, ...]
    niches: tuple[str, ...]
    designs: tuple[str, ...] | None = None
    lesions: int = LESIONS
    folds: int = FOLDS
    epochs: int | None = None
    workers: int = 2

    def chosen(self) -> list[Design]:
        """The designs to run.

        Raises:
            DataProblem: a name is unknown, or a seed is the reported one.
        """
        known = {design.name: design for design in DESIGNS}
        problems = [
            Problem("--designs", f"'{name}' is no design", f"choose from {', '.join(known)}")
            for name in self.designs or ()
            if name not in known
        ]
        if REPORTED_SEED in self.seeds:
            what = f"seed {REPORTED_SEED} is the cohort that is reported; designs are not chosen on it"
            problems.append(Problem("--seeds", what, "choose other seeds"))
        if problems:
            raise DataProblem(*problems)
        return [design for design in DESIGNS if not self.designs or design.name in (PAPER, *self.designs)]


def ablation(out: Path, settings: Settings, console: Console | None = None) -> pd.DataFrame:
    """Render, cross-validate every design, write ``ablation.csv``, ``.json`` and ``.png``.

    Rendered cohorts and finished trainings in `out` are not done again.

    Args:
        out: folder, also of the cached lesions and the runs.
        settings: what to run.
        console: where the progress goes.

    Returns:
        The table.

    Raises:
        DataProblem: a setting is not fit for it.
    """
    console = console or Console(stderr=True)
    designs = settings.chosen()
    made = {
        "lesions": settings.lesions,
        "folds": settings.folds,
        "epochs": settings.epochs,
        **fingerprints(IMPROVED + MASKED_INPUT),
    }
    claim(out / "made_with.json", made)
    scores: list[pd.DataFrame] = []
    for niche in settings.niches:
        for seed in settings.seeds:
            sets = _render(out, settings, niche, seed, designs, console)
            trials = {design.name: _trials(out, settings, niche, seed, design) for design in designs}
            # Designs of the same configs train in one go, so that no worker waits for the last fold of each.
            for overlays in dict.fromkeys(design.overlays for design in designs):
                alike = [design for design in designs if design.overlays == overlays]
                samples = {trial.name: sets[design.slices].samples for design in alike for trial in trials[design.name]}
                together = [trial for design in alike for trial in trials[design.name]]
                run_trials(together, samples, overlays, settings.workers, console)
            for design in designs:
                scores.append(_held_out(trials[design.name], design, sets[design.slices]).assign(niche=niche))
    table = ablation_table(pd.concat(scores, ignore_index=True), designs, top := kept_ceilings(out / "ceilings.json"))
    write_whole(out / "ablation.csv", table.to_csv(index=False, float_format="%.6g"))
    content = {
        "notes": NOTES,
        "model": {"synthetic": True},
        "ceilings": top,
        "settings": asdict(settings) | {"designs": [asdict(design) for design in designs]},
    }
    write_whole(out / "ablation.json", json.dumps(content, indent=1) + "\n")
    write_whole(out / "ablation.png", png_bytes(ablation_bars(table, top["burden_slice"])))
    return table


def ablation_table(scores: pd.DataFrame, designs: Sequence[Design], top: Mapping[str, float]) -> pd.DataFrame:
    """One row per kind of niche and design.

    Args:
        scores: ``niche, design, subject, lesion, label, p_response, cam_auc, flipped``, one row per held-out lesion and
            design.
        designs: in the table's order; the first of them is what the others are compared with.
        top: from `ceilings`.

    Returns:
        The columns of ``ablation.csv``; without a gap to close, ``gap_closed`` is empty.
    """
    rows = []
    for niche, part in scores.groupby("niche", sort=False):
        wide = {name: own.set_index(["subject", "lesion"]) for name, own in part.groupby("design")}
        base = wide[designs[0].name]
        for design in designs:
            own = wide[design.name].loc[base.index]
            joined = own.assign(base=base["p_response"]).reset_index()
            found = patient_bootstrap(joined, auc())
            gain = patient_bootstrap(joined, difference(auc(), auc("base")))
            cam = patient_bootstrap(joined.dropna(subset="cam_auc"), mean("cam_auc", SHARE))
            gap = top["burden_slice"] - (found.estimate - gain.estimate)
            closed = gain.estimate / gap if gap > 0 and design is not designs[0] else np.nan
            rows.append(
                {
                    "niche": niche,
                    "design": design.name,
                    "changed": design.changed,
                    **_named(found, "auc", ""),
                    **_named(gain, "difference", "difference_"),
                    "gap_closed": closed,
                    **_named(cam, "cam_auc", "cam_"),
                    "flips": own["flipped"].mean(),
                    "lesions": found.n,
                    "patients": found.patients,
                }
            )
    return pd.DataFrame(rows)


def held_out_maps(network: torch.nn.Module, samples: Samples, niche: np.ndarray) -> pd.DataFrame:
    """Localisation AUC of the pixel-wise map for non-response in each lesion's largest slice.

    Args:
        network: trained.
        samples: of the lesions. niche: ``(N, h, w)``, niche fraction of each sample's cells.

    Returns:
        ``subject, lesion, cam_auc``; NaN where a slice holds no niche, or nothing else.
    """
    largest = _largest_slices(samples)
    x = samples.image[largest]
    maps = PixelwiseCAM()(network, x, TargetClass.NON_RESPONSE)
    with torch.no_grad():
        cells = network.cell_mask(x)
    values = localisation_scores(maps, torch.from_numpy(niche[largest]), cells).auc
    rows = [samples.rows[index] for index in largest]
    return pd.DataFrame(
        {"subject": [r.subject for r in rows], "lesion": [r.case for r in rows], "cam_auc": values.numpy()}
    )


def _trials(out: Path, settings: Settings, niche: str, seed: int, design: Design) -> list[Trial]:
    """One trial per fold of a cohort."""
    epochs = settings.epochs or planned_epochs(design.overlays)
    folder = out / "runs" / f"{niche}_{seed}" / design.name.replace(", ", "_").replace(" ", "_")
    return [
        Trial(
            f"{niche} {seed}, {design.name}, fold {fold}",
            folder / f"fold_{fold}",
            {
                **design.overrides,
                **{"protocol": "B", "fold": fold, "max_epochs": epochs},
                **{"val_interval": epochs, "picture_interval": epochs + 1},
            },
            epochs,
        )
        for fold in range(settings.folds)
    ]


def _held_out(trials: Sequence[Trial], design: Design, lesions: RenderedLesions) -> pd.DataFrame:
    """Held-out predictions, map scores and flips of one design on one cohort."""
    samples, parts = lesions.samples, []
    for fold, trial in enumerate(trials):
        scored = pd.read_csv(trial.output_dir / "predictions.csv", dtype={"subject": str, "lesion": str})
        held = [i for i, row in enumerate(samples.rows) if row.fold == fold and row.angle == 0]
        own = Samples(samples.image[held], [samples.rows[i] for i in held])
        network = _trained(trial, design)
        part = scored[scored["role"] == "heldout_mri1"]
        for found in (held_out_maps(network, own, lesions.niche[held]), flipped_lesions(network, own)):
            part = part.merge(found, on=["subject", "lesion"], validate="1:1")
        parts.append(part)
    columns = ["subject", "lesion", "label", "p_response", "cam_auc", "flipped"]
    return pd.concat(parts, ignore_index=True)[columns].assign(design=design.name)


def _trained(trial: Trial, design: Design) -> torch.nn.Module:
    parser = read_configs(("train.json", *design.overlays))
    parser.update(dict(design.overrides))
    network = parser.get_parsed_content("network_def")
    load_into(network, read_weights(trial.output_dir / "models" / "model.pt", str(trial.output_dir)))
    return network.eval()


def _render(
    out: Path, settings: Settings, niche: str, seed: int, designs: Sequence[Design], console: Console
) -> dict[str, RenderedLesions]:
    """The cohort as the designs want it, in folds by patient, the same for all of them."""
    angles = tuple(float(angle) for angle in read_configs(("train.json",))["angles"])
    every = LesionSet(f"seed{seed}", settings.lesions, seed, niche, overlays=IMPROVED)
    wanted = {"all": every}
    if any(design.slices == "turned" for design in designs):
        wanted["turned"] = LesionSet(f"seed{seed}", settings.lesions, seed, niche, angles)
    found: dict[str, RenderedLesions] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        for name, one in wanted.items():
            task = progress.add_task(f"rendering {niche} lesions, seed {seed} ({name})", total=None)

            def advance(done: int, total: int, task: TaskID = task) -> None:
                progress.update(task, completed=done, total=total)

            found[name] = rendered_lesions(one, out / "lesions", settings.workers, advance)
    labels = {(row.subject, row.case): int(row.label or 0) for row in found["all"].samples.rows}
    subjects = [subject for subject, _ in labels]
    folds = dict(
        zip(subjects, patient_folds(subjects, list(labels.values()), settings.folds, seed).tolist(), strict=True)
    )
    for name, lesions in found.items():
        rows = [replace(row, fold=folds[row.subject]) for row in lesions.samples.rows]
        found[name] = RenderedLesions(Samples(lesions.samples.image, rows), lesions.niche)
    largest = _largest_slices(found["all"].samples)
    chosen = Samples(found["all"].samples.image[largest], [found["all"].samples.rows[i] for i in largest])
    return {**found, "largest": RenderedLesions(chosen, found["all"].niche[largest])}


def _largest_slices(samples: Samples) -> list[int]:
    """Per lesion the index of its sample with the largest GTV area, in the order of the lesions."""
    area = samples.image[:, 1].flatten(1).sum(1).tolist()
    best: dict[tuple[str, str], int] = {}
    for index, row in enumerate(samples.rows):
        key = (row.subject, row.case)
        if key not in best or area[index] > area[best[key]]:
            best[key] = index
    return list(best.values())


def _named(interval: Interval, name: str, prefix: str) -> dict[str, float]:
    return {name: interval.estimate, f"{prefix}low": interval.low, f"{prefix}high": interval.high}
