"""Protocols: which cases train a network, and in which roles cases are scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from treatment_response.problems import DataProblem, Problem

FOLD = "fold"
"""Field of a case that holds its fold by patient."""


@dataclass(frozen=True)
class Role:
    """A part of the cases that is scored by itself.

    Attributes:
        name: in tables. title: for readers.
        held_out: whether its patients are those of the fold that is left out of training.
        session: of its images; None: any.
    """

    name: str
    title: str
    held_out: bool
    session: str | None = None


@dataclass(frozen=True)
class Protocol:
    """Who trains, and who is scored.

    Attributes:
        name: as ``protocol`` in a config. title: for readers.
        holds_out: whether the patients of one fold do not train.
        session: of the images that train; None: any.
        roles: what is scored; the last one is primary, and curves of a training show `watched`.
        watched: name of the role whose loss is shown beside the training's; nothing is chosen with it, but the epoch
            where `chooses_epoch`.
        fold_field: field of a case that says its fold.
        chooses_epoch: whether the model is that of the epoch with the lowest watched loss; else the last epoch's.
        leak: why its numbers flatter, in a sentence; empty where nothing of the test takes part in the training.
    """

    name: str
    title: str
    holds_out: bool
    session: str | None
    roles: tuple[Role, ...]
    watched: str
    fold_field: str = FOLD
    chooses_epoch: bool = False
    leak: str = ""

    def fold_of(self, entry: Mapping[str, Any]) -> int:
        """The fold of a case, an entry of ``dataset.json``.

        Raises:
            DataProblem: it has none for this protocol.
        """
        fold = entry.get(self.fold_field)
        if not isinstance(fold, int) or isinstance(fold, bool):
            what = f"protocol {self.name} takes folds from '{self.fold_field}', which a case of the data set lacks"
            raise DataProblem(Problem("--protocol", what, "prepare a data set of pairs, or use protocol patients"))
        return fold

    @property
    def epoch_words(self) -> str:
        """Which epoch's weights are the model, in a sentence."""
        if self.chooses_epoch:
            return "The epoch with the lowest loss on the test cases is used, and scored on these cases."
        return "The last epoch is used, and nothing was chosen with test data."

    def holds(self, row_fold: int, fold: int) -> bool:
        """Whether a case of this fold is held out when `fold` is."""
        return self.holds_out and row_fold == fold

    @property
    def sessions(self) -> tuple[str, ...] | None:
        """The sessions that a training reads: what trains, and what its curves show; None: all."""
        watched = next(role for role in self.roles if role.name == self.watched)
        if self.session is None or watched.session is None:
            return None
        return tuple(dict.fromkeys((self.session, watched.session)))

    @property
    def scored_sessions(self) -> tuple[str, ...] | None:
        """The sessions that a scoring reads: those of the training, whose cases it counts, and of every role."""
        sessions = (self.session, *(role.session for role in self.roles))
        known = [session for session in sessions if session is not None]
        return tuple(sorted(set(known))) if len(known) == len(sessions) else None

    def content(self, fold: int) -> dict[str, Any]:
        """What ``protocol.json`` of a run holds."""
        return {**asdict(self), "fold": fold if self.holds_out else None}


_FIRST, _SECOND = "ses-01", "ses-02"
_BY_TIME_POINT = "fold_timepoint"
_TWO_SIDES = "One patient's time points lie in training and test."
_SEEN = Role("train_mri2", "(i) MRI 2 of the lesions it was trained on (the paper's way)", False, _SECOND)
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("A", "PULSAR: trained on MRI 1 of all lesions", False, _FIRST, (_SEEN,), "train_mri2"),
        Protocol(
            "B",
            "PULSAR: trained on MRI 1 of the patients outside one fold",
            True,
            _FIRST,
            (
                _SEEN,
                Role("heldout_mri2", "(ii) MRI 2 of held-out patients", True, _SECOND),
                Role("heldout_mri1", "(iii) MRI 1 of held-out patients (primary)", True, _FIRST),
            ),
            "heldout_mri1",
        ),
        Protocol(
            "time_points",
            "Trained on the time points outside one fold, whoever's they are",
            True,
            None,
            (Role("held_out_time_points", "Held-out time points, their patients trained on (leaks)", True),),
            "held_out_time_points",
            _BY_TIME_POINT,
            leak=_TWO_SIDES,
        ),
        Protocol(
            "time_points_best",
            "Trained on the time points outside one fold; the epoch with the lowest loss on that fold is kept",
            True,
            None,
            (Role("chosen_on_time_points", "Time points that chose the epoch, patients trained on (leaks)", True),),
            "chosen_on_time_points",
            _BY_TIME_POINT,
            chooses_epoch=True,
            leak=f"{_TWO_SIDES} The epoch is the one with the lowest loss on the test cases.",
        ),
        Protocol(
            "patients",
            "Trained on the patients outside one fold",
            True,
            None,
            (Role("held_out", "Held-out patients (primary)", True),),
            "held_out",
        ),
    )
}
"""By their names in configs."""


def protocol_of(name: str) -> Protocol:
    """A protocol by its name.

    Raises:
        DataProblem: there is none of this name.
    """
    if name not in PROTOCOLS:
        what = f"'{name}' is no protocol"
        raise DataProblem(Problem("--protocol", what, f"choose one of {', '.join(PROTOCOLS)}"))
    return PROTOCOLS[name]


def leak_of(name: str | None) -> str:
    """Why numbers of a protocol flatter; empty where they do not, and for a name that is none."""
    return PROTOCOLS[name].leak if name in PROTOCOLS else ""


def leak_of_role(role: str) -> str:
    """Why numbers of a role flatter; empty where they do not."""
    leaks = (protocol.leak for protocol in PROTOCOLS.values() if role in {one.name for one in protocol.roles})
    return next(leaks, "")


def scored_sessions(protocol: str) -> tuple[str, ...] | None:
    """The sessions that a scoring by a protocol reads, see `Protocol.scored_sessions`."""
    return protocol_of(protocol).scored_sessions
