"""How a bundle run behaves as a command: bad input is told in plain lines, all at once."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import TracebackType

from treatment_response.cohort.check import check_dataset
from treatment_response.problems import DataProblem


def check_or_raise(dataset_dir: str | Path) -> None:
    """Check a prepared data set.

    Raises:
        DataProblem: with every fault of it.
    """
    problems = check_dataset(dataset_dir)
    if problems:
        raise DataProblem(*problems)


def tell_problems_plainly() -> None:
    """From here on an uncaught `DataProblem`, also one that MONAI wrapped, prints its lines and exits with status 2.

    MONAI's notice that an optional GPU decoder of DICOM is absent is not shown: no DICOM is read here.
    """
    sys.excepthook = _hook
    warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")


def data_problem_in(error: BaseException | None) -> DataProblem | None:
    """The `DataProblem` that an error comes from, if any."""
    while error is not None:
        if isinstance(error, DataProblem):
            return error
        error = error.__cause__
    return None


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        print("stopped; the same command with --resume true goes on from the last checkpoint", file=sys.stderr)
        raise SystemExit(130)
    problem = data_problem_in(error)
    if problem is None:
        sys.__excepthook__(kind, error, trace)
        return
    print(problem, file=sys.stderr)
    raise SystemExit(2)
