"""Clinical facts of a case as channels of the network's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from treatment_response.cohort.case import read_cases
from treatment_response.cohort.clinical_facts import FACTS, check_facts, code
from treatment_response.cohort.layout import DATALIST
from treatment_response.problems import DataProblem, Problem

GIVEN = "clinical"
"""Field of a case that holds its facts where no table does: name → value."""


class AppendFactsd(Transform):
    """Put a channel behind an image's channels for each fact, with the fact's number everywhere; 0 is unknown.

    What carries, crops and flips images then carries the facts too. `networks.LateFusion` reads them.

    Args:
        key: of the image.
        facts: names, see `cohort.clinical_facts.FACTS`; without any the image stays as it is.
        dataset_dir: whose table of cases says what the facts are; a case that has a field `GIVEN` brings its own.

    Raises:
        DataProblem: no such fact, a table without its column, or a value that cannot be read.
    """

    def __init__(self, key: str, facts: Sequence[str], dataset_dir: str | Path | None = None) -> None:
        self.key = key
        self.facts = check_facts(facts)
        # Public, so that preprocessed inputs on disk are made again when the table changes.
        self.values = facts_of_cases(dataset_dir, self.facts) if dataset_dir is not None else {}

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        case = dict(data)
        if not self.facts:
            return case
        subject, name = str(case.get("subject")), str(case.get("case", case.get("lesion")))
        where = f"{subject} {name}"
        if GIVEN in case:
            values = [code(fact, case[GIVEN].get(fact), where) for fact in self.facts]
        else:
            values = self.values.get(where, [0.0] * len(self.facts))
        image = case[self.key]
        plain = torch.as_tensor(image).as_subclass(torch.Tensor)
        channels = torch.tensor(values, dtype=plain.dtype).view(-1, *[1] * (plain.ndim - 1))
        joined = torch.cat([plain, channels.expand(-1, *plain.shape[1:])])
        case[self.key] = MetaTensor(joined, meta=image.meta) if isinstance(image, MetaTensor) else joined
        return case


def facts_of_cases(dataset_dir: str | Path, facts: Sequence[str]) -> dict[str, list[float]]:
    """``subject case`` → the facts' numbers, 0 where unknown; nothing without facts or where no data set lies.

    Raises:
        DataProblem: the table has no such column, or a value cannot be read.
    """
    if not facts or not (Path(dataset_dir) / DATALIST).is_file():
        return {}
    table = read_cases(dataset_dir)
    if absent := [FACTS[fact].column for fact in facts if FACTS[fact].column not in table]:
        what = f"the table of cases has no column {absent[0]}"
        raise DataProblem(Problem("data set", what, "leave the fact out, or prepare the data set again"))
    return {
        f"{row['subject']} {row['case']}": [
            code(fact, row[FACTS[fact].column], f"{row['subject']} {row['case']}") for fact in facts
        ]
        for row in table.to_dict("records")
    }
