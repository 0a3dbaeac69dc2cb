"""The networks of a comparison: a system's own, or several that differ in a few ids of its config."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from treatment_response.configs import config_files, read_configs
from treatment_response.problems import DataProblem, Problem
from treatment_response.protocols import PROTOCOLS, Protocol, protocol_of

NETWORK = "network"
_WHERE = "--variants"
_FORM = (
    'write {"networks": {"name": {"id": value}, …}, "worth": {"of what": ["name", "name"]}, "reliance": ["channel"], '
    '"leaks": {"of what": ["name", "name"]}}'
)
_NAME = re.compile(r"\w[\w ,.+-]{0,59}", re.ASCII)


@dataclass(frozen=True)
class Variants:
    """What a file of ``--variants`` says.

    Attributes:
        networks: name → ids of the config that it sets, with their values; the first is what others are compared with.
        worth: what it is worth → the network with it and the network without it.
        reliance: channels that are swapped between the patients of a fold when the first network is tested.
        leaks: what flatters → the network whose protocol has it and the one whose protocol has not.
    """

    networks: Mapping[str, Mapping[str, Any]]
    worth: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    reliance: tuple[str, ...] = ()
    leaks: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """The first network."""
        return next(iter(self.networks))

    def protocols(self, usual: Protocol) -> dict[str, Protocol]:
        """Network → the protocol that it is trained and scored by.

        Args:
            usual: of networks that set none.
        """
        return {name: protocol_of(ids.get("protocol", usual.name)) for name, ids in self.networks.items()}

    def by_protocol(self, usual: Protocol) -> tuple[Variants, Mapping[str, Protocol]]:
        """The networks of the usual protocol, which are compared with rules, and the others' protocols.

        Raises:
            DataProblem: the first network has another protocol, or networks of two stand under ``worth``.
        """
        protocols = self.protocols(usual)
        others = {name: each for name, each in protocols.items() if each != usual}
        if self.reference in others:
            what = f"the first network, '{self.reference}', has protocol {others[self.reference].name}"
            raise DataProblem(Problem(_WHERE, what, f"name one of protocol {usual.name} first"))
        for title, pair in self.worth.items():
            if others.keys() & set(pair):
                what = f"'{title}' compares networks of different protocols"
                raise DataProblem(Problem(_WHERE, what, "name the pair under leaks"))
        own = {name: ids for name, ids in self.networks.items() if name not in others}
        return replace(self, networks=own), others


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
    networks, worth, reliance, leaks = (content.get(key, of()) for key, of in _PARTS.items())
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
        if "protocol" in ids and ids["protocol"] not in PROTOCOLS:
            remedy = f"choose one of {', '.join(PROTOCOLS)}"
            problems.append(Problem(_WHERE, f"'{title}' sets no known protocol", remedy))
    for title, pair in [*worth.items(), *leaks.items()]:
        if not isinstance(pair, list) or len(pair) != 2 or not set(pair) <= set(networks):
            problems.append(Problem(_WHERE, f"'{title}' names no two networks of the file", _FORM))
    if len({slug(title) for title in networks}) < len(networks):
        problems.append(Problem(_WHERE, "two networks have one name in files", "give them names of other letters"))
    if problems:
        raise DataProblem(*problems)
    pairs, leaking = ({title: (first, second) for title, (first, second) in each.items()} for each in (worth, leaks))
    return Variants(networks, pairs, tuple(map(str, reliance)), leaking)


_PARTS: dict[str, type] = {"networks": dict, "worth": dict, "reliance": list, "leaks": dict}


def slug(title: str) -> str:
    """A network's name in paths."""
    return re.sub(r"\W+", "_", title).strip("_")
