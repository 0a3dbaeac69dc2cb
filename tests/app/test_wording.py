"""How probabilities are put into sentences."""

import pytest
from pulsar_app.prediction.wording import probability_text


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (0, "< 1 %"),
        (0.00999, "< 1 %"),
        (0.01, "1.0 %"),
        (0.6349, "63.5 %"),
        (0.99, "99.0 %"),
        (0.9901, "> 99 %"),
        (1, "> 99 %"),
    ],
)
def test_no_probability_is_called_certain(probability, said):
    assert probability_text(probability) == said
