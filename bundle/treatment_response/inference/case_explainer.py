"""Cases of volumes in memory, answered for any system as `inference.json` with its overlay answers those of files."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser

from treatment_response.configs import read_configs
from treatment_response.explain.scale import fitted_scales, without_scale
from treatment_response.geometry import Volume
from treatment_response.inference.case_answer import case_answer, case_result, no_evidence, no_scale
from treatment_response.inference.case_maps import CaseMaps, MapInferer
from treatment_response.inference.case_preprocessing import CasePreprocessing
from treatment_response.inference.case_writer import WriteCases
from treatment_response.inference.declared_inputs import DeclaredInput, declared_inputs
from treatment_response.inference.in_memory import as_loaded, problem_itself
from treatment_response.inference.model import describe_model, drawn_names
from treatment_response.notice import notice
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell
from treatment_response.transforms.grid_to_volume import GridToVolume

_REMEDY = "see docs/how-to/serve-a-system.md"


@dataclass(frozen=True)
class ExplainedCase:
    """One case's prediction and its maps.

    Attributes:
        result: as :func:`~treatment_response.inference.case_answer.case_result` gives it.
        seconds: what ``preprocess`` and ``network`` (with all maps) took.
        remarks: sentences on the model that go with every answer.
    """

    result: dict[str, Any]
    maps: CaseMaps
    to_volume: GridToVolume
    seconds: dict[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def volume(self, explanation: str, shown: str, kind: str) -> np.ndarray:
        """A map on the grid of the image that maps come back to, ``(I, J, K)`` float32, 0 outside the network's input.

        Args:
            explanation: its name. shown: the class that it explains.
            kind: ``raw`` (units of the class's score) or ``scaled`` (share of the stored constant, in [0, 1]).
        """
        family = {"raw": self.maps.raw, "scaled": self.maps.scaled}[kind]
        return self.to_volume(family[explanation, shown][0].float().numpy())

    def warnings_of(self, explanation: str, shown: str) -> list[str]:
        """Whether this map has no evidence, and which explanations have no map, a sentence each."""
        return [*no_evidence(self.maps, (explanation, shown)), *self.remarks]


class CaseExplainer:
    """A system's model and transforms, built once from `inference.json` and the system's overlay.

    May be called from several threads; the network runs for one of them at a time.

    Args:
        configs: `inference.json` first, later ones on top.
        model_path: other weights than the config's; several are an ensemble.

    Attributes:
        title: what the model is called. long_work: whether a request should be a job.
        clinical: names of the facts of the patient that it takes beside images, each a text or number; 0 is unknown.
        rule: name of the response criteria whose answer stands beside the model's; None for no such rule.
        inputs: the volumes that it needs, by their names in a case, in the config's order.
        sheet: which sheet of measured facts goes with its answers, a name that the server knows; None if there is none.
        map_input: the name of the volume on whose grid maps lie.
        classes, explanations: names; explanations whose scale could not be fitted are left out.
        model: where the weights come from, see :func:`~treatment_response.inference.model.describe_model`.
        notice: what stands on every answer; it ends with the config's ``caution``.
        map_scales: constants of the scaled maps.
        model_files: the weights' files.

    Raises:
        DataProblem: the config or the weights are missing, do not fit or are of another kind of system.
    """

    def __init__(self, configs: Sequence[Path], model_path: Path | Sequence[Path] | None = None) -> None:
        parser = read_configs([str(config) for config in configs], "config")
        if model_path is not None:
            parser["model_path"] = str(model_path) if isinstance(model_path, Path) else [str(one) for one in model_path]
        self.title = _text(parser, "title")
        self.long_work = _flag(parser, "long_work")
        self.rule = None if parser["rule"] is None else _text(parser, "rule")
        self.clinical = _names(parser, "clinical")
        caution = None if parser["caution"] is None else _text(parser, "caution")
        self.inputs: dict[str, DeclaredInput] = declared_inputs(parser["inputs"])
        self.sheet = None if parser["sheet"] is None else _text(parser, "sheet")
        with problem_itself():
            weights = parser.get_parsed_content("weights")
            self._network = parser.get_parsed_content("network")
            self._inferer = _of_kind(parser, "inferer", MapInferer)
            self._preprocessing = _of_kind(parser, "preprocessing", CasePreprocessing)
            self._decision = _of_kind(parser, "writer", WriteCases).decision
        self._device = parser.get_parsed_content("device")
        paths = parser.get_parsed_content("model_path")
        self.model_files = tuple(Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths))
        self.map_input = self._preprocessing.map_image or next(iter(self.inputs))
        self.classes = weights.classes
        self.explanations = drawn_names(self._inferer.explanation, weights)
        if not self.explanations:
            what = f"{weights.file} has no scale for any map ({', '.join(without_scale(weights.map_scales))})"
            raise DataProblem(Problem("the model", what, "train longer: no explanation finds anything in its cases"))
        self.model = describe_model(weights)
        self.notice = " ".join(filter(None, (notice(self.model), caution)))
        self.map_scales = fitted_scales(weights.map_scales, self.explanations, self.classes.names)
        self._no_scale = no_scale(weights.map_scales)
        self._certainty = weights.certainty
        self._lock = threading.Lock()

    def explain(
        self,
        volumes: Mapping[str, Volume],
        *,
        name: str,
        onto: tuple[Volume, np.ndarray] | None = None,
        clinical: Mapping[str, str] | None = None,
        explanation: str | None = None,
    ) -> ExplainedCase:
        """Predict one case and explain the prediction.

        Args:
            volumes: one for each of `inputs`, each on its own grid.
            name: how to call the case in problems.
            onto: where maps come back to if not to the grid of `map_input`: an image, and ``(4, 4)`` RAS mm of the
                volumes → RAS mm of that image.
            clinical: what is known of the patient, some of `clinical`; the transforms find it under that name.
            explanation: the only one of `explanations` that is wanted, because some take long; all by default.

        Raises:
            DataProblem: a volume is missing, or the transforms cannot use them.
        """
        if absent := [wanted for wanted in self.inputs if wanted not in volumes]:
            raise DataProblem(
                Problem(name, f"it lacks {', '.join(absent)}", "give all volumes that the model declares")
            )
        started = time.perf_counter()
        images = {
            wanted: as_loaded(volumes[wanted].array, volumes[wanted].affine, np.float32) for wanted in self.inputs
        }
        facts: dict[str, Any] = {
            "subject": name,
            "session": "",
            "lesion": "",
            "fold": None,
            "dataset": None,
            "contrast_named": True,
        }
        if self.clinical:
            facts["clinical"] = dict(clinical or {})
        with self._lock:
            tell("preparing the images", 0)
            case = self._preprocessing({**images, **facts, "images": dict.fromkeys(images, "")})
            prepared = time.perf_counter()
            tell("predicting", 0)
            only = None if explanation is None else (explanation,)
            maps: CaseMaps = self._inferer(case["image"].to(self._device), self._network, only=only)
            done = time.perf_counter()
        answer = case_answer(maps, self.classes, self._certainty, self._decision)
        place, affine, shape = case["affine"], case["mr_affine"], case["mr_shape"]
        if onto is not None:
            grid, matrix = onto
            place, affine, shape = matrix @ place, grid.affine, grid.array.shape
        return ExplainedCase(
            result=case_result(maps, answer, self.classes, self._decision),
            maps=maps,
            to_volume=GridToVolume(place, case["image"].shape[2:], affine, shape),
            seconds={"preprocess": prepared - started, "network": done - prepared},
            remarks=tuple(self._no_scale),
        )


def _text(parser: ConfigParser, name: str) -> str:
    value = parser[name]
    if not isinstance(value, str) or not value.strip():
        raise DataProblem(Problem("config", f"'{name}' is no text", _REMEDY))
    return value.strip()


def _flag(parser: ConfigParser, name: str) -> bool:
    value = parser[name]
    if not isinstance(value, bool):
        raise DataProblem(Problem("config", f"'{name}' is not true or false", _REMEDY))
    return value


def _names(parser: ConfigParser, name: str) -> tuple[str, ...]:
    value = parser[name]
    if not isinstance(value, list) or not all(isinstance(one, str) and one.isidentifier() for one in value):
        raise DataProblem(Problem("config", f"'{name}' is no list of names", _REMEDY))
    return tuple(value)


def _of_kind(parser: ConfigParser, name: str, kind: type) -> Any:
    """A part of the config, which must be one that answers case by case."""
    part = parser.get_parsed_content(name)
    if not isinstance(part, kind):
        what = f"'{name}' is a {type(part).__name__}, expected a {kind.__name__}, which answers case by case"
        raise DataProblem(Problem("config", what, _REMEDY))
    return part
