"""Problems that the network sees with an HTTP status of their own: everything else is a plain `DataProblem` (400)."""

from __future__ import annotations

from treatment_response.problems import DataProblem, Problem


class NotFound(DataProblem):
    """What was asked for is not here: answered as 404."""


class Refused(DataProblem):
    """The server does not do this, or not with these settings: answered as 403."""


class TooLarge(DataProblem):
    """An upload beyond the limit: answered as 413."""


class Busy(DataProblem):
    """The same job is running already: answered as 429."""


class Unavailable(DataProblem):
    """A server that is needed for the answer (identity provider, archive) did not answer: answered as 503."""


STATUS: dict[type[DataProblem], int] = {NotFound: 404, Refused: 403, TooLarge: 413, Busy: 429, Unavailable: 503}


def status_of(problem: DataProblem) -> int:
    """The HTTP status of a problem: that of its class or nearest base class, else 400."""
    return next((STATUS[kind] for kind in type(problem).__mro__ if kind in STATUS), 400)


def not_found(where: str, what: str, remedy: str) -> NotFound:
    """A `NotFound` of one problem, for the common case."""
    return NotFound(Problem(where, what, remedy))
