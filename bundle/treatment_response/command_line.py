"""How a bundle run behaves as a command: bad input is told in plain lines, all at once."""

from __future__ import annotations

import sys
import warnings
from types import TracebackType

from treatment_response.problems import data_problem_in


def tell_problems_plainly() -> None:
    """From here on an uncaught `DataProblem`, also one that MONAI wrapped, prints its lines and exits with status 2.

    MONAI's notice that an optional GPU decoder of DICOM is absent is not shown: no DICOM is read here.
    """
    sys.excepthook = _hook
    warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")


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
