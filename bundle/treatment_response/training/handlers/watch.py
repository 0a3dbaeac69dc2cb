"""The watched samples' metrics beside the training metrics."""

from __future__ import annotations

from ignite.engine import Engine, Events


class WatchHeldOut:
    """Put the evaluator's metrics, with a prefix, into the trainer's, for the handlers that come after.

    Attach it after MONAI's ``ValidationHandler``. In epochs without a validation nothing is added.

    Args:
        validator: the evaluator that the ``ValidationHandler`` runs.
        interval: the ``ValidationHandler``'s interval in epochs.
        prefix: put before each name.
    """

    def __init__(self, validator: Engine, interval: int = 1, prefix: str = "heldout_") -> None:
        self.validator = validator
        self.interval = interval
        self.prefix = prefix

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        metrics = engine.state.metrics
        for name in [name for name in metrics if name.startswith(self.prefix)]:
            del metrics[name]
        if engine.state.epoch % self.interval == 0:
            metrics.update({self.prefix + name: value for name, value in self.validator.state.metrics.items()})
