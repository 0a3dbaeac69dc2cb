"""Lesions of volumes in memory, answered as `inference.json` answers those of files."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from treatment_response.configs import read_configs
from treatment_response.explain.cam import VARIANTS
from treatment_response.explain.scale import fitted_scales
from treatment_response.explain.target import TargetClass
from treatment_response.geometry import Volume, above_zero
from treatment_response.inference.declared_inputs import declared_inputs
from treatment_response.inference.in_memory import as_loaded, problem_itself
from treatment_response.inference.lesions.answer import answer_of
from treatment_response.inference.lesions.inferer import SliceMaps
from treatment_response.inference.lesions.results import lesion_result
from treatment_response.inference.lesions.score import LesionScore
from treatment_response.inference.lesions.warnings import lesion_warnings, no_evidence, outside_head
from treatment_response.inference.model import describe_model
from treatment_response.notice import notice
from treatment_response.problems import DataProblem, Problem
from treatment_response.transforms.patch_to_volume import CellsToVolume

_INPUTS = {"image": {"find": "this series"}, "mask": {"find": "each outline"}}
"""Of a config from before configs declared them."""
NO_FILES = {
    f"{variant.name}/{target.label}/{kind}": ""
    for variant in VARIANTS
    for target in TargetClass
    for kind in ("raw", "scaled")
}


@dataclass
class Explained:
    """One lesion's prediction and its maps.

    Attributes:
        result: as :func:`~treatment_response.inference.lesions.results.lesion_result` gives it; no files are named.
        warnings: sentences on the lesion; those in ``result`` also name all maps without evidence.
        voxels: indices of the lesion's voxels, ``(N, 3)``.
        seconds: what ``preprocess`` and ``network`` (with the CAMs of all slices) took.
    """

    result: dict[str, Any]
    warnings: list[str]
    maps: SliceMaps
    to_volume: CellsToVolume
    voxels: np.ndarray
    seconds: dict[str, float] = field(default_factory=dict)

    def warnings_of(self, variant: str, target: str) -> list[str]:
        """Warnings for a reader who is shown one map: those on the lesion, and whether this map has no evidence."""
        return [*self.warnings, *no_evidence(self.maps, (variant, _class(target)))]

    def volume(self, variant: str, target: str, kind: str) -> np.ndarray:
        """A map on the MR's grid, ``(I, J, K)`` float32, 0 outside the lesion.

        Args:
            variant: ``gradcam``, ``gradcampp`` or ``pixelwise``.
            target: the class that is explained, ``response`` or ``non-response``.
            kind: ``raw`` (units of the logit) or ``scaled`` (share of the stored constant, in [0, 1]).
        """
        family = {"raw": self.maps.raw, "scaled": self.maps.scaled}[kind]
        return self.to_volume(family[variant, _class(target)].numpy())


class Explainer:
    """The bundle's model and transforms, built once from `inference.json`.

    Network, preprocessing, inferer, threshold and pixel are the config's. May be called from several threads; the
    network runs for one of them at a time.

    Args:
        configs: others than the bundle's `inference.json`; later ones go on top of earlier ones.
        model_path: other weights than the config's.
        keep: prepared MRs that are kept in memory (float32, so a 176 × 256 × 256 MR takes 46 MB).

    Attributes:
        title: what the model is called. long_work: whether a request should be a job.
        inputs: the volumes that it needs, by their names in a case.
        model: where the weights come from, see :func:`~treatment_response.inference.model.describe_model`.
        notice: what stands on every answer.
        threshold: P(response) from which the class is ``response``.
        score: which slices a lesion's probability comes from.
        map_scales: constants of the scaled maps.
        model_path: the weights' file.

    Raises:
        DataProblem: the config or the weights are missing, the weights do not fit or hold anything but tensors.
    """

    def __init__(self, configs: Sequence[Path] = (), model_path: Path | None = None, keep: int = 3) -> None:
        parser = read_configs([str(config) for config in configs] or ["inference.json"], "config")
        if model_path is not None:
            parser["model_path"] = str(model_path)
        self._preprocessing = parser.get_parsed_content("preprocessing")
        self._preprocessing.keep = keep
        self._device = parser.get_parsed_content("device")
        self.title = str(parser.get("title", "The given network"))
        self.inputs = declared_inputs(parser.get("inputs", _INPUTS))
        self.long_work = bool(parser.get("long_work", False))
        self.threshold = float(parser.get_parsed_content("threshold"))
        self.score = LesionScore(parser.get_parsed_content("score"))
        self._pixel = float(parser.get_parsed_content("pixel"))
        self.model_path = Path(parser.get_parsed_content("model_path"))
        with problem_itself():
            weights = parser.get_parsed_content("weights")
            self._network = parser.get_parsed_content("network")
            self._inferer = parser.get_parsed_content("inferer")
        self.model = describe_model(weights)
        self.notice = notice(self.model)
        self.map_scales = fitted_scales(weights.map_scales)
        self._certainty = weights.certainty
        self._lock = threading.Lock()

    @property
    def model_files(self) -> tuple[Path, ...]:
        """The weights' files."""
        return (self.model_path,)

    def scale_of(self, variant: str, target: TargetClass) -> float:
        """The stored constant of one map, in units of the logit."""
        return float(self.map_scales[variant][target.label])

    def explain(
        self, image: Volume, mask: np.ndarray, *, key: str, name: str, contrast_named: bool, session: str = "ses-01"
    ) -> Explained:
        """Predict one lesion and explain the prediction.

        Args:
            image: the MR.
            mask: the lesion on the MR's grid, ``(I, J, K)``; voxels above 0 belong to it.
            key: of the MR; its scaling is kept under it, so it changes when the MR changes.
            name: how to call the lesion in problems, such as its ROI's name.
            contrast_named: whether it is known that contrast was given.
            session: ``ses-01`` unless it is known that the MR is of another time than before treatment.

        Raises:
            DataProblem: the mask is empty, on another grid or mostly outside the head, the image is constant or not
                finite.
        """
        started = time.perf_counter()
        case = {
            "mask": as_loaded(above_zero(mask), image.affine),
            "key": key,
            **{"subject": name, "session": session, "lesion": "", "fold": None, "dataset": None},
            "contrast_named": contrast_named,
        }
        with self._lock:
            # A prepared MR is not looked at again, so it need not be copied.
            case["image"] = None if self._preprocessing.keeps(key) else as_loaded(image.array, image.affine, np.float32)
            lesion = self._preprocessing(case)
            if outside := outside_head(lesion):
                raise DataProblem(Problem(name, outside[0].rstrip("."), "outline the lesion on this MR"))
            prepared = time.perf_counter()
            slices = lesion["image"].to(self._device)
            maps = self._inferer(slices, self._network, scored=self.score.places(lesion))
            done = time.perf_counter()
        answer = answer_of(lesion, maps, self.score, self._certainty, self.threshold)
        warnings = lesion_warnings(lesion, maps, answer, self.score, self.model, self._pixel, self.threshold)
        every = [*warnings, *no_evidence(maps)]
        return Explained(
            result=lesion_result(lesion, maps, answer, self.score, self.threshold, every, NO_FILES),
            warnings=warnings,
            maps=maps,
            to_volume=CellsToVolume(
                lesion["affine"], lesion["voxels"], lesion["mr_shape"], lesion["mr_affine"], lesion["image"].shape[-1]
            ),
            voxels=lesion["voxels"],
            seconds={"preprocess": prepared - started, "network": done - prepared},
        )


def _class(label: str) -> TargetClass:
    (of,) = (known for known in TargetClass if known.label == label)
    return of
