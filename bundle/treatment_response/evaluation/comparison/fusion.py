"""Several methods in one: the mean of their logits, trial by trial and lesion by lesion. Nothing is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from treatment_response.evaluation.comparison.method import Method, TrialRun, TrialSet

SURE = 1e-7
"""A probability nearer to 0 or 1 than this is cut: written down with few digits it would have no logit."""


@dataclass(frozen=True)
class Fusion(Method):
    """The mean of the logits of other methods.

    Attributes:
        parts: these methods; they are run with it.
    """

    name: str
    parts: tuple[Method, ...]

    @property
    def note(self) -> str:
        return f"{self.name} is the mean of the logits of {', '.join(self._names)}; nothing is fitted."

    @property
    def _names(self) -> list[str]:
        return [part.name for part in self.parts]

    @classmethod
    def run_trials(cls, methods: Sequence[Self], run: TrialRun) -> None:
        """Nothing is left to run: the parts have run."""

    def predictions(self, trials: TrialSet) -> pd.DataFrame:
        return self.fused([part.predictions(trials) for part in self.parts])

    def unlabelled(self, trials: TrialSet) -> pd.DataFrame | None:
        tables = [table for part in self.parts if (table := part.unlabelled(trials)) is not None]
        return self.fused(tables) if tables else None

    def describe(self, least_icc: float, training: Mapping[str, Any] | None, features: float) -> dict[str, Any]:
        return {"mean_of_logits": self._names}

    def fused(self, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """The mean of the parts.

        Args:
            tables: rows of ``predictions.csv``, or of ``unlabelled_predictions.csv``, one table per part.

        Returns:
            Such rows in the order of the first part: P(response) is the inverse logit of the parts' mean logit.
        """
        first, predictions = tables[0], pd.concat(tables, ignore_index=True)
        keys = [name for name in predictions if name not in ("method", "p_response")]
        p = predictions["p_response"].clip(SURE, 1 - SURE)
        logits = predictions.assign(logit=np.log(p / (1 - p))).pivot(index=keys, columns="method", values="logit")
        mean = logits[self._names].mean(axis=1, skipna=False)
        result = (1 / (1 + np.exp(-mean))).rename("p_response").reset_index().assign(method=self.name)
        return first[keys].merge(result, on=keys, validate="one_to_one")[list(predictions)]
