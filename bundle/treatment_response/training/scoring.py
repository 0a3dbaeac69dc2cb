"""What a trained model is scored on, put together for one pass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from treatment_response.cases.areas import mean_over_area
from treatment_response.cases.samples import (
    MRI1,
    NoSamples,
    SampleRow,
    Samples,
    join_samples,
    samples_by_role,
    unlabelled_samples,
)
from treatment_response.cohort.doubtful_counts import DoubtfulCounts, count_doubtful
from treatment_response.model_description import read_object
from treatment_response.problems import DataProblem, Problem
from treatment_response.protocols import protocol_of
from treatment_response.weights import load_into, read_weights

BATCH_BYTES = 2**25
"""Inputs of a batch that is scored: 1024 slices of 64², ten volumes of 64³ with three channels, one of 224³."""


@dataclass(frozen=True)
class Scoring:
    """Samples of all roles in one data set.

    Attributes:
        samples: those with a label, and after them those without.
        roles: the role of each.
        doubtful: how many cases of the whole data set have no label.
    """

    samples: Samples
    roles: list[str]
    doubtful: DoubtfulCounts


def scoring_samples(samples: Samples, protocol: str, fold: int) -> Scoring:
    """Join the roles of a protocol, and held-out cases without a label; see `samples_by_role`."""
    if isinstance(samples, NoSamples):
        return Scoring(samples, [], count_doubtful([], []))
    parts = list(samples_by_role(samples, protocol, fold).items())
    parts.append((protocol_of(protocol).roles[-1].name, unlabelled_samples(samples, protocol, fold)))
    joined = join_samples([part for _, part in parts])
    units = {(row.subject, row.case, row.label is None): row.unit for row in samples.rows if row.session == MRI1}
    labelled, doubtful = (
        [unit for (_, _, unlabelled), unit in units.items() if unlabelled == wanted] for wanted in (False, True)
    )
    return Scoring(joined, [role for role, part in parts for _ in part.rows], count_doubtful(labelled, doubtful))


def scoring_loader(scoring: Scoring, batch_size: int) -> DataLoader:
    """Batches in order; samples without a label are in batches of their own, so they change no other's numbers.

    Args:
        batch_size: the most samples of a batch; of large inputs there are fewer, so that a batch fits anywhere.
    """
    if len(scoring.samples):
        batch_size = max(1, min(batch_size, BATCH_BYTES // scoring.samples[0]["image"].nbytes))
    labelled = sum(row.label is not None for row in scoring.samples.rows)
    batches = [
        list(range(first, min(first + batch_size, end)))
        for start, end in ((0, labelled), (labelled, len(scoring.samples)))
        for first in range(start, end, batch_size)
    ]
    # Its own generator: a loader draws a number per epoch, which must not come from torch's global stream.
    generator = torch.Generator().manual_seed(0)
    return DataLoader(scoring.samples, batch_sampler=batches, generator=generator)


def case_logits(
    samples: Samples, roles: list[str], logits: torch.Tensor
) -> tuple[list[SampleRow], list[str], torch.Tensor]:
    """One row, role and logit (or K of them) per case, session and role.

    Where every slice of a case is a sample, its logit is the mean of its slices' weighted by the mask's area in each
    (their second channel): every mm² of the case counts the same. A case with one sample keeps its logit as it is.

    Args:
        samples: what was scored.
        roles: the role of each sample. logits: ``(N,)`` or ``(N, K)`` float64.

    Returns:
        Rows, roles and logits in the order of the cases' first samples.
    """
    members: dict[tuple[str, str, str, str], list[int]] = {}
    for index, (row, role) in enumerate(zip(samples.rows, roles, strict=True)):
        members.setdefault((role, row.subject, row.case, row.session), []).append(index)
    means = []
    for own in members.values():
        if len(own) == 1:
            means.append(logits[own[0]])
            continue
        means.append(mean_over_area(logits[own], samples.image[own], [samples.rows[i].pixel for i in own]))
    firsts = [own[0] for own in members.values()]
    return [samples.rows[i] for i in firsts], [roles[i] for i in firsts], torch.stack(means)


def load_trained(network: nn.Module, output_dir: str | Path, protocol: str, fold: int) -> None:
    """Put a run's weights into the network, after checking that the run held out what is to be scored as held out.

    Raises:
        DataProblem: there is no trained model, it does not fit the network, or it was trained with another split.
    """
    root = Path(output_dir)
    path = root / "models" / "model.pt"
    if not path.is_file():
        raise DataProblem(Problem("--output_dir", "the run has no models/model.pt", "train first, into this folder"))
    record = root / "provenance.json"
    if record.is_file():
        made = read_object(record, "--output_dir")
        holds_out = protocol_of(protocol).holds_out
        asked: dict[str, object] = {"protocol": protocol, "fold": fold} if holds_out else {"protocol": protocol}
        wrong = [
            Problem("--output_dir", f"the model was made with {key} {made.get(key)}, not {value}", "ask for the same")
            for key, value in asked.items()
            if made.get(key) != value
        ]
        if wrong:
            raise DataProblem(*wrong)
    load_into(network, read_weights(path, "--output_dir"), "--output_dir")
