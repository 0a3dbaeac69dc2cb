"""What test modules of the server share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openid_stand_in import OpenIdStandIn


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdStandIn]:
    """A login provider on this machine."""
    with OpenIdStandIn() as stand_in:
        yield stand_in
