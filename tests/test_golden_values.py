"""Differences from golden values are found, and named."""

from typing import Any

import pytest
from golden_values import differences


@pytest.mark.parametrize(
    ("actual", "says"),
    [
        ({"p": [0.5, 0.100001], "name": "L01"}, []),
        ({"p": [0.5, 0.100003], "name": "L01"}, ["/p/1: found 0.100003, recorded 0.1"]),
        ({"p": [0.5], "name": "L01"}, ["/p: found [0.5], recorded [0.5, 0.1]"]),
        ({"p": [0.5, 0.1], "case": "L01"}, ["/name is missing", "/case is new"]),
        ({"p": [0.5, None], "name": "L01"}, ["/p/1: found None, recorded 0.1"]),
        ({"p": [True, 0.1], "name": "L02"}, ["/p/0: found True, recorded 0.5", "/name: found 'L02', recorded 'L01'"]),
    ],
)
def test_a_difference_is_found_and_named(actual: Any, says: list[str]) -> None:
    assert list(differences(actual, {"p": [0.5, 0.1], "name": "L01"})) == says
