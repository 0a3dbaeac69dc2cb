"""How often a 95 % interval of an AUC holds the true value, for cohorts of 39 patients.

Simulated cohorts have one to four lesions per patient, and lesions of a patient resemble each other in their features
and often share a class. Three tables:

1. Fixed scores: the score is the same for every cohort, only the patients are new. Percentile ends of plainly resampled
   patients stand beside the intervals of the package.
2. Paired differences of two fixed scores.
3. Refitted models: in every cohort a logistic regression is fitted in five folds by patient, and the held-out
   predictions are pooled. What is covered: the mean AUC of the cohort's own fitted models on new patients, and the mean
   AUC of models that are fitted this way in any such cohort.

    .venv/bin/python benchmarks/coverage.py [--repeats 500]
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from treatment_response.cohort.splits import patient_folds
from treatment_response.metrics.bootstrap import auc, difference, patient_bootstrap, weighted_auc

PATIENTS, FOLDS, FEATURES = 39, 5, 4
LESIONS, LESION_SHARES = (1, 2, 3, 4), (0.5, 0.28, 0.14, 0.08)
"""Lesions of a patient, on average 1.8, and how common each number is."""
WITHIN_PATIENT = 0.4
"""Correlation of two lesions of one patient, of the features and of what decides the class."""
RESPONSE = 0.4
"""Share of lesions that respond."""
AUCS = (0.5, 0.75, 0.93, 0.97)
RESAMPLES = 500


@dataclass(frozen=True)
class Cohort:
    """Lesions of one simulated cohort.

    Attributes:
        subject, label: (N,) patient and class of each lesion.
        noise: (N, F), standard normal, correlated within patients, the same for both classes.
    """

    subject: np.ndarray
    label: np.ndarray
    noise: np.ndarray

    def frame(self, **scores: np.ndarray) -> pd.DataFrame:
        """A table as the package takes it, with columns of scores."""
        return pd.DataFrame({"subject": self.subject, "label": self.label, **scores})


def simulated_cohort(rng: np.random.Generator, features: int) -> Cohort:
    """39 patients with lesions of both classes."""
    while True:
        subject = np.repeat(np.arange(PATIENTS), rng.choice(LESIONS, size=PATIENTS, p=LESION_SHARES))
        common, own = rng.normal(size=(PATIENTS, features + 1)), rng.normal(size=(len(subject), features + 1))
        drawn = np.sqrt(WITHIN_PATIENT) * common[subject] + np.sqrt(1 - WITHIN_PATIENT) * own
        label = (drawn[:, 0] > norm.ppf(1 - RESPONSE)).astype(int)
        if 0 < label.sum() < len(label):
            return Cohort(subject, label, drawn[:, 1:])


def distance(area: float) -> float:
    """How far apart two normal distributions of SD 1 lie whose AUC is `area`."""
    return float(np.sqrt(2) * norm.ppf(area))


def percentile_ends(frame: pd.DataFrame, rng: np.random.Generator) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of the AUC over plainly resampled patients: the usual way, for comparison."""
    counts = rng.multinomial(PATIENTS, np.full(PATIENTS, 1 / PATIENTS), size=RESAMPLES).astype(float)
    areas = weighted_auc(frame["label"].to_numpy(), frame["p_response"].to_numpy(), counts[:, frame["subject"]])
    low, high = np.nanquantile(areas, [0.025, 0.975])
    return float(low), float(high)


def fixed_scores(area: float, repeats: int, rng: np.random.Generator) -> dict[str, float]:
    """Coverage of both kinds of interval, how often each lies wholly too high or too low, and mean widths."""
    rows = []
    for repeat in range(repeats):
        cohort = simulated_cohort(rng, 1)
        frame = cohort.frame(p_response=cohort.noise[:, 0] + distance(area) * cohort.label)
        ours = patient_bootstrap(frame, auc(), n=RESAMPLES, seed=repeat)
        ends = {"interval": (ours.low, ours.high), "percentile": percentile_ends(frame, rng)}
        row = {}
        for name, (low, high) in ends.items():
            row |= {name: low <= area <= high, f"{name} too high": low > area, f"{name} too low": high < area}
            row[f"{name} width"] = high - low
        rows.append(row | {"perfect": ours.estimate == 1})
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def paired_differences(first: float, second: float, repeats: int, rng: np.random.Generator) -> float:
    """Coverage of the difference of two scores that share half of their variance."""
    covered = []
    for repeat in range(repeats):
        cohort = simulated_cohort(rng, 3)
        scores = (cohort.noise[:, :2] + cohort.noise[:, 2:]) / np.sqrt(2)
        one, other = (scores[:, i] + distance(a) * cohort.label for i, a in enumerate((first, second)))
        found = patient_bootstrap(
            cohort.frame(p_response=one, other=other), difference(auc(), auc("other")), n=RESAMPLES, seed=repeat
        )
        covered.append(found.low <= first - second <= found.high)
    return float(np.mean(covered))


def refitted_models(area: float, repeats: int, rng: np.random.Generator) -> dict[str, float]:
    """Coverage for models that are fitted in the cohort they are scored on, by patient-wise cross-validation."""
    shift = np.full(FEATURES, distance(area) / np.sqrt(FEATURES))
    lows, highs, estimates, own = [], [], [], []
    for repeat in range(repeats):
        cohort = simulated_cohort(rng, FEATURES)
        features = cohort.noise + cohort.label[:, None] * shift
        folds = patient_folds(cohort.subject.astype(str).tolist(), cohort.label.tolist(), FOLDS, repeat)
        scores, areas = np.zeros(len(folds)), []
        for fold in range(FOLDS):
            held = folds == fold
            if cohort.label[~held].min() == cohort.label[~held].max():
                continue
            model = LogisticRegression().fit(features[~held], cohort.label[~held])
            scores[held] = model.decision_function(features[held])
            weights = model.coef_[0]
            # A weighted sum of normal features is normal, so the model's AUC on new patients is known exactly.
            areas.append(norm.cdf(weights @ shift / np.sqrt(2 * weights @ weights)))
        found = patient_bootstrap(cohort.frame(p_response=scores), auc(), n=RESAMPLES, seed=repeat)
        lows.append(found.low)
        highs.append(found.high)
        estimates.append(found.estimate)
        own.append(np.mean(areas))
    low, high, truth = np.array(lows), np.array(highs), float(np.mean(own))
    return {
        "truth": truth,
        "estimate": float(np.mean(estimates)),
        "own models": float(np.mean((low <= own) & (own <= high))),
        "refitted": float(np.mean((low <= truth) & (truth <= high))),
    }


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=500, help="cohorts per row; the seeds are fixed")
    repeats = parser.parse_args().repeats
    if repeats < 1:
        parser.error("--repeats: at least 1")
    print(f"{PATIENTS} patients, {repeats} cohorts a row; the margin of error is {_margin(repeats):.1%}\n")
    print("Fixed scores: covered (interval too high, too low; mean width)")
    print("true AUC  perfect  logit scale, patients within classes  percentile ends, patients")
    for area in AUCS:
        row = fixed_scores(area, repeats, np.random.default_rng(0))
        cells = (
            f"{row[n]:.1%} ({row[f'{n} too high']:.1%}, {row[f'{n} too low']:.1%}; {row[f'{n} width']:.3f})"
            for n in ("interval", "percentile")
        )
        print(f"{area:8.2f} {row['perfect']:8.1%}  " + "  ".join(f"{cell:36s}" for cell in cells), flush=True)
    print("\nPaired differences of fixed scores: covered")
    for first, second in itertools.combinations_with_replacement(AUCS[1:], 2):
        covered = paired_differences(first, second, repeats, np.random.default_rng(1))
        print(f"{first:.2f} − {second:.2f}  {covered:.1%}", flush=True)
    print("\nRefitted in five folds: covered")
    print("best AUC  AUC of the fitted models  mean of the estimates  the cohort's own models  any cohort's models")
    for area in AUCS:
        row = refitted_models(area, repeats, np.random.default_rng(2))
        print(
            f"{area:8.2f} {row['truth']:25.3f} {row['estimate']:22.3f} {row['own models']:24.1%} "
            f"{row['refitted']:20.1%}",
            flush=True,
        )


def _margin(repeats: int) -> float:
    """Two standard errors of a coverage of 95 %."""
    return 2 * float(np.sqrt(0.95 * 0.05 / repeats))


if __name__ == "__main__":
    main()
