"""The constant that makes CAMs comparable between patients, fitted when training ends."""

from __future__ import annotations

import logging

from ignite.engine import Events
from monai.engines import Workflow
from torch import nn

from treatment_response.explain.scale import fit_cam_scale
from treatment_response.problems import DataProblem
from treatment_response.training.samples import Samples


class FitCamScale:
    """Fit ``network.cam_scale`` on the training lesions as they are (no turned copies) after the last epoch.

    Attach it before the handler that saves the weights. A network whose decision depends on no cell of the lesion (a
    run of very few epochs can end so) keeps the constant 0, which inference refuses with its own message.

    Args:
        network: the network that is trained.
        samples: the training samples.
    """

    def __init__(self, network: nn.Module, samples: Samples) -> None:
        self.network = network
        self.samples = samples

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        plain = self.samples.where(lambda row: row.angle == 0)
        self.network.eval()
        try:
            fit_cam_scale(self.network, plain.image.to(engine.state.device))
        except DataProblem as problem:
            self.network.cam_scale.zero_()
            logging.getLogger(__name__).warning("The CAM scale was not fitted: %s", problem)
