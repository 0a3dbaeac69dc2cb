"""A key of the configs means the same in each base that has it, so that one overlay serves all three."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tiny_systems
from monai.bundle import ConfigParser

CONFIGS = Path(__file__).resolve().parents[2] / "bundle" / "configs"
BASES = {"train": ("train.json",), "evaluate": ("train.json", "evaluate.json"), "inference": ("inference.json",)}
DIFFERENCES = {
    "imports": "only a training seeds by monai's own functions",
    "initialize": "only a training seeds",
    "run": "MONAI's name for what a command does",
    "check": "what `run` looks at first: a data set to train on and to score, or single images too",
    "output_dir": "the default place of a run is not that of maps",
    "network": "network_def on its device; an inference puts stored weights into it",
    "dataset": "MONAI's name for what the evaluator goes through: samples of the roles, or cases with their grids",
    "dataloader": "MONAI's name: of `dataset`",
    "inferer": "MONAI's name for what the evaluator does with a batch: logits to be scored, or logits and maps",
    "handlers": "MONAI's name for what the evaluator writes: scores, or answers with maps",
    "sessions": "which MRs are read by default: those that train, all that are scored, the first to be explained",
    "angles": "a training turns copies; what is scored is never turned",
    "unlabelled": "a training cannot use cases without a label; they are scored",
    "patch_transforms": "PULSAR trains on the largest slice and answers for all; other systems have one list",
}
"""Keys that say something else in another base, each with its reason."""
SET_BY_SYSTEMS = {"angles", "patch_transforms", "inferer"}
"""Of these, what a system's overlay sets: as it trains, so it is scored and explained; `evaluate.json`, which comes
after the overlay, keeps an inferer of its own."""


def base(name: str) -> dict[str, Any]:
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / file) for file in BASES[name]])
    return dict(parser.config)


def differing(bases: list[dict[str, Any]]) -> set[str]:
    """Keys of several bases whose values are not equal."""
    keys = {key for content in bases for key in content}
    values = {key: [content[key] for content in bases if key in content] for key in keys}
    return {key for key, given in values.items() if any(value != given[0] for value in given)}


def test_a_key_means_the_same_in_each_base_or_the_difference_has_a_reason() -> None:
    assert sorted(differing([base(name) for name in BASES])) == sorted(DIFFERENCES)


@pytest.mark.parametrize("system", ["improved", "masked_input", "rice_net", "rano", "tiny"])
def test_an_overlay_for_all_bases_sets_keys_of_one_meaning(system: str) -> None:
    overlay = tiny_systems.overlay(2) if system == "tiny" else json.loads((CONFIGS / f"{system}.json").read_text())
    own = overlay.keys() - {key for name in BASES for key in base(name)}
    used = set(re.findall(r"@(\w+)", json.dumps(overlay)))
    assert own <= used  # MONAI adds a misspelled one silently, and nothing refers to it
    assert overlay.keys() & DIFFERENCES.keys() <= SET_BY_SYSTEMS
