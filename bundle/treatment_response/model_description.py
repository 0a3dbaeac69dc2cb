"""What ``model.json`` says of the weights beside it, and how it is checked.

``model.json`` holds what weights cannot, bound to them by their SHA-256:

```json
{"sha256": "…", "classes": {"names": ["non-response", "response"]},
 "map_scales": {"gradcam": {"non-response": 0.49, "response": 0.49}},
 "fold_models": [{"file": "model_fold_0.pt", "sha256": "…"}, …], "calibration": {…}, "conformal": {…},
 "training_data": {"name": "demo", "synthetic": true, "lesions": 55, "patients": 31, "protocol": "B", "fold": 0,
                   "cases": null}}
```

``map_scales`` is null where no scale could be fitted, for one explanation or for all. ``fold_models`` are
weights of the same network, each trained without one fold of the patients; ``calibration`` and ``conformal``
belong to them (`treatment_response.certainty`). With ``"ensemble": true`` their mean is the model.
A training alone has no fold models, and its ``calibration`` is null.
``training_data`` may be null or absent. Anything else, a name that stands twice too, is refused.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from treatment_response.certainty import Certainty, read_certainty
from treatment_response.classes import Classes, classes_of
from treatment_response.files import read_at_most
from treatment_response.problems import DataProblem, Problem
from treatment_response.protocols import PROTOCOLS

BOTH_FILES = "copy model.pt and model.json together from the run that wrote them"
FOLD_ENTRIES = {"fold_models", "conformal"}
"""Entries of ``model.json`` that stand there only together."""
ENSEMBLE = "ensemble"
"""Entry of ``model.json``: true where the fold models together are the model, whose own weights are the first's."""
_LARGEST_TEXT = 1 << 20
"""Bytes of a JSON file beside weights; larger ones are not read."""
_MOST_TRAINED = 10**9
"""Lesions or patients that a file may claim to have been trained on."""
_SCALES = np.finfo(np.float32)
"""A scale outside float32 would turn every map into zeros, ones or no numbers."""
_EXPLANATION = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""What an explanation may be called in ``map_scales`` and in files."""
FittedScales = Mapping[str, Mapping[str, float]]
"""Explanation → class → the constant: the raw value, above 0, that is shown as 1."""
MapScales = Mapping[str, Mapping[str, float] | None]
"""The same; None for an explanation whose constants could not be fitted."""


@dataclass(frozen=True)
class TrainingData:
    """What weights were trained on; None is unknown.

    Attributes:
        name: of the data set. synthetic: whether its images are simulated.
        lesions, patients: how many trained.
        cases: what its system calls its cases; None for lesions, and where it does not say.
        protocol: one of `treatment_response.protocols`. fold: that was held out.
        preparation: how the images were put on an atlas, see `cohort.image_preparation`; None where they were not.
    """

    name: str | None = None
    synthetic: bool | None = None
    lesions: int | None = None
    patients: int | None = None
    protocol: str | None = None
    fold: int | None = None
    cases: str | None = None
    preparation: str | None = None


def read_description(content: dict[str, Any], name: str, where: str) -> tuple[Classes, MapScales | None, TrainingData]:
    """Classes, map scales and training data of a ``model.json``.

    Args:
        content: of the file. name: of the file, for messages.
        where: what the user should look at if something is wrong with it.

    Raises:
        DataProblem: an entry is unknown, missing, or not what it says it is.
    """

    def wrong(what: str) -> DataProblem:
        return DataProblem(Problem(where, f"{name}: {what}", BOTH_FILES))

    known = {"sha256", "classes", "map_scales", "calibration", "training_data", ENSEMBLE, *FOLD_ENTRIES}
    if unknown := set(content) - known:
        raise wrong(f"this version does not know its entry {min(unknown)[:40]!r}")
    together = FOLD_ENTRIES if content.get("calibration") is not None or FOLD_ENTRIES & set(content) else set()
    if content.get(ENSEMBLE, False) not in (True, False) or (content.get(ENSEMBLE) and not together):
        raise wrong("its ensemble is not true, beside fold models")
    if absent := {"sha256", "classes", "map_scales", "calibration", *together} - set(content):
        raise wrong(f"it has no entry {min(absent)!r}")
    try:
        classes = classes_of(content["classes"])
    except ValueError as error:
        raise wrong(str(error)) from error
    scales = content["map_scales"]
    if scales is not None:
        fits = isinstance(scales, dict) and all(
            of is None or (isinstance(of, dict) and set(of) == set(classes.names) and all(map(is_scale, of.values())))
            for of in scales.values()
        )
        if not fits:
            raise wrong("its map_scales are not a number above 0 for each class")
        if strange := [explanation for explanation in scales if not _EXPLANATION.fullmatch(explanation)]:
            raise wrong(f"its map_scales are of {min(strange)[:40]!r}, which is no name of an explanation")
    given = content.get("training_data")
    try:
        training_data = TrainingData() if given is None else training_data_of(given)
    except (TypeError, ValueError) as error:
        raise wrong(f"its training_data cannot be used ({error})") from error
    return classes, scales, training_data


def certainty_of(content: dict[str, Any], classes: Classes, name: str, where: str) -> Certainty | None:
    """What the fold models' scores say, as of a ``model.json`` that `read_description` takes; None without them.

    Raises:
        DataProblem: the entries do not fit the classes.
    """
    if "conformal" not in content:
        return None
    try:
        return read_certainty(content["calibration"], content["conformal"], classes.names)
    except ValueError as error:
        raise DataProblem(Problem(where, f"{name}: {error}", BOTH_FILES)) from error


def training_data_of(given: Any) -> TrainingData:
    """The entry ``training_data``; what is told of it must be what it says it is.

    Raises:
        TypeError, ValueError: with what is wrong.
    """
    kinds = {"name": str, "synthetic": bool, "lesions": int, "patients": int, "protocol": str, "fold": int}
    kinds |= {"cases": str, "preparation": str}
    if not isinstance(given, dict) or not set(given) <= {field.name for field in fields(TrainingData)}:
        raise TypeError(f"expected {', '.join(kinds)}")
    for key, value in given.items():
        if value is not None and type(value) is not kinds[key]:
            raise TypeError(f"{key} is not of type {kinds[key].__name__}")
        if type(value) is int and value < 0:
            raise ValueError(f"{key} is negative")
        if type(value) is int and value > _MOST_TRAINED:
            raise ValueError(f"{key} is above {_MOST_TRAINED}")
    if given.get("protocol") not in (None, *PROTOCOLS):
        raise ValueError(f"protocol is neither {' nor '.join(PROTOCOLS)}")
    return TrainingData(**given)


def is_scale(value: Any) -> bool:
    """Whether it is a number that a map can be divided by in float32."""
    return type(value) in (int, float) and float(_SCALES.tiny) <= value <= float(_SCALES.max)


def read_object(file: Path, where: str) -> dict[str, Any]:
    """Read a JSON file that stands beside weights.

    Args:
        file: at most 1 MiB.
        where: what the user should look at if something is wrong with it.

    Raises:
        DataProblem: it is no JSON object, or an entry stands in it twice.
    """
    text = read_at_most(file, where, _LARGEST_TEXT)
    twice: list[str] = []

    def entries(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        return dict(pairs)

    try:
        content = json.loads(text, object_pairs_hook=entries)
        json.dumps(content, ensure_ascii=False).encode()  # half a character cannot be written anywhere
    except (ValueError, RecursionError) as error:
        what = f"{file.name} is no JSON ({type(error).__name__})"
        raise DataProblem(Problem(where, what, BOTH_FILES)) from error
    if not isinstance(content, dict):
        raise DataProblem(Problem(where, f"{file.name} holds no object in {{ }}", BOTH_FILES))
    if twice:
        raise DataProblem(Problem(where, f"{file.name} names {twice[0][:40]!r} twice", BOTH_FILES))
    return content
