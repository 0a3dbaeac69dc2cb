"""What a network sees and makes of the lesions that it may explain, stored with its scores."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from ignite.engine import Events
from monai.engines import Workflow

from treatment_response.cases.areas import lesion_areas
from treatment_response.cases.samples import MRI1, Samples
from treatment_response.evaluation.lesion_views import lesion_views
from treatment_response.evaluation.views import LESION_VIEWS, write_views
from treatment_response.problems import DataProblem
from treatment_response.weights import read_weights


class WriteLesionViews:
    """Write ``lesion_views.npz`` when an evaluation ends: all that the report draws of single lesions.

    It holds MRI 1 of the held-out lesions with a label; under protocol A, which holds none out, of all. Where every
    slice of a lesion is a sample, it is the one with the largest GTV area. Weights whose maps have no scale get none,
    and networks without cells of a lesion (``encode``) have no such views.

    Args:
        output_dir: the run's folder. network: with the weights that lie there.
        samples: of the data set, MRI 1 among them. protocol, fold: of the training.
    """

    def __init__(self, output_dir: str, network: torch.nn.Module, samples: Samples, protocol: str, fold: int) -> None:
        self.output_dir = Path(output_dir)
        self.network = network
        self.samples = samples
        self.protocol = protocol
        self.fold = fold

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        path = self.output_dir / LESION_VIEWS
        path.unlink(missing_ok=True)
        if not hasattr(self.network, "encode"):
            return
        chosen = _largest_slices(
            self.samples.where(
                lambda row: (
                    row.label is not None
                    and row.session == MRI1
                    and row.angle == 0
                    and (self.protocol == "A" or row.fold == self.fold)
                )
            )
        )
        scales = read_weights(self.output_dir / "models" / "model.pt", "--output_dir").map_scales
        try:
            views = lesion_views(self.network, scales, chosen)
        except DataProblem as problem:
            logging.getLogger(__name__).warning("No maps were stored for the report: %s", problem)
            return
        if views:
            write_views(path, views)


def _largest_slices(samples: Samples) -> Samples:
    """One sample per lesion: the one with the largest GTV area."""
    areas = lesion_areas(samples.image, [row.pixel for row in samples.rows])
    best: dict[tuple[str, str], int] = {}
    for index, row in enumerate(samples.rows):
        key = (row.subject, row.case)
        if key not in best or areas[index] > areas[best[key]]:
            best[key] = index
    indices = sorted(best.values())
    return Samples(samples.image[indices], [samples.rows[index] for index in indices], samples.classes)
