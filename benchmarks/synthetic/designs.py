"""The rows of the ablation table: the paper's network and variants of it, the stronger one, and that without a part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IMPROVED, MASKED_INPUT = ("improved.json",), ("masked_input.json",)
PAPER, STRONGER = "paper", "improved"


@dataclass(frozen=True)
class Design:
    """One row of the table.

    Attributes:
        name: as in the table. changed: what it lacks or has, in words.
        overlays: on top of ``train.json``, of the network. overrides: config ids and values on top of them.
        slices: which samples it trains on: ``turned`` (largest slice and turned copies), ``largest`` or ``all``.
    """

    name: str
    changed: str
    overlays: tuple[str, ...] = IMPROVED
    overrides: Mapping[str, Any] = field(default_factory=dict)
    slices: str = "all"


DESIGNS = (
    Design(PAPER, "the paper's network, largest slice and turned copies", (), slices="turned"),
    Design(
        "paper, masked input", "the paper's network, which sees nothing outside the GTV", MASKED_INPUT, slices="turned"
    ),
    Design("paper, all slices", "the paper's network; every slice a sample, no turned copies", ()),
    Design(STRONGER, "the stronger network"),
    Design("largest slice", "without the other slices", slices="largest"),
    Design(
        "no sharing", "each cell its own weights, as in a flat dense layer", overrides={"network_def#shared": False}
    ),
    Design("no shells", "the GTV's mean taken away instead of its shells'", overrides={"network_def#shells": False}),
    Design("no structure", "without the structure energies", overrides={"network_def#scales": []}),
    Design("one scale", "structure energies at one scale", overrides={"network_def#scales": [1.5]}),
    Design("no darkness", "without the darkness maps", overrides={"network_def#thresholds": []}),
    Design(
        "dark against median",
        "darkness against the median instead of the brightest tissue",
        overrides={"network_def#reference": 0.5},
    ),
    Design("no weight decay", "weights not held small", overrides={"optimizer#weight_decay": 0.0}),
)
