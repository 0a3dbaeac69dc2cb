"""How far a trained network relies on one channel: its held-out patients get each other's, many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from treatment_response.cases.channel_controls import with_channel
from treatment_response.cases.samples import Samples
from treatment_response.classes import Classes
from treatment_response.configs import read_configs
from treatment_response.evaluation.comparison.case_statistics import value_of
from treatment_response.metrics.class_intervals import class_metric
from treatment_response.networks.probabilities import probabilities
from treatment_response.weights import load_into, read_weights

SWAPS = 200


@dataclass(frozen=True)
class HeldOut:
    """The cases that one network has not seen.

    Attributes:
        model: its ``model.pt``. samples: the cases, with their labels.
    """

    model: Path
    samples: Samples


def reliance(
    held_out: Sequence[HeldOut],
    channel: str,
    classes: Classes,
    configs: Sequence[str],
    settings: dict[str, Any],
    swaps: int = SWAPS,
    seed: int = 0,
) -> dict[str, Any]:
    """The primary metric when one channel comes from another held-out patient of the same network.

    Every pair of a case and a donor is predicted once; each swap draws donors from these. A swapped channel fits no
    patient, so this says how much the network *uses* the channel, not what the channel is worth.

    Args:
        held_out: one per fold. channel: which is swapped. classes: of the data set.
        configs, settings: of the trainings; their ``channels`` name the input's channels.

    Returns:
        ``channel, metric, own`` (with the own channels), ``swaps``, and of the swapped ones ``mean, low, high`` (the
        middle 95 %) and ``at_least_as_good`` (their share).
    """
    parser = read_configs(configs, **settings)
    network, place = parser.get_parsed_content("network_def").eval(), list(parser["channels"]).index(channel)
    device = parser.get_parsed_content("device")
    matrices = []
    for part in held_out:
        load_into(network, read_weights(part.model))
        matrices.append(_pairs(network.to(device).eval(), part.samples, place, device))
    labels = [np.array([row.label for row in part.samples.rows]) for part in held_out]
    units = [np.array([row.unit for row in part.samples.rows]) for part in held_out]
    score = class_metric(classes.primary_metric, classes)

    def scored(donors: Sequence[NDArray[np.int64]]) -> float:
        p = np.concatenate([matrix[np.arange(len(of)), of] for matrix, of in zip(matrices, donors, strict=True)])
        table = pd.DataFrame(p, columns=list(classes.columns)).assign(label=np.concatenate(labels))
        return value_of(score, table)

    rng = np.random.default_rng(seed)
    own = scored([np.arange(len(matrix)) for matrix in matrices])
    values = np.array([scored([_donors(of, rng) for of in units]) for _ in range(swaps)])
    better = values <= own if classes.primary_metric == "brier" else values >= own
    low, high = np.quantile(values, [0.025, 0.975])
    return {
        "channel": channel,
        "metric": classes.primary_metric,
        "own": own,
        "swaps": swaps,
        "mean": float(values.mean()),
        "low": float(low),
        "high": float(high),
        "at_least_as_good": float(better.mean()),
    }


def _pairs(network: torch.nn.Module, samples: Samples, place: int, device: torch.device) -> NDArray[np.float64]:
    """``(N, N, K)``: probabilities of each case with the channel of each."""
    images = [torch.as_tensor(samples[index]["image"]).float() for index in range(len(samples))]
    rows = []
    with torch.no_grad():
        for image in images:
            row = [network(with_channel(image, place, donor[place])[None].to(device)) for donor in images]
            rows.append(probabilities(torch.cat(row).double()).cpu().numpy())
    return np.stack(rows)


def _donors(units: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int64]:
    """A donor of another patient for each case, drawn evenly."""
    return np.array([rng.choice(np.flatnonzero(units != unit)) for unit in units])
