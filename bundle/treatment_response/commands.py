"""How a script or a bundle run ends: bad input is one sentence, a stop says what the same command does next."""

from __future__ import annotations

import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import TracebackType
from typing import ParamSpec

from treatment_response.files import full_disk, is_full_disk
from treatment_response.problems import DataProblem, Problem, data_problem_in
from treatment_response.stopping import stop_on_terminate

BAD_INPUT = 2
STOPPED = 130
"""Exit status of Ctrl-C in a shell."""

P = ParamSpec("P")


def command(stopped: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Decorate the ``main`` of a command line, which returns its exit status.

    A `DataProblem` and a full disk are printed without a traceback (status 2); Ctrl-C and SIGTERM print `stopped`
    (status 130).

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
            except OSError as error:
                if not is_full_disk(error):
                    raise
                print(full_disk("output"), file=sys.stderr)
                return BAD_INPUT

        return run

    return decorate


def check_options(options: Namespace, of_systems: Mapping[str, Sequence[str]]) -> None:
    """Refuse options that are given (not None) and belong to other systems than ``options.system``.

    Args:
        options: parsed, with ``system``.
        of_systems: by system, the names of the options that not every system has.

    Raises:
        DataProblem: one of them is given.
    """
    problems = [
        Problem(
            f"--{name.replace('_', '-')}",
            f"belongs to the cohort of {system}, not of {options.system}",
            "leave it out",
        )
        for system, names in of_systems.items()
        for name in names
        if name not in of_systems[options.system] and getattr(options, name) is not None
    ]
    if problems:
        raise DataProblem(*problems)


def tell_problems_plainly() -> None:
    """For a bundle run, which has no ``main`` of ours: an uncaught `DataProblem`, also one that MONAI wrapped, ends so.

    MONAI's notice that an optional GPU decoder of DICOM is absent is not shown: no DICOM is read here.
    """
    sys.excepthook = _hook
    warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        print("stopped; the same command with --resume true goes on from the last checkpoint", file=sys.stderr)
        raise SystemExit(STOPPED)
    problem = full_disk("output") if is_full_disk(error) else data_problem_in(error)
    if problem is None:
        sys.__excepthook__(kind, error, trace)
        return
    print(problem, file=sys.stderr)
    raise SystemExit(BAD_INPUT)
