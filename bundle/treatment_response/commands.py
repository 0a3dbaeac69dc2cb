"""How a command line ends: bad input is one sentence, and a stop says what the same command does next."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from treatment_response.problems import DataProblem
from treatment_response.stopping import stop_on_terminate

BAD_INPUT = 2
STOPPED = 130
"""Exit status of Ctrl-C in a shell."""

P = ParamSpec("P")


def command(stopped: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Decorate the ``main`` of a command line, which returns its exit status.

    A `DataProblem` is printed without a traceback (status 2); Ctrl-C and SIGTERM print `stopped` (status 130).

    Args:
        stopped: what is left behind by a command that was stopped.
    """

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            stop_on_terminate()
            try:
                return main(*args, **kwargs)
            except DataProblem as problem:
                print(problem, file=sys.stderr)
                return BAD_INPUT
            except KeyboardInterrupt:
                print(f"stopped; {stopped}", file=sys.stderr)
                return STOPPED

        return run

    return decorate
