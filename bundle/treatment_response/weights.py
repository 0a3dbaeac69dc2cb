"""Weights and what belongs to them: ``model.pt``, a plain state dictionary, and ``model.json`` beside it.

``model.json`` holds what weights cannot, bound to them by their SHA-256:

```json
{"sha256": "…", "classes": {"names": ["non-response", "response"]},
 "map_scales": {"gradcam": {"non-response": 0.49, "response": 0.49}}, "calibration": null,
 "training_data": {"name": "demo", "synthetic": true, "lesions": 55, "patients": 31, "protocol": "B", "fold": 0}}
```

``map_scales`` is null where no scale could be fitted, ``calibration`` is null until there is one, ``training_data`` may
be null or absent. Nothing else is read from it.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from treatment_response.explain.scale import MapScales
from treatment_response.explain.target import TargetClass
from treatment_response.files import write_whole
from treatment_response.problems import DataProblem, Problem

CLASSES = tuple(target.label for target in TargetClass)
"""The classes of one logit, in the order of their numbers."""

_OTHER_FILE = "use a model.pt that a training run wrote"
_BOTH_FILES = "copy model.pt and model.json together from the run that wrote them"
_EARLIER_SCALES = "cam_scale"
_EARLIER_EXPLANATIONS = ("gradcam", "gradcampp", "pixelwise")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """What weights were trained on; None is unknown.

    Attributes:
        name: of the data set. synthetic: whether its images are simulated.
        lesions, patients: how many trained.
        protocol: ``A`` or ``B``. fold: that protocol B held out.
    """

    name: str | None = None
    synthetic: bool | None = None
    lesions: int | None = None
    patients: int | None = None
    protocol: str | None = None
    fold: int | None = None


@dataclass(frozen=True)
class Weights:
    """Weights as they were read, with what their ``model.json`` says.

    Attributes:
        file: name of the weights' file, for messages.
        sha256: of the file's bytes.
        state: name → tensor, on the CPU, all finite.
        classes: names in the order of the class numbers.
        map_scales: explanation → class → constant of its maps; None if they were never fitted.
        training_data: what trained.
    """

    file: str
    sha256: str
    state: dict[str, torch.Tensor]
    classes: tuple[str, ...]
    map_scales: MapScales | None
    training_data: TrainingData


def description_of(path: Path) -> Path:
    """Where the ``model.json`` of a ``model.pt`` lies: beside it, under the same stem."""
    return path.with_suffix(".json")


def write_weights(
    path: Path, network: torch.nn.Module, map_scales: MapScales | None, training_data: TrainingData
) -> None:
    """Write ``model.pt`` and ``model.json`` so that a kill at any moment leaves the earlier pair or the new one.

    Args:
        path: of ``model.pt``. network: its state is written.
        map_scales: of its maps; None if they could not be fitted.
        training_data: what trained.
    """
    buffer = io.BytesIO()
    torch.save({name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}, buffer)
    content = {
        "sha256": None,
        "classes": {"names": list(CLASSES)},
        "map_scales": map_scales,
        "calibration": None,
        "training_data": asdict(training_data),
    }
    write_pair(path, buffer.getvalue(), content)


def write_pair(path: Path, weights: bytes, content: Mapping[str, Any]) -> None:
    """Put a ``model.pt`` and its ``model.json`` in place of the earlier pair; ``sha256`` is that of `weights`.

    The new description waits under the name ``model.next.json``, which counts if it is the one that fits the weights.
    So the pair changes in one moment, when the weights take their name.
    """
    description, coming = description_of(path), _coming(path)
    whole = {**content, "sha256": hashlib.sha256(weights).hexdigest()}
    write_whole(coming, json.dumps(whole, indent=1) + "\n")
    write_whole(path, weights)
    coming.replace(description)


def copy_pair(source: Path, target: Path) -> None:
    """Put a copy of a ``model.pt`` and its ``model.json`` in the place of another pair, as `write_pair` does.

    Raises:
        OSError: a file cannot be read or written.
    """
    write_pair(target, source.read_bytes(), json.loads(description_of(source).read_bytes()))


def read_weights(model_path: str | Path, where: str = "--model_path") -> Weights:
    """Read weights without running code, and what belongs to them.

    Files of the earlier format, ``{"model": state dict}`` with ``cam_scale`` among the weights and ``provenance.json``
    beside them or in the run's folder, are read too; the log says so.

    Args:
        model_path: of ``model.pt``.
        where: what the user should look at if something is wrong with it.

    Raises:
        DataProblem: a file is missing or is no such file, the two do not belong together, or a weight is not finite.
    """
    path = Path(model_path)
    if not path.is_file():
        remedy = "train a model first, or name its weights (--model_path RUN/models/model.pt)"
        raise DataProblem(Problem(where, f"there is no file {path.name}", remedy))
    weights = _bytes(path, where)
    sha256 = hashlib.sha256(weights).hexdigest()
    content = _unpickled(weights, path.name, where)
    earlier = set(content) == {"model"} and isinstance(content["model"], dict)
    descriptions = [file for file in (description_of(path), _coming(path)) if file.is_file()]
    if earlier and not descriptions:
        logger.warning(
            "%s has the earlier format, which MONAI's own loader cannot read; training again writes the present one.",
            path.name,
        )
        state = _tensors(content["model"], path.name, where)
        scales = _earlier_scales(state.pop(_EARLIER_SCALES, None))
        return Weights(path.name, sha256, state, CLASSES, scales, _earlier_training_data(path, where))
    if not descriptions:
        what = f"{description_of(path).name}, which tells its classes and the scale of its maps, is not beside it"
        raise DataProblem(Problem(where, f"{path.name}: {what}", _BOTH_FILES))
    description = _description(descriptions, sha256, path.name, where)
    if earlier:
        what = f"{path.name} has the earlier format, which holds everything itself, but {description_of(path).name}"
        raise DataProblem(Problem(where, f"{what} lies beside it", "take the weights of one run"))
    return Weights(path.name, sha256, _tensors(content, path.name, where), *description)


def load_into(network: torch.nn.Module, weights: Weights, where: str = "--model_path") -> None:
    """Put weights into a network that has exactly these names, shapes and number types.

    Raises:
        DataProblem: they do not fit.
    """
    own = network.state_dict()
    faults = [f"it lacks {name!r}" for name in own if name not in weights.state]
    faults += [f"it has {name[:60]!r} too many" for name in weights.state if name not in own]
    for name, tensor in weights.state.items():
        if name in own and (tensor.shape != own[name].shape or tensor.dtype != own[name].dtype):
            held, wanted = (f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in (tensor, own[name]))
            faults.append(f"{name!r} is {held}, not {wanted}")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        what = f"the weights in {weights.file} do not fit the network of the config ({', '.join(faults[:3])}{more})"
        raise DataProblem(Problem(where, what, "use the config that the weights were trained with"))
    network.load_state_dict(weights.state)


def without_scales(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint; earlier ones hold the maps' scale among them."""
    return {name: tensor for name, tensor in state.items() if name != _EARLIER_SCALES}


def _coming(path: Path) -> Path:
    return path.with_suffix(".next.json")


def _bytes(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"{path.name} cannot be read ({type(error).__name__})"
        raise DataProblem(Problem(where, what, "make it readable")) from error


def _unpickled(weights: bytes, name: str, where: str) -> dict[str, Any]:
    try:
        content = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except Exception as error:  # a file from outside can make it fail in any way
        what = f"{name}: cannot be read as weights ({type(error).__name__})"
        raise DataProblem(Problem(where, what, _OTHER_FILE)) from error
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        raise DataProblem(Problem(where, f"{name} holds no dictionary of named weights", _OTHER_FILE))
    return content


def _tensors(state: dict[str, Any], name: str, where: str) -> dict[str, torch.Tensor]:
    for key, tensor in state.items():
        if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided or tensor.device.type != "cpu":
            raise DataProblem(Problem(where, f"{name}: {key[:60]!r} is no plain tensor", _OTHER_FILE))
        if tensor.is_quantized or not bool(torch.isfinite(tensor).all()):
            raise DataProblem(Problem(where, f"{name}: {key[:60]!r} holds a number that is not finite", _OTHER_FILE))
    return dict(state)


def _description(
    files: list[Path], sha256: str, weights: str, where: str
) -> tuple[tuple[str, ...], MapScales | None, TrainingData]:
    """What the description of these weights says; one of other weights is refused."""
    contents = {file.name: _json(file, where) for file in files}
    for name, content in contents.items():
        if content.get("sha256") == sha256:
            return _read_description(content, name, where)
    name = files[0].name
    what = f"{name} was written for other weights than those in {weights} (their SHA-256 differs)"
    raise DataProblem(Problem(where, what, _BOTH_FILES))


def _read_description(
    content: dict[str, Any], name: str, where: str
) -> tuple[tuple[str, ...], MapScales | None, TrainingData]:
    def wrong(what: str) -> DataProblem:
        return DataProblem(Problem(where, f"{name}: {what}", _BOTH_FILES))

    known = {"sha256", "classes", "map_scales", "calibration", "training_data"}
    if unknown := set(content) - known:
        raise wrong(f"this version does not know its entry {min(unknown)[:40]!r}")
    if absent := known - {"training_data"} - set(content):
        raise wrong(f"it has no entry {min(absent)!r}")
    if content["calibration"] is not None:
        raise wrong("it holds a calibration, which this version cannot apply")
    if content["classes"] != {"names": list(CLASSES)}:
        raise wrong(f"its classes are not {' and '.join(CLASSES)}")
    scales = content["map_scales"]
    if scales is not None:
        fits = isinstance(scales, dict) and all(
            isinstance(of, dict) and set(of) == set(CLASSES) and all(map(_is_positive, of.values()))
            for of in scales.values()
        )
        if not fits:
            raise wrong("its map_scales are not a number above 0 for each class")
    try:
        training_data = _training_data(content.get("training_data") or {})
    except (TypeError, ValueError) as error:
        raise wrong(f"its training_data cannot be used ({error})") from error
    return CLASSES, scales, training_data


def _training_data(given: Any) -> TrainingData:
    """Check the types: what is told of the training data must be what it says it is.

    Raises:
        TypeError, ValueError: with what is wrong.
    """
    kinds = {"name": str, "synthetic": bool, "lesions": int, "patients": int, "protocol": str, "fold": int}
    if not isinstance(given, dict) or not set(given) <= {field.name for field in fields(TrainingData)}:
        raise TypeError(f"expected {', '.join(kinds)}")
    for key, value in given.items():
        if value is not None and type(value) is not kinds[key]:
            raise TypeError(f"{key} is not of type {kinds[key].__name__}")
        if type(value) is int and value < 0:
            raise ValueError(f"{key} is negative")
    if given.get("protocol") not in (None, "A", "B"):
        raise ValueError("protocol is neither A nor B")
    return TrainingData(**given)


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > 0


def _json(file: Path, where: str) -> dict[str, Any]:
    try:
        content = json.loads(_bytes(file, where))
    except (ValueError, RecursionError) as error:
        what = f"{file.name} is no JSON ({type(error).__name__})"
        raise DataProblem(Problem(where, what, _BOTH_FILES)) from error
    if not isinstance(content, dict):
        raise DataProblem(Problem(where, f"{file.name} holds no object in {{ }}", _BOTH_FILES))
    return content


def _earlier_scales(buffer: torch.Tensor | None) -> MapScales | None:
    """The buffer ``(3, 2)`` of the earlier format by name; None if it was never fitted."""
    if buffer is None or buffer.shape != (len(_EARLIER_EXPLANATIONS), len(CLASSES)) or not bool((buffer > 0).all()):
        return None
    rows = zip(_EARLIER_EXPLANATIONS, buffer.tolist(), strict=True)
    return {explanation: dict(zip(CLASSES, row, strict=True)) for explanation, row in rows}


def _earlier_training_data(path: Path, where: str) -> TrainingData:
    """From the ``provenance.json`` in the run's folder or beside the weights."""
    name = f"provenance{path.stem.removeprefix('model')}.json" if path.stem.startswith("model_") else "provenance.json"
    candidates = (path.parent.parent / name, path.parent / name)
    file = next((file for file in candidates if file.is_file()), None)
    if file is None:
        return TrainingData()
    provenance = _json(file, where)
    data = provenance.get("dataset") or {}
    try:
        return _training_data(
            {
                "name": data.get("name"),
                "synthetic": data.get("synthetic"),
                "lesions": data.get("training_lesions"),
                "patients": data.get("training_patients"),
                "protocol": provenance.get("protocol"),
                "fold": provenance.get("fold"),
            }
        )
    except (AttributeError, TypeError, ValueError) as error:
        what = f"{file.name} cannot be used ({error})"
        raise DataProblem(Problem(where, what, "use the one that the run wrote")) from error
