"""Weights and what belongs to them: ``model.pt``, a plain state dictionary, and ``model.json`` beside it.

The description beside the weights: `treatment_response.model_description`.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from treatment_response.certainty import Certainty
from treatment_response.classes import CLASS_NAMES, RESPONSE, Classes
from treatment_response.files import read_at_most, write_whole
from treatment_response.fold_models import fold_models_of, write_fold_model
from treatment_response.model_description import (
    BOTH_FILES,
    ENSEMBLE,
    FOLD_ENTRIES,
    MapScales,
    TrainingData,
    certainty_of,
    is_scale,
    read_description,
    read_object,
    training_data_of,
)
from treatment_response.problems import DataProblem, Problem

_OTHER_FILE = "use a model.pt that a training run wrote"
_EARLIER_SCALES = "cam_scale"
_LARGEST_WEIGHTS = 1 << 30
"""Bytes of a ``model.pt``; larger ones are not read."""
_NUMBER_TYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64} | {
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
}
logger = logging.getLogger(__name__)

_EARLIER_EXPLANATIONS = ("gradcam", "gradcampp", "pixelwise")
"""The rows of earlier files' scales."""


@dataclass(frozen=True)
class Weights:
    """Weights as they were read, with what their ``model.json`` says.

    Attributes:
        file: name of the weights' file, for messages.
        sha256: of the file's bytes.
        state: name → tensor, on the CPU, all finite.
        classes: what its outputs are of.
        map_scales: explanation → class → constant of its maps; None for an explanation whose constants could not be
            fitted, or if none ever were.
        training_data: what trained.
        folds: the fold models' weights, as `state`; empty if there are none.
        certainty: what belongs to them; None if there are none.
        ensemble: whether the folds are the members of an ensemble, whose mean is what a map explains.
    """

    file: str
    sha256: str
    state: dict[str, torch.Tensor]
    classes: Classes
    map_scales: MapScales | None
    training_data: TrainingData
    folds: tuple[dict[str, torch.Tensor], ...] = ()
    certainty: Certainty | None = None
    ensemble: bool = False


def description_of(path: Path) -> Path:
    """Where the ``model.json`` of a ``model.pt`` lies: beside it, under the same stem."""
    return path.with_suffix(".json")


def write_weights(
    path: Path,
    network: torch.nn.Module,
    map_scales: MapScales | None,
    training_data: TrainingData,
    classes: Classes = RESPONSE,
) -> None:
    """Write ``model.pt`` and ``model.json`` so that a kill at any moment leaves the earlier pair or the new one.

    Args:
        path: of ``model.pt``. network: its state is written.
        map_scales: of its maps; None if they could not be fitted.
        training_data: what trained.
        classes: what its outputs are of.
    """
    content = {
        "sha256": None,
        "classes": {"names": list(CLASS_NAMES)} if classes == RESPONSE else classes.content(),
        "map_scales": map_scales,
        "calibration": None,
        "training_data": asdict(training_data),
    }
    write_pair(path, _packed(network.state_dict()), content)


def add_fold_models(path: Path, states: Sequence[Mapping[str, torch.Tensor]], certainty: Certainty) -> None:
    """Give the single network of a ``model.pt`` its fold models, in place of those that it had.

    Args:
        path: of ``model.pt``; its weights and the rest of its description stay.
        states: of the fold models, in the order of the folds of `certainty`.
        certainty: what belongs to them.

    Raises:
        DataProblem: `path` is no pair that belongs together.
    """
    weights = read_at_most(path, path.name, _LARGEST_WEIGHTS)
    _, content = _fitting(_descriptions(path), hashlib.sha256(weights).hexdigest(), path.name, path.name)
    write_pair(path, weights, {**content, **certainty.content()}, [_packed(state) for state in states])


def write_pair(path: Path, weights: bytes, content: Mapping[str, Any], folds: Sequence[bytes] = ()) -> None:
    """Put a ``model.pt`` and its ``model.json`` in place of the earlier pair; ``sha256`` is that of `weights`.

    The new description waits under the name ``model.next.json``, which counts if it is the one that fits the weights.
    So the pair changes in one moment, when the weights take their name. No fold model of the earlier pair is
    overwritten.

    Args:
        path: of ``model.pt``. weights: its bytes.
        content: of ``model.json``; the SHA-256 of the files is put in.
        folds: bytes of the fold models, which come to lie beside it. Without them what `content` says of fold models is
            left out: it is of other weights.
    """
    description, coming = description_of(path), _coming(path)
    whole = {**content, "sha256": hashlib.sha256(weights).hexdigest()}
    if folds:
        whole["fold_models"] = [write_fold_model(path, number, fold) for number, fold in enumerate(folds)]
    else:
        alone = {name: entry for name, entry in whole.items() if name not in (*FOLD_ENTRIES, ENSEMBLE)}
        whole = {**alone, "calibration": None}
    write_whole(coming, json.dumps(whole, indent=1) + "\n")
    write_whole(path, weights)
    coming.replace(description)


def _packed(state: Mapping[str, torch.Tensor]) -> bytes:
    """A plain state dictionary as the bytes of a ``.pt`` file."""
    buffer = io.BytesIO()
    torch.save({name: tensor.detach().cpu().clone() for name, tensor in state.items()}, buffer)
    return buffer.getvalue()


def copy_pair(source: Path, target: Path) -> None:
    """Put a copy of a pair and its fold models in the place of another pair, as `write_pair` does.

    Raises:
        DataProblem: the source is no pair that belongs together.
        OSError: a file cannot be written.
    """
    where = f"the copy of {source.name}"
    weights = read_at_most(source, where, _LARGEST_WEIGHTS)
    name, content = _fitting(_descriptions(source), hashlib.sha256(weights).hexdigest(), source.name, where)
    write_pair(target, weights, content, list(fold_models_of(content, source, name, where).values()))


def read_weights(model_path: str | Path, where: str = "--model_path") -> Weights:
    """Read weights without running code, and what belongs to them.

    Files of the earlier format, ``{"model": state dict}`` with ``cam_scale`` among the weights and ``provenance.json``
    beside them or in the run's folder, are read too; the log says so.

    Args:
        model_path: of ``model.pt``.
        where: what the user should look at if something is wrong with it.

    Raises:
        DataProblem: a file is missing or is no such file, they do not belong together, or a weight is not finite.
    """
    path = Path(model_path)
    if not path.is_file():
        remedy = "train a model first, or name its weights (--model_path RUN/models/model.pt)"
        raise DataProblem(Problem(where, f"there is no file {path.name}", remedy))
    weights = read_at_most(path, where, _LARGEST_WEIGHTS)
    sha256 = hashlib.sha256(weights).hexdigest()
    content = _unpickled(weights, path.name, where)
    earlier = set(content) == {"model"} and isinstance(content["model"], dict)
    if earlier and not _descriptions(path):
        logger.warning(
            "%s has the earlier format, which MONAI's own loader cannot read; training again writes the present one.",
            path.name,
        )
        state = plain_tensors(content["model"], path.name, where)
        scales = _earlier_scales(state.pop(_EARLIER_SCALES, None))
        return Weights(path.name, sha256, state, RESPONSE, scales, _earlier_training_data(path, where))
    name, description = _fitting(_descriptions(path), sha256, path.name, where)
    classes, scales, training_data = read_description(description, name, where)
    if earlier:
        what = f"{path.name} has the earlier format, which holds everything itself, but {description_of(path).name}"
        raise DataProblem(Problem(where, f"{what} lies beside it", "take the weights of one run"))
    certainty = certainty_of(description, classes, name, where)
    files = fold_models_of(description, path, name, where)
    if len(files) != (len(certainty.conformal.folds) if certainty else 0):
        what = f"{name}: its fold models are not as many as the folds of its conformal scores"
        raise DataProblem(Problem(where, what, BOTH_FILES))
    folds = tuple(plain_tensors(_unpickled(fold, file, where), file, where) for file, fold in files.items())
    state = plain_tensors(content, path.name, where)
    ensemble = description.get(ENSEMBLE) is True
    return Weights(path.name, sha256, state, classes, scales, training_data, folds, certainty, ensemble)


def load_into(network: torch.nn.Module, weights: Weights, where: str = "--model_path") -> None:
    """Put weights into a network that has exactly these names, shapes and number types.

    Raises:
        DataProblem: they do not fit.
    """
    load_state(network, weights.state, weights.file, where)


def read_checkpoint(path: Path, where: str) -> dict[str, Any]:
    """What a run's ``checkpoint.pt`` holds, read without running code.

    Args:
        path: of the file.
        where: what the user should look at if something is wrong with it.

    Raises:
        DataProblem: it cannot be read as a dictionary.
    """
    return _unpickled(read_at_most(path, where, _LARGEST_WEIGHTS), path.name, where)


def load_state(network: torch.nn.Module, state: Mapping[str, torch.Tensor], file: str, where: str) -> None:
    """Put tensors into a network that has exactly these names, shapes and number types.

    Args:
        network: takes them.
        state: name → tensor.
        file: that they are from, for messages. where: what the user should look at if they do not fit.

    Raises:
        DataProblem: they do not fit.
    """
    own = network.state_dict()
    faults = [f"it lacks {name!r}" for name in own if name not in state]
    faults += [f"it has {name[:60]!r} too many" for name in state if name not in own]
    for name, tensor in state.items():
        if name in own and (tensor.shape != own[name].shape or tensor.dtype != own[name].dtype):
            held, wanted = (f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in (tensor, own[name]))
            faults.append(f"{name!r} is {held}, not {wanted}")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        what = f"the weights in {file} do not fit the network of the config ({', '.join(faults[:3])}{more})"
        raise DataProblem(Problem(where, what, "use the config that the weights were trained with"))
    network.load_state_dict(dict(state))


def without_scales(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint; earlier ones hold the maps' scale among them."""
    return {name: tensor for name, tensor in state.items() if name != _EARLIER_SCALES}


def _coming(path: Path) -> Path:
    return path.with_suffix(".next.json")


def _descriptions(path: Path) -> list[Path]:
    return [file for file in (description_of(path), _coming(path)) if file.is_file()]


def _unpickled(weights: bytes, name: str, where: str) -> dict[str, Any]:
    try:
        _refuse_inflating(weights)
        content = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except Exception as error:  # a file from outside can make it fail in any way
        what = f"{name}: cannot be read as weights ({type(error).__name__})"
        raise DataProblem(Problem(where, what, _OTHER_FILE)) from error
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        raise DataProblem(Problem(where, f"{name} holds no dictionary of named weights", _OTHER_FILE))
    return content


def _refuse_inflating(weights: bytes) -> None:
    """Torch stores tensors as they are; an archive that holds more than its own size is a bomb.

    Raises:
        ValueError: it is one.
    """
    if not weights.startswith(b"PK"):  # files of old versions of torch are no archives
        return
    with zipfile.ZipFile(io.BytesIO(weights)) as archive:
        if sum(record.file_size for record in archive.infolist()) > len(weights):
            raise ValueError("its records inflate")


def plain_tensors(state: Any, name: str, where: str) -> dict[str, torch.Tensor]:
    """Check that weights are named tensors of finite numbers on the CPU, each with all its numbers in the file.

    Args:
        state: what should be name → tensor.
        name: of the file that it is from, for messages. where: what the user should look at if it is not.

    Raises:
        DataProblem: it is not.
    """
    if not isinstance(state, dict) or not state or not all(isinstance(key, str) for key in state):
        raise DataProblem(Problem(where, f"{name} holds no dictionary of named weights", _OTHER_FILE))
    for key, tensor in state.items():
        if not _is_plain(tensor):
            raise DataProblem(Problem(where, f"{name}: {key[:60]!r} is no plain tensor", _OTHER_FILE))
        if not bool(torch.isfinite(tensor).all()):
            raise DataProblem(Problem(where, f"{name}: {key[:60]!r} holds a number that is not finite", _OTHER_FILE))
    return dict(state)


def _is_plain(tensor: Any) -> bool:
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.dtype not in _NUMBER_TYPES:
        return False
    if tensor.layout is not torch.strided or tensor.is_nested or tensor.device.type != "cpu":
        return False
    # Expanded, one stored number would become any number of them.
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _fitting(files: list[Path], sha256: str, weights: str, where: str) -> tuple[str, dict[str, Any]]:
    """Name and content of the description of these weights; one of other weights is refused."""
    if not files:
        what = f"{Path(weights).stem}.json, which tells its classes and the scale of its maps, is not beside it"
        raise DataProblem(Problem(where, f"{weights}: {what}", BOTH_FILES))
    contents = {file.name: read_object(file, where) for file in files}
    for name, content in contents.items():
        if content.get("sha256") == sha256:
            return name, content
    what = f"{files[0].name} was written for other weights than those in {weights} (their SHA-256 differs)"
    raise DataProblem(Problem(where, what, BOTH_FILES))


def _earlier_scales(buffer: torch.Tensor | None) -> MapScales | None:
    """The buffer ``(3, 2)`` of the earlier format by name; None if it was never fitted."""
    if buffer is None or buffer.shape != (len(_EARLIER_EXPLANATIONS), len(CLASS_NAMES)):
        return None
    if not all(map(is_scale, buffer.flatten().tolist())):
        return None
    rows = zip(_EARLIER_EXPLANATIONS, buffer.tolist(), strict=True)
    return {explanation: dict(zip(CLASS_NAMES, row, strict=True)) for explanation, row in rows}


def _earlier_training_data(path: Path, where: str) -> TrainingData:
    """From the ``provenance.json`` in the run's folder or beside the weights."""
    name = f"provenance{path.stem.removeprefix('model')}.json" if path.stem.startswith("model_") else "provenance.json"
    candidates = (path.parent.parent / name, path.parent / name)
    file = next((file for file in candidates if file.is_file()), None)
    if file is None:
        return TrainingData()
    provenance = read_object(file, where)
    data = provenance.get("dataset") or {}
    try:
        return training_data_of(
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
