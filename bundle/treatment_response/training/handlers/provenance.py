"""What made a model: versions, settings, data."""

from __future__ import annotations

import json
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import Workflow
from torch import nn

from treatment_response import __version__
from treatment_response.cases.samples import Samples
from treatment_response.classes import RESPONSE, Classes
from treatment_response.cohort.case import case_name
from treatment_response.cohort.dataset import read_dataset
from treatment_response.cohort.splits import person_of
from treatment_response.cohort.words import words_of
from treatment_response.files import write_whole
from treatment_response.model_description import TrainingData
from treatment_response.protocols import protocol_of

PROTOCOL = "protocol.json"
_LIBRARIES = ("torch", "monai", "pytorch-ignite", "numpy", "scipy")


class Provenance:
    """Write ``provenance.json`` and ``protocol.json`` when a run starts. They hold no patient's id and no path.

    Args:
        output_dir: the run's folder.
        dataset_dir: the prepared data set, or None for samples that were handed over in memory.
        samples: the training samples.
        settings: every setting, ``seed``, ``protocol`` and ``fold`` among them; objects are described by their class
            and their plain attributes.
    """

    def __init__(self, output_dir: str, dataset_dir: str | None, samples: Samples, settings: dict[str, Any]) -> None:
        self.path = Path(output_dir) / "provenance.json"
        self.dataset_dir = dataset_dir
        self.samples = samples
        self.settings = settings

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Workflow) -> None:
        labels = {(row.subject, row.case): int(row.label or 0) for row in self.samples.rows}
        content = {
            "treatment_response": __version__,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
            "date": datetime.now(timezone.utc).date().isoformat(),
            "seed": self.settings["seed"],
            "protocol": self.settings["protocol"],
            "fold": self.settings["fold"],
            "dataset": {
                **_dataset(self.dataset_dir),
                "training_samples": len(self.samples),
                "training_lesions": len(labels),
                "training_patients": len({row.unit for row in self.samples.rows}),
                **_class_counts(self.samples.classes, list(labels.values())),
            },
            "device": str(engine.state.device),
            "threads": torch.get_num_threads(),
            "settings": describe(self.settings),
        }
        write_whole(self.path, json.dumps(content, indent=1) + "\n")
        protocol = protocol_of(self.settings["protocol"]).content(self.settings["fold"])
        write_whole(self.path.with_name(PROTOCOL), json.dumps(protocol, indent=1) + "\n")


def training_data(dataset_dir: str | None, samples: Samples, protocol: str, fold: int) -> TrainingData:
    """What ``model.json`` tells of the training data.

    Args:
        dataset_dir: the prepared data set, or None for samples that were handed over in memory.
        samples: the training samples. protocol, fold: which of them were held out.
    """
    dataset = _dataset(dataset_dir)
    return TrainingData(
        name=dataset["name"],
        synthetic=dataset.get("synthetic"),
        lesions=len({(row.subject, row.case) for row in samples.rows}),
        patients=len({row.unit for row in samples.rows}),
        protocol=protocol,
        fold=fold,
        cases=dataset.get("cases_are"),
        preparation=dataset.get("preparation"),
    )


def _dataset(dataset_dir: str | None) -> dict[str, Any]:
    if dataset_dir is None or not (Path(dataset_dir) / "dataset.json").is_file():
        return {"name": "in memory"}
    content = read_dataset(dataset_dir)
    return {
        "name": content["name"],
        "synthetic": content.get("synthetic"),
        **({"response_threshold": content["response_threshold"]} if "response_threshold" in content else {}),
        **({"preparation": str(content["preparation"])} if "preparation" in content else {}),
        **({"cases_are": words_of(content).cases} if "words" in content else {}),
        "lesions": len({(s["subject"], case_name(s)) for s in content["training"]}),
        "patients": len({person_of(sample) for sample in content["training"]}),
    }


def _class_counts(classes: Classes, labels: list[int]) -> dict[str, Any]:
    """How many training cases there are of each class; PULSAR's records count the responses alone."""
    if classes == RESPONSE:
        return {"training_responses": sum(labels)}
    return {"training_classes": {name: labels.count(number) for number, name in enumerate(classes.names)}}


def describe(value: Any) -> Any:
    """A setting as JSON: plain values as they are, objects as their class and plain attributes."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, torch.optim.Optimizer):
        return {"class": _class(value), **describe(value.defaults)}
    if isinstance(value, torch.device | torch.dtype | Path):
        return str(value)
    attributes = {
        name: item
        for name, item in vars(value).items()
        if not name.startswith("_") and isinstance(item, bool | int | float | str | tuple | list) and name != "training"
    }
    children = dict(value.named_children()) if isinstance(value, nn.Module) else {}
    return {"class": _class(value), **describe(attributes), **{name: describe(c) for name, c in children.items()}}


def _class(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
