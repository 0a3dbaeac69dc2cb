"""Make what the bundle delivers beside ``models/model.pt``, and measure it on 500 other synthetic lesions.

For both networks: five fold models of the 300 lesions that ``model.pt`` was trained on, and the calibration and
conformal scores that their held-out lesions give; for the stronger network the single model too. ``model.pt`` itself is
made by ``learning_curve.py`` beside this file (its run ``texture_300``) and is not trained again. Everything is seeded,
with one thread per training. What is finished in the folder is not done again.

    .venv/bin/python benchmarks/delivered_models.py --out build/delivered [--write]

``--write`` puts the files into ``bundle/models/``. The measurements are printed and written to ``measured.json``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from synthetic.learning_curve import TEST_LESIONS, TEST_SEED, TRAIN_SEED
from synthetic.rendered_lesions import (
    LesionSet,
    as_fold,
    first_lesions,
    joined,
    rendered_samples,
)
from treatment_response.cases.areas import lesion_areas
from treatment_response.cases.samples import Samples
from treatment_response.classes import CLASS_NAMES
from treatment_response.cohort.splits import patient_folds
from treatment_response.configs import planned_epochs, read_configs
from treatment_response.evaluation.fit_certainty import fit_certainty
from treatment_response.explain.scale import fit_map_scales
from treatment_response.inference.lesions.answer import UNDECIDED, UNLIKE, answer_of
from treatment_response.inference.lesions.score import LesionScore
from treatment_response.metrics.bootstrap import auc, difference, mean, metric, patient_bootstrap
from treatment_response.metrics.intervals import SHARE
from treatment_response.model_description import TrainingData
from treatment_response.networks import CellVoteClassifier
from treatment_response.paths import bundle_root
from treatment_response.training.experiment import run_training
from treatment_response.training.scoring import case_logits
from treatment_response.weights import add_fold_models, read_weights, write_weights

LESIONS, NICHE = 300, "texture"
FOLDS, FOLD_SEED = 5, 0
NAME = "synthetic lesions with texture niches, simulated in memory"
RESAMPLES = 500
"""Of the patients, for the interval of the calibration slope."""


@dataclass(frozen=True)
class Delivered:
    """A network whose weights the bundle delivers.

    Attributes:
        stem: of its files in ``models/``.
        overlays: on top of ``train.json``. serving: on top of ``inference.json``.
        trains_single: whether its single model is trained here.
    """

    stem: str
    overlays: tuple[str, ...] = ()
    serving: tuple[str, ...] = ()
    trains_single: bool = True


PAPER = Delivered("model", trains_single=False)
IMPROVED = Delivered("improved", ("improved.json",), ("improved.json",))


def training_lesions(delivered: Delivered, cache: Path, workers: int) -> Samples:
    """The training lesions in their folds, as the network's config cuts them."""
    angles = tuple(float(angle) for angle in read_configs(("train.json", *delivered.overlays))["angles"])
    wanted = LesionSet("train", LESIONS, TRAIN_SEED, NICHE, angles, delivered.overlays)
    train = rendered_samples(wanted, cache, workers)
    labels = {(row.subject, row.case): int(row.label or 0) for row in train.rows}
    subjects = [subject for subject, _ in labels]
    assigned = patient_folds(subjects, list(labels.values()), FOLDS, FOLD_SEED).tolist()
    folds = dict(zip(subjects, assigned, strict=True))
    return Samples(train.image, [replace(row, fold=folds[row.subject]) for row in train.rows])


def test_lesions(cache: Path, workers: int) -> Samples:
    """Every slice of the test lesions, as inference cuts them for both networks."""
    wanted = LesionSet("test", TEST_LESIONS, TEST_SEED, NICHE, (), IMPROVED.overlays)
    return rendered_samples(wanted, cache, workers)


class OnCodes(CellVoteClassifier):
    """The stronger network on codes that were computed before: nothing in its encoder is learned, so once is enough."""

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def cell_mask(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(x[:, :1])


def as_codes(network: CellVoteClassifier, samples: Samples) -> Samples:
    """The masked codes of samples, as `OnCodes` takes them."""
    with torch.no_grad():
        codes = [network.encode(x) * network.cell_mask(x) for x in samples.image.split(64)]
    return Samples(torch.cat(codes), samples.rows)


def trained(delivered: Delivered, train: Samples, out: Path) -> list[dict[str, torch.Tensor]]:
    """The states of the fold models, and after them that of the single model if it is trained here."""
    epochs = planned_epochs(delivered.overlays)
    settings: dict[str, Any] = {"max_epochs": epochs, "val_interval": epochs, "picture_interval": epochs + 1}
    if delivered is IMPROVED:
        train = as_codes(network_of(delivered), train)
        settings["network_def#_target_"] = f"{Path(__file__).stem}.{OnCodes.__name__}"
    runs = [(out / f"{delivered.stem}_fold_{fold}", train, fold) for fold in range(FOLDS)]
    if delivered.trains_single:
        # Protocol B watches a fold while it trains: a copy of the first lesion stands there and changes nothing.
        runs.append((out / delivered.stem, joined(as_fold(train, 1), as_fold(first_lesions(train, 1), 0)), 0))
    for run, samples, fold in runs:
        if not (run / "models" / "model.pt").is_file():
            run_training(
                ("train.json", *delivered.overlays), samples=samples, output_dir=str(run), fold=fold, **settings
            )
    return [read_weights(run / "models" / "model.pt").state for run, _, _ in runs]


def network_of(delivered: Delivered, state: dict[str, torch.Tensor] | None = None) -> torch.nn.Module:
    """The network of the config, with these weights."""
    network = read_configs(("train.json", *delivered.overlays)).get_parsed_content("network_def").eval()
    if state is not None:
        network.load_state_dict(state)
    return network


def held_out(delivered: Delivered, train: Samples, states: list[dict[str, torch.Tensor]]) -> pd.DataFrame:
    """Each training lesion's logit by the fold model that did not see it."""
    tables = []
    for fold, state in enumerate(states[:FOLDS]):
        own = train.where(lambda row, fold=fold: row.fold == fold and row.angle == 0)
        network = network_of(delivered, state)
        with torch.no_grad():
            logits = torch.cat([network(x)[:, 0] for x in own.image.split(64)]).double()
        rows, _, logits = case_logits(own, [""] * len(own), logits)
        tables.append(pd.DataFrame([asdict(row) for row in rows]).assign(logit=logits.numpy()))
    return pd.concat(tables, ignore_index=True).drop(columns="person")


def assemble(delivered: Delivered, train: Samples, runs: Path, models: Path) -> Path:
    """Train what is not trained yet and put the network's files together in a folder; returns its single model."""
    states = trained(delivered, train, runs)
    models.mkdir(parents=True, exist_ok=True)
    single = models / f"{delivered.stem}.pt"
    for earlier in models.glob(f"{delivered.stem}_fold_*.pt"):
        earlier.unlink()
    if delivered.trains_single:
        patients = len({row.subject for row in train.rows})
        facts = TrainingData(NAME, synthetic=True, lesions=LESIONS, patients=patients, protocol="B", fold=0)
        network = network_of(delivered, states[FOLDS])
        write_weights(single, network, fit_map_scales(network, train.image), facts)
        provenance = json.loads((runs / delivered.stem / "provenance.json").read_text())
        provenance["dataset"] |= {"name": NAME, "synthetic": True}
        (models / f"provenance_{delivered.stem}.json").write_text(json.dumps(provenance, indent=1) + "\n")
    else:
        for name in (single.name, single.with_suffix(".json").name):
            shutil.copy2(Path(bundle_root()) / "models" / name, models / name)
    add_fold_models(single, states[:FOLDS], fit_certainty(held_out(delivered, train, states)))
    return single


def answers(delivered: Delivered, single: Path, test: Samples) -> pd.DataFrame:
    """What inference says of each test lesion."""
    parser = read_configs(("inference.json", *delivered.serving))
    parser.update({"model_path": str(single), "device": "$torch.device('cpu')"})
    network, inferer, weights = (parser.get_parsed_content(name) for name in ("network", "inferer", "weights"))
    score, threshold = LesionScore(parser["score"]), float(parser["threshold"])
    members: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(test.rows):
        members.setdefault((row.subject, row.case), []).append(index)
    table = []
    for (subject, lesion), own in members.items():
        x, rows = test.image[own], [test.rows[index] for index in own]
        pixel = [row.pixel for row in rows]
        case = {"image": x, "pixel": pixel, "largest": int(lesion_areas(x, pixel).argmax())}
        told = answer_of(case, inferer(x, network), score, weights.certainty, threshold)
        facts = {"subject": subject, "lesion": lesion, "label": rows[0].label}
        table.append({**facts, "p_response": told.p_response, "p_single": told.p_single, **told.certainty})
    return pd.DataFrame(table)


def probabilities(table: pd.DataFrame, column: str) -> dict[str, Any]:
    """AUC, calibration and Brier score of one column of probabilities, with 95 % intervals over patients."""
    label, logit = table["label"].to_numpy(), np.log(table[column] / (1 - table[column])).to_numpy()

    def line(rows: np.ndarray) -> tuple[float, float]:
        fitted = LogisticRegression(C=np.inf).fit(logit[rows, None], label[rows])
        return float(fitted.intercept_[0]), float(fitted.coef_[0, 0])

    rng = np.random.default_rng(0)
    patients = [part.to_numpy() for part in table.groupby("subject").groups.values()]
    drawn = [
        line(np.concatenate([patients[i] for i in rng.integers(len(patients), size=len(patients))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    intercept, slope = line(np.arange(len(table)))
    prevalence = float(label.mean())
    return {
        "auc": patient_bootstrap(table, auc(column)).as_dict(),
        "slope": {"estimate": slope, "low": low[1], "high": high[1]},
        "intercept": {"estimate": intercept, "low": low[0], "high": high[0]},
        "mean": float(table[column].mean()),
        "prevalence": prevalence,
        "brier": patient_bootstrap(table, metric("brier", score=column)).as_dict(),
        "brier_of_prevalence": prevalence * (1 - prevalence),
    }


def sets(table: pd.DataFrame) -> dict[str, Any]:
    """Coverage and size of the conformal sets, per true class."""
    found = {}
    for label, name in enumerate(CLASS_NAMES):
        own = table[table["label"] == label]
        own = own.assign(covered=[float(name in members) for members in own["set"]])
        found[name] = {
            "lesions": len(own),
            "patients": own["subject"].nunique(),
            # The mean over patients of their share: one random lesion of the class per patient.
            "coverage_one_per_patient": patient_bootstrap(own, mean("covered", SHARE)).as_dict(),
            "coverage_all_lesions": float(own["covered"].mean()),
            "sets": {text: float((own["set_text"] == text).mean()) for text in (*CLASS_NAMES, UNDECIDED, UNLIKE)},
        }
    return found


def measured(table: pd.DataFrame) -> dict[str, Any]:
    """All that is said of a network's answers on the test lesions."""
    gain = difference(metric("brier", score="p_response"), metric("brier", score="p_single"))
    return {
        "lesions": len(table),
        "patients": table["subject"].nunique(),
        "before": probabilities(table, "p_single"),
        "after": probabilities(table, "p_response"),
        "brier_after_minus_before": patient_bootstrap(table, gain).as_dict(),
        "conformal": sets(table),
        "emphasised": float(table["emphasise"].mean()),
        "outside_range": float((~table["in_calibrated_range"]).mean()),
        "maps_network_disagrees": float((~table["agrees_with_slices"]).mean()),
    }


def told(delivered: Delivered, found: dict[str, Any]) -> str:
    """The measurements of one network as text."""

    def interval(of: dict[str, Any], digits: int = 3) -> str:
        return f"{of['estimate']:.{digits}f} [{of['low']:.{digits}f}, {of['high']:.{digits}f}]"

    lines = [f"{delivered.stem}: {found['lesions']} other synthetic lesions of {found['patients']} patients"]
    for name, of in (("single network, not calibrated", found["before"]), ("fold models, calibrated", found["after"])):
        lines.append(
            f"  {name}: AUC {interval(of['auc'])}, slope {interval(of['slope'], 2)}, "
            f"intercept {interval(of['intercept'], 2)}, Brier {interval(of['brier'])} "
            f"(of the prevalence {of['brier_of_prevalence']:.3f})"
        )
    lines.append(f"  Brier after - before: {interval(found['brier_after_minus_before'])}")
    for name, of in found["conformal"].items():
        shares = ", ".join(f"{text} {share:.1%}" for text, share in of["sets"].items())
        lines.append(
            f"  {name} ({of['lesions']} lesions of {of['patients']} patients): coverage "
            f"{interval(of['coverage_one_per_patient'])} one lesion per patient, "
            f"{of['coverage_all_lesions']:.3f} all lesions; sets: {shares}"
        )
    lines.append(
        f"  emphasised {found['emphasised']:.1%}, outside the range {found['outside_range']:.1%}, "
        f"the maps' network disagrees {found['maps_network_disagrees']:.1%}"
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for lesions, runs and results")
    parser.add_argument("--workers", type=int, default=2, help="processes that render, one thread each")
    parser.add_argument("--write", action="store_true", help="put the files into bundle/models/")
    a = parser.parse_args()
    torch.set_num_threads(1)
    test = test_lesions(a.out / "lesions", a.workers)
    found = {}
    for delivered in (IMPROVED, PAPER):
        train = training_lesions(delivered, a.out / "lesions", a.workers)
        single = assemble(delivered, train, a.out / "runs", a.out / "models")
        found[delivered.stem] = measured(answers(delivered, single, test))
        print(told(delivered, found[delivered.stem]))
    (a.out / "measured.json").write_text(json.dumps(found, indent=1) + "\n")
    if a.write:
        target = Path(bundle_root()) / "models"
        for delivered in (PAPER, IMPROVED):
            for earlier in target.glob(f"{delivered.stem}_fold_*.pt"):
                earlier.unlink()
        for file in sorted((a.out / "models").iterdir()):
            shutil.copy2(file, target / file.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
