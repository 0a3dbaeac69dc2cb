"""The registration finds known motions of the two real images."""

from __future__ import annotations

from pathlib import Path

import pytest
from registration import MEAN_MM, MOTIONS, WORST_MM, errors, head_points, moved_copy, real_images
from treatment_response.cases.registration import register


@pytest.mark.parametrize(("image", "motion"), [(0, 0), (1, 1)], ids=["thick-slices-15-degrees", "oblique-cut-noise"])
def test_known_motions_of_real_images(shared_data: Path, image: int, motion: int) -> None:
    fixed = list(real_images(shared_data))[image][1]
    moving, truth = moved_copy(fixed, MOTIONS[motion])
    found = register(fixed, moving)
    mean, worst = errors(found.matrix, truth, head_points(fixed))
    assert mean <= MEAN_MM
    assert worst <= WORST_MM
    assert not found.is_doubtful, found.doubts
