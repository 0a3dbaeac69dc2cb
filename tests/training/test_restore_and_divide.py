"""The RANO study's schedule against a sequence that was worked out by hand."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from treatment_response.training.handlers import RestoreAndDivide

LOSSES = [3.0, 2.0, 2.0, 2.5, 1.9, 1.8, 5.0, 1.8, 4.0, 1.0]
# After each epoch: whose weights the network has (an epoch writes its number into them), the rate, failures in a row.
EXPECTED = [
    (1, 1e-1, 0),
    (2, 1e-1, 0),
    (2, 1e-2, 1),  # equal is not lower
    (2, 1e-3, 2),
    (5, 1e-3, 0),  # the rate does not rise again
    (6, 1e-3, 0),
    (6, 1e-4, 1),
    (6, 1e-5, 2),
    (6, 1e-6, 3),  # the third in a row ends it: the tenth epoch never comes
]


class Run:
    """Epochs without a computation: each writes its number into the weights and reports a loss of the list."""

    def __init__(self, patience: int = 3) -> None:
        self.network = torch.nn.Linear(1, 1)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-1)
        self.schedule = RestoreAndDivide(self.network, self.optimizer, factor=10, patience=patience)
        self.seen: list[tuple[int, float, int]] = []
        self.engine = Engine(self.step)
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, self.report)
        self.schedule.attach(self.engine)
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, self.look)

    def step(self, engine: Engine, batch: int) -> None:
        with torch.no_grad():
            self.network.weight.fill_(engine.state.epoch)
        self.network.weight.grad = torch.zeros(1, 1)
        self.network.bias.grad = torch.zeros(1)
        rate = self.optimizer.param_groups[0]["lr"]
        self.optimizer.param_groups[0]["lr"] = 0.0
        self.optimizer.step()
        self.optimizer.param_groups[0]["lr"] = rate

    def report(self, engine: Engine) -> None:
        engine.state.metrics["loss"] = LOSSES[engine.state.epoch - 1]

    def look(self, engine: Engine) -> None:
        rate = self.optimizer.param_groups[0]["lr"]
        self.seen.append((round(self.network.weight.item()), rate, self.schedule.failures))
        assert bool(self.optimizer.state) == (self.schedule.failures == 0)  # a failure takes the moments too


def check(seen: list[tuple[int, float, int]], expected: list[tuple[int, float, int]]) -> None:
    assert [(epoch, failures) for epoch, _, failures in seen] == [(epoch, failures) for epoch, _, failures in expected]
    assert [rate for _, rate, _ in seen] == pytest.approx([rate for _, rate, _ in expected])


def test_the_sequence_is_that_by_hand():
    run = Run()
    run.engine.run([0], max_epochs=len(LOSSES))
    check(run.seen, EXPECTED)
    assert run.engine.state.epoch == 9


@pytest.mark.parametrize("stop", [1, 4, 7, 9])
def test_a_resumed_schedule_goes_on_as_if_it_had_not_stopped(stop: int):
    first = Run()
    first.engine.run([0], max_epochs=stop)
    second = Run()
    second.network.load_state_dict(first.network.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.schedule.load_state_dict(first.schedule.state_dict())
    second.engine.state.epoch, second.engine.state.iteration = stop, stop
    second.engine.state.max_epochs, second.engine.state.epoch_length = len(LOSSES), 1
    second.engine.run([0])
    check(first.seen + second.seen, EXPECTED)  # stopped for good after the ninth, it trains no more


def test_an_epoch_that_fails_before_any_progress_gets_the_first_weights_back():
    run = Run()
    # As `StartFrom` does, which is attached after the schedule.
    run.engine.add_event_handler(Events.STARTED, lambda: torch.nn.init.constant_(run.network.weight, 0.5))
    LOSSES_BEFORE = LOSSES[0]
    try:
        LOSSES[0] = float("nan")
        run.engine.run([0], max_epochs=1)
    finally:
        LOSSES[0] = LOSSES_BEFORE
    assert run.network.weight.item() == 0.5
    assert run.schedule.failures == 1


@pytest.mark.parametrize(("factor", "patience"), [(1.0, 10), (10.0, 0)])
def test_numbers_out_of_range_are_refused(factor: float, patience: int):
    network = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match="factor must be above 1 and patience at least 1"):
        RestoreAndDivide(network, torch.optim.SGD(network.parameters(), lr=1), factor, patience)
