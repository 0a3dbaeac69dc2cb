"""What an object is and is set to, as plain lists and texts: two objects that work differently are told differently."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch

from treatment_response.problems import DataProblem, Problem

_PASSED_OVER = (np.random.RandomState, np.random.Generator, torch.Generator, threading.local)
_DEEPEST = 20


def describe(value: Any, depth: int = 0) -> Any:
    """A description that JSON can hold, the same in every process.

    Numbers, texts, arrays (by their bytes), containers, functions of modules (by name), and objects by their class and
    all attributes. States of random generators and of threads are passed over.

    Raises:
        DataProblem: something that no name tells apart: a lambda or a function inside of another one.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if depth > _DEEPEST:
        raise _unknown(value)
    if isinstance(value, float):
        return ["float", value.hex()]
    if isinstance(value, Enum):
        return [_name(type(value)), value.name]
    if isinstance(value, Path | torch.dtype | torch.device | np.dtype):
        return [type(value).__name__, str(value)]
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        array = np.ascontiguousarray(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value)
        return ["array", array.dtype.str, list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(value, Mapping):
        pairs = [[describe(key, depth + 1), describe(item, depth + 1)] for key, item in value.items()]
        return ["mapping", sorted(pairs, key=repr)]
    if isinstance(value, set | frozenset):
        return ["set", sorted((describe(item, depth + 1) for item in value), key=repr)]
    if isinstance(value, list | tuple):
        return [describe(item, depth + 1) for item in value]
    if isinstance(value, functools.partial):
        return ["partial", describe([value.func, value.args, value.keywords], depth + 1)]
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        if "<" in value.__qualname__:
            raise _unknown(value)
        return _name(value)
    attributes = {**_slots(value), **getattr(value, "__dict__", {})}
    stated = {name: item for name, item in attributes.items() if not isinstance(item, _PASSED_OVER)}
    return [_name(type(value)), describe(stated, depth + 1)]


def _slots(value: Any) -> dict[str, Any]:
    names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _unknown(value: Any) -> DataProblem:
    what = f"a transform holds {type(value).__name__} {getattr(value, '__qualname__', '')}, which no name tells apart"
    return DataProblem(Problem("disk cache", what, "use a function or class of a module instead"))
