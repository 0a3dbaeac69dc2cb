"""The scale of clinical facts, fitted on the training cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ignite.engine import Events
from monai.engines import Workflow

from treatment_response.cases.clinical_channels import facts_of_cases
from treatment_response.cases.samples import Samples
from treatment_response.cohort.clinical_facts import FACTS, check_facts
from treatment_response.networks.late_fusion import LateFusion


class FitFactScale:
    """Give a `LateFusion` the mean and SD of each numeric fact among the training cases that know it.

    Facts that are words keep their codes. The numbers belong to the network's weights from then on.

    Args:
        network: the network that is trained, or one that holds it.
        samples: the training samples.
        dataset_dir: whose table of cases holds the facts.
        facts: their names; without any nothing is done.
    """

    def __init__(self, network: LateFusion, samples: Samples, dataset_dir: str, facts: Sequence[str]) -> None:
        self.network = network
        self.samples = samples
        self.dataset_dir = dataset_dir
        self.facts = check_facts(facts)

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Workflow) -> None:
        if not self.facts:
            return
        known = facts_of_cases(self.dataset_dir, self.facts)
        cases = sorted({f"{row.subject} {row.case}" for row in self.samples.rows})
        table = np.array([known[case] for case in cases if case in known]).reshape(-1, len(self.facts))
        mean, sd = [0.0] * len(self.facts), [1.0] * len(self.facts)
        for place, fact in enumerate(self.facts):
            values = table[table[:, place] != 0, place]
            if FACTS[fact].is_number and len(values):
                mean[place], sd[place] = float(values.mean()), float(values.std()) or 1.0
        self.network.fit_scale(mean, sd)
