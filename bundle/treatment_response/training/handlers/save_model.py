"""The trained model, written when training ends."""

from __future__ import annotations

import logging
from pathlib import Path

from ignite.engine import Events
from monai.engines import Workflow
from torch import nn

from treatment_response.cases.explanations import Explanations
from treatment_response.cases.samples import Samples
from treatment_response.explain.scale import without_scale
from treatment_response.model_description import MapScales
from treatment_response.problems import DataProblem
from treatment_response.training.handlers.provenance import training_data
from treatment_response.weights import write_weights


class SaveModel:
    """Write ``models/model.pt`` and ``models/model.json`` after the last epoch, whose weights are the model.

    The scale of the maps is fitted on the training cases as they are (no turned copies). A network whose decision
    depends on nothing that an explanation looks at (a run of very few epochs can end so) gets none for it: it can be
    scored and predicts, and inference says that this explanation has no map. Explanations that stand together
    (`CellCams`) have a scale together, and inference refuses a model without it.

    Args:
        output_dir: the run's folder.
        network: the network that is trained.
        dataset_dir: the prepared data set, or None for samples that were handed over in memory.
        samples: the training samples.
        protocol, fold: which of them were held out.
        explanation: whose scale is fitted; None: none is, and the model gives no maps.
    """

    def __init__(
        self,
        output_dir: str,
        network: nn.Module,
        dataset_dir: str | None,
        samples: Samples,
        protocol: str,
        fold: int,
        explanation: Explanations | None,
    ) -> None:
        self.path = Path(output_dir) / "models" / "model.pt"
        self.network = network
        self.dataset_dir = dataset_dir
        self.samples = samples
        self.protocol = protocol
        self.fold = fold
        self.explanation = explanation

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        facts = training_data(self.dataset_dir, self.samples, self.protocol, self.fold)
        write_weights(self.path, self.network, self._map_scales(engine), facts, self.samples.classes)

    def _map_scales(self, engine: Workflow) -> MapScales | None:
        if self.explanation is None:
            return None
        plain = self.samples.where(lambda row: row.angle == 0)
        self.network.eval()
        logger = logging.getLogger(__name__)
        try:
            scales = self.explanation.fit_scales(self.network, plain, engine.state.device)
        except DataProblem as problem:
            logger.warning("The scale of the maps was not fitted: %s", problem)
            return None
        for name in without_scale(scales):
            logger.warning("The scale of %s was not fitted: it finds nothing in any training case.", name)
        return scales
