"""How probabilities are put into sentences."""

import pytest
from pulsar_app.prediction.wording import probability_text


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (0, "< 0.01"),
        (0.00999, "< 0.01"),
        (0.01, "0.01"),
        (0.635, "0.64"),
        (0.99, "0.99"),
        (0.9901, "> 0.99"),
        (1, "> 0.99"),
    ],
)
def test_no_probability_is_called_certain(probability, said):
    assert probability_text(probability) == said
