"""Which decisions hang on what lies outside the contour: planted networks whose answers are known."""

from __future__ import annotations

import torch
from treatment_response.cases.samples import SampleRow, Samples
from treatment_response.evaluation.outside_contour import flipped_lesions, with_brain_outside


def samples() -> Samples:
    """Two lesions of three slices in air: the mask is the upper left quarter, 0.9 inside."""
    x = torch.zeros(3, 2, 8, 8)
    x[:, :, :4, :4] = 1
    x[:, 0] *= 0.9
    slices = [("L01", 7), ("L01", 8), ("L02", 7)]
    return Samples(x, [SampleRow("sub-1", lesion, "ses-01", 0, 1, slice=index) for lesion, index in slices])


class Mean(torch.nn.Module):
    """The mean of the image where the mask is 0 or 1, minus a threshold."""

    def __init__(self, inside: bool) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        where = (x[:, 1] > 0) == self.inside
        return ((x[:, 0] * where).sum((1, 2)) / where.sum((1, 2)) - 0.3)[:, None]


def test_only_the_outside_becomes_brain_like_and_always_the_same():
    x = samples().image
    y = with_brain_outside(x)
    inside = x[:, 1] > 0
    assert torch.equal(y[:, 1], x[:, 1])
    assert torch.equal(y[:, 0][inside], x[:, 0][inside])
    outside = y[0, 0][~inside[0]]
    assert abs(float(outside.mean()) - 0.45) < 0.03
    assert 0.03 < float(outside.std()) < 0.07
    assert torch.equal(with_brain_outside(x[2:])[0], y[2])


def test_a_lesion_flips_if_its_mean_logit_changes_sign():
    assert list(flipped_lesions(Mean(inside=True), samples())["flipped"]) == [False, False]
    found = flipped_lesions(Mean(inside=False), samples())  # air is below the threshold, brain above it
    assert list(found["lesion"]) == ["L01", "L02"]
    assert list(found["flipped"]) == [True, True]
    mixed = samples()
    mixed.image[0, 0] = 3.0  # this slice's outside is bright: with it the lesion's mean is above before and after
    assert list(flipped_lesions(Mean(inside=False), mixed)["flipped"]) == [False, True]
