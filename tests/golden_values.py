"""Golden values: what PULSAR says of fixed input with the delivered weights, recorded once in ``tests/golden/``.

A test gives its values to the fixture ``golden``, which compares it with the record:

- numbers to `TOLERANCE`, relative to numbers above 1; everything else must be equal, the names of columns too;
- entries named in `VOLATILE` are left out wherever they stand: they may differ between two runs of the same code;
- a table is recorded column by column, so that the name of a column stands once in a file.

``pytest -n 0 tests/test_goldens.py tests/app/test_server_infer.py tests/app/test_server_store.py --write-goldens``
writes anew. Do so only where a change is meant, and read the difference: ``git diff tests/golden``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FOLDER = Path(__file__).with_name("golden")
TOLERANCE = 1e-6
ROUNDED = TOLERANCE * (1 + 1e-6)
"""Values that are rounded to six digits may differ by one in the last, which is a hair more in binary numbers."""
VOLATILE = frozenset(
    {
        "treatment_response",  # version of the package, in provenance
        "versions",  # of libraries
        "date",
        "seconds",
        "latencies",
        "series_uid",  # of results, new with every set
    }
)


class Golden:
    """The recorded values.

    Args:
        write: record the values instead of comparing them.
    """

    def __init__(self, write: bool) -> None:
        self.write = write

    def check(self, name: str, actual: Any) -> None:
        """Compare nested mappings, lists, numbers and texts with ``NAME.json``.

        Raises:
            AssertionError: they differ; the first differences are named.
        """
        path, actual = FOLDER / f"{name}.json", lasting(actual)
        if self.write:
            path.write_text(_text(actual) + "\n", encoding="utf-8")
        _check_recorded(path)
        different = list(differences(actual, json.loads(path.read_text(encoding="utf-8"))))
        assert not different, "\n".join([f"{len(different)} differences from {path.name}:", *different[:20]])

    def check_arrays(self, name: str, actual: Mapping[str, np.ndarray]) -> None:
        """Compare arrays with those of the same names in ``NAME.npz``.

        Raises:
            AssertionError: names, shapes, types or values differ.
        """
        path = FOLDER / f"{name}.npz"
        if self.write:
            np.savez_compressed(path, **actual)
        _check_recorded(path)
        with np.load(path, allow_pickle=False) as recorded:
            assert set(recorded.files) == set(actual)
            for array in recorded.files:
                assert actual[array].dtype == recorded[array].dtype, array
                np.testing.assert_allclose(
                    actual[array], recorded[array], rtol=ROUNDED, atol=ROUNDED, err_msg=f"{path.name} {array}"
                )


def _check_recorded(path: Path) -> None:
    assert path.is_file(), f"{path.name} is not recorded yet: run this test with --write-goldens"


def differences(actual: Any, recorded: Any, where: str = "") -> Iterator[str]:
    """What differs between two nested values, a line each."""
    if isinstance(actual, Mapping) and isinstance(recorded, Mapping):
        for key in {**recorded, **actual}:
            if key in actual and key in recorded:
                yield from differences(actual[key], recorded[key], f"{where}/{key}")
            else:
                yield f"{where}/{key} is {'new' if key in actual else 'missing'}"
    elif isinstance(actual, list) and isinstance(recorded, list) and len(actual) == len(recorded):
        for index, pair in enumerate(zip(actual, recorded, strict=True)):
            yield from differences(*pair, f"{where}/{index}")
    elif not _same(actual, recorded):
        yield f"{where}: found {_short(actual)}, recorded {_short(recorded)}"


def lasting(value: Any) -> Any:
    """The value as JSON has it, without what `VOLATILE` names; ten digits of a number, a text if it is not finite."""
    if isinstance(value, Mapping):
        return {str(key): lasting(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list | tuple):
        return [lasting(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.10g}") if math.isfinite(value) else str(value)
    return value


def read_columns(path: Path) -> dict[str, Any]:
    """A CSV as column → values, the lines that begin with ``#`` as ``notes``; an empty field is None."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    notes = [line[1:].strip() for line in lines if line.startswith("#")]
    # Each field keeps the type that its text has: a column of numbers may hold a word.
    table = pd.read_csv(StringIO("".join(line for line in lines if not line.startswith("#"))), dtype=str)
    columns: dict[str, Any] = {name: [_field(text) for text in table[name]] for name in table.columns}
    return {**columns, "notes": notes} if notes else columns


def _field(text: Any) -> Any:
    if not isinstance(text, str):
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _same(actual: Any, recorded: Any) -> bool:
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (actual, recorded)]
    if all(numbers):
        return abs(actual - recorded) <= ROUNDED * max(1.0, abs(recorded))
    return type(actual) is type(recorded) and bool(actual == recorded)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({type(value).__name__})"


def _text(value: Any, indent: str = "") -> str:
    """JSON with a line for whatever fits into one, so that it can be read and takes little room."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + len(indent) <= 150 or not value or not isinstance(value, dict | list):
        return line
    inner = indent + " "
    if isinstance(value, list):
        if not any(isinstance(item, dict | list) for item in value):
            return line
        parts = [_text(item, inner) for item in value]
        brackets = "[]"
    else:
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {_text(item, inner)}" for key, item in value.items()]
        brackets = "{}"
    return f"{brackets[0]}\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}{brackets[1]}"
