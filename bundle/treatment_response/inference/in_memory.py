"""Volumes in memory where a config's transforms expect files, and a config's problems as what they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from monai.data import MetaTensor

from treatment_response.problems import data_problem_in


def as_loaded(array: np.ndarray, affine: np.ndarray, dtype: type | None = None) -> MetaTensor:
    """An array as the loader gives it: one channel, with its affine."""
    # A copy in the array's own order is quick, and takes negative strides, which torch does not.
    return MetaTensor(torch.from_numpy(np.array(array, dtype=dtype, order="K"))[None], affine=affine)


@contextmanager
def problem_itself() -> Iterator[None]:
    """MONAI wraps what a config's object raises; the problem that the user must see is inside."""
    try:
        yield
    except Exception as error:
        problem = data_problem_in(error)
        if problem is None:
            raise
        raise problem from None
