"""From the autoencoder to the classifier."""

from __future__ import annotations

from ignite.engine import Engine, Events

from treatment_response.losses import SequentialLoss


class SwitchPhase:
    """Train the autoencoder for the first epochs, the classifier on its frozen code for the rest.

    Args:
        loss: the loss whose phase it sets.
        autoencoder_epochs: length of the first phase.
    """

    def __init__(self, loss: SequentialLoss, autoencoder_epochs: int) -> None:
        self.loss = loss
        self.autoencoder_epochs = autoencoder_epochs

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        self.loss.phase = "autoencoder" if engine.state.epoch <= self.autoencoder_epochs else "classifier"
