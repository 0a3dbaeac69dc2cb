"""The networks of a comparison: a system's own, or several that differ in a few ids of its config."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treatment_response.configs import config_files, read_configs
from treatment_response.problems import DataProblem, Problem

NETWORK = "network"
_WHERE = "--variants"
_FORM = (
    'write {"networks": {"name": {"id": value}, …}, "worth": {"of what": ["name", "name"]}, "reliance": ["channel"]}'
)
_NAME = re.compile(r"\w[\w ,.+-]{0,59}", re.ASCII)


@dataclass(frozen=True)
class Variants:
    """What a file of ``--variants`` says.

    Attributes:
        networks: name → ids of the config that it sets, with their values; the first is what others are compared with.
        worth: what it is worth → the network with it and the network without it.
        reliance: channels that are swapped between the patients of a fold when the first network is tested.
    """

    networks: Mapping[str, Mapping[str, Any]]
    worth: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    reliance: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The first network."""
        return next(iter(self.networks))

    def content(self) -> dict[str, Any]:
        """For records."""
        return {"networks": dict(self.networks), "worth": dict(self.worth), "reliance": list(self.reliance)}


ONE = Variants({NETWORK: {}})
"""The system's own network alone."""


def read_variants(name: str, overlays: Sequence[str]) -> Variants:
    """Read a file of variants.

    Args:
        name: of a file in the bundle's ``configs/``, or a path.
        overlays: configs on top of ``train.json``, whose ids the variants set.

    Raises:
        DataProblem: the file is not there or not of that form, or a variant sets an id that no config has.
    """
    content = json.loads(config_files([name], _WHERE)[0].read_text(encoding="utf-8"))
    networks, worth, reliance = (content.get(key, of()) for key, of in _PARTS.items())
    wrong = [key for key in content if key not in _PARTS]
    if wrong or not all(isinstance(content.get(key, of()), of) for key, of in _PARTS.items()) or not networks:
        what = f"it has {wrong[0]!r}" if wrong else "it names no networks"
        raise DataProblem(Problem(_WHERE, f"{Path(name).name}: {what}", _FORM))
    known = read_configs(["train.json", *overlays]).config
    problems = []
    for title, ids in networks.items():
        if not _NAME.fullmatch(title) or not isinstance(ids, dict):
            problems.append(Problem(_WHERE, f"{title[:60]!r} is no name with its ids", _FORM))
            continue
        problems += [
            Problem(_WHERE, f"'{title}' sets {one!r}, which no config has", "name a top-level id of the overlay")
            for one in ids
            if one not in known
        ]
    for title, pair in worth.items():
        if not isinstance(pair, list) or len(pair) != 2 or not set(pair) <= set(networks):
            problems.append(Problem(_WHERE, f"'{title}' names no two networks of the file", _FORM))
    if len({slug(title) for title in networks}) < len(networks):
        problems.append(Problem(_WHERE, "two networks have one name in files", "give them names of other letters"))
    if problems:
        raise DataProblem(*problems)
    pairs = {title: (first, second) for title, (first, second) in worth.items()}
    return Variants(networks, pairs, tuple(map(str, reliance)))


_PARTS: dict[str, type] = {"networks": dict, "worth": dict, "reliance": list}


def slug(title: str) -> str:
    """A network's name in paths."""
    return re.sub(r"\W+", "_", title).strip("_")
