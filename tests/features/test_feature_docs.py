"""The reference page says what the code gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from treatment_response.features import clinical, gradients
from treatment_response.features.extraction import GROUPS


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "reference" / "features.md").read_text(encoding="utf-8")


def test_every_feature_has_its_place_on_the_page(page: str) -> None:
    for name in ("core", "margin", *gradients.QUANTITIES, *gradients.STATISTICS):
        assert f"| `{name}` |" in page
    for feature in clinical.FEATURES:
        assert f"`{feature.name}`" in page
        row = next(line for line in page.splitlines() if f"`{feature.name}`" in line)
        assert f"| {feature.known} |" in row


def test_the_counts_on_the_page_are_right(page: str) -> None:
    for name, group in GROUPS.items():
        assert f"| `{name}` | {len(group.features)} |" in page
    groups = [feature.group for feature in clinical.FEATURES]
    assert f"| `size`, `clinical` | {groups.count('size')}, {groups.count('clinical')} |" in page
