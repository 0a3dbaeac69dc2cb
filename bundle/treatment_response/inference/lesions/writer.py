"""Writes the inference folder of lesions: their maps, and the two tables."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from monai.utils import CommonKeys

from treatment_response.explain.scale import fitted_scales
from treatment_response.inference.lesions.answer import answer_of
from treatment_response.inference.lesions.inferer import SliceMaps
from treatment_response.inference.lesions.results import DETAILS, lesion_result, write_tables
from treatment_response.inference.lesions.score import LesionScore
from treatment_response.inference.lesions.warnings import lesion_warnings, no_evidence, outside_head
from treatment_response.inference.writer import WriteFolder
from treatment_response.transforms.patch_to_volume import CellsToVolume
from treatment_response.weights import Weights


class WriteLesions(WriteFolder):
    """Handler of the evaluator: per lesion its twelve maps on the MR's own grid, at the end the two tables.

    Args:
        output_dir, weights: see `WriteFolder`.
        threshold: P(response) from which a lesion's class is ``response``.
        pixel: mm of the patch's pixels when a lesion fits.
        score: which slices a lesion's probability comes from, see `LesionScore`.

    Raises:
        ValueError: a threshold or score that is none.
    """

    details = DETAILS

    def __init__(
        self,
        output_dir: str,
        weights: Weights,
        threshold: float = 0.5,
        pixel: float = 0.5,
        score: str = LesionScore.LARGEST,
    ) -> None:
        super().__init__(output_dir, weights)
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must be in (0, 1), got {threshold}.")
        self.threshold = threshold
        self.pixel = pixel
        self.score = LesionScore(score)

    def write_case(self, engine: Engine) -> None:
        case: Any = engine.state.batch
        output: Any = engine.state.output
        maps: SliceMaps = output[CommonKeys.PRED]
        files = self._write(case, maps)
        answer = answer_of(case, maps, self.score, self.weights.certainty, self.threshold)
        on_lesion = lesion_warnings(case, maps, answer, self.score, self.model, self.pixel, self.threshold)
        warnings = [*outside_head(case), *on_lesion, *no_evidence(maps)]
        self.results.append(lesion_result(case, maps, answer, self.score, self.threshold, warnings, files))

    def write_tables(self) -> None:
        write_tables(self.partial, self.results, self.model, self.threshold, fitted_scales(self.weights.map_scales))

    def _write(self, case: dict[str, Any], maps: SliceMaps) -> dict[str, str]:
        """Write a lesion's maps; returns their paths relative to the folder by ``variant/class/raw|scaled``."""
        stem = f"{case['subject']}/{case['session']}/{case['subject']}_{case['session']}_label-{case['lesion']}"
        jobs = {
            f"{variant}/{target.label}/{kind}": (
                f"{stem}_cam-{variant}_class-{target.label.replace('-', '')}_{kind}.nii.gz",
                cells.numpy(),
            )
            for kind, family in (("raw", maps.raw), ("scaled", maps.scaled))
            for (variant, target), cells in family.items()
        }
        to_volume = CellsToVolume(
            case["affine"], case["voxels"], case["mr_shape"], case["mr_affine"], case["image"].shape[-1]
        )
        self.write_maps(list(jobs.values()), to_volume, case["mr_affine"])
        return {key: path for key, (path, _) in jobs.items()}
