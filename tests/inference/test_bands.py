"""Bands of a map: their borders, and that viewers paint them in the colour of their class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import rgb2lab
from treatment_response.bands import (
    COUNTS,
    band_colours,
    band_names,
    is_band_name,
    label_values,
    legend,
    to_bands,
    to_labels,
    to_segments,
)
from treatment_response.class_colours import class_colour, colour_numbers, rgb
from treatment_response.classes import CLASS_NAMES, RESPONSE, Classes
from treatment_response.cohort.adapters.lumiere import RANO
from treatment_response.longitudinal.settings import CLASSES as RICE
from treatment_response.problems import DataProblem

WARM, COOL = (25, 85), (215, 290)
"""Hues in degrees: ochre to red, teal to blue."""
# Machado, Oliveira and Fernandes 2009, severity 1: what linear RGB becomes.
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
KINDS = [(count, shown) for count in COUNTS for shown in CLASS_NAMES]


def as_ohif_paints(name: str) -> tuple[int, int, int]:
    """OHIF's MONAI Label extension, `fixedRGBForLabel`."""
    number = len(name) * 4 + sum(ord(letter) for letter in name)
    return 2 * number % 256, 3 * number % 256, 5 * number % 256


def lightness_and_hue(colour: tuple[int, int, int]) -> tuple[float, float]:
    """Of CIE Lab; hue in degrees."""
    lightness, a, b = rgb2lab(np.array(colour) / 255)
    return lightness, np.degrees(np.arctan2(b, a)) % 360


@pytest.mark.parametrize(("count", "shown"), KINDS)
def test_bands_of_a_class_have_its_colour_in_ohif_in_dicom_and_in_the_legend(count, shown):
    names, stored = band_names(count, shown), band_colours(count, shown)
    assert len(names) == count
    low, high = {"response": COOL, "non-response": WARM}[shown]
    painted = [as_ohif_paints(name) for name in names]
    for one, other in zip(painted, stored, strict=True):
        assert np.abs(np.subtract(one, other)).max() <= 8
        for colour in (one, other):
            assert low <= lightness_and_hue(colour)[1] <= high
    if count == 5:  # the first is off the hue, and dull; from there on the stronger the darker
        assert (np.diff([lightness_and_hue(colour)[0] for colour in painted[1:]]) < -3).all()
    told = legend(count)
    assert told["bands"][shown] == list(names)
    assert [rgb(colour) for colour in told["band_colours"][shown]] == stored
    strongest, plain = (lightness_and_hue(colour)[1] for colour in (stored[-1], rgb(told["colours"][shown])))
    assert abs(strongest - plain) < 25


@pytest.mark.parametrize(
    ("classes", "finding", "good"),
    [(RESPONSE, "non-response", "response"), (RICE, "recurrence", "radiation effect"), (RANO, "PD", "CR")],
)
def test_what_one_looks_for_is_warm_and_what_one_hopes_for_is_blue_in_every_system(classes, finding, good):
    for shown, (low, high) in ((finding, WARM), (good, COOL)):
        told = legend(5, classes)
        colours = [*band_colours(5, shown, classes), *map(as_ohif_paints, band_names(5, shown, classes))]
        for colour in [*colours, *map(rgb, told["band_colours"][shown]), rgb(told["colours"][shown])]:
            assert low <= lightness_and_hue(colour)[1] <= high
    for shown in classes.names:
        painted = [as_ohif_paints(name) for name in band_names(5, shown, classes)]
        assert np.abs(np.subtract(painted, band_colours(5, shown, classes))).max() <= 10
    assert colour_numbers(RESPONSE) == (0, 1)
    assert colour_numbers(RANO) == (0, 3, 2, 1)
    assert sorted(colour_numbers(Classes(tuple("abcdef"), "d"))) == list(range(6))


@pytest.mark.parametrize("blindness", BLIND)
def test_colour_blind_readers_tell_the_classes_apart(blindness):
    """All plain colours, and of the strongest bands the finding's from each other one; a map shows one class only."""
    for seen, pairs in (
        ([rgb(class_colour(number)) for number in range(len(RANO.names))], slice(None)),
        ([band_colours(5, shown, RANO)[-1] for shown in RANO.names], slice(0, 3)),
    ):
        shades = np.array(seen) / 255
        linear = np.where(shades <= 0.04045, shades / 12.92, ((shades + 0.055) / 1.055) ** 2.4)
        linear = (linear @ np.transpose(BLIND[blindness])).clip(0, 1)
        shades = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        lab = rgb2lab(shades)
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(len(lab), 1)]
        assert apart[pairs].min() > 15, apart.round()


def test_names_say_class_and_share_and_are_each_their_own():
    names = [name for kind in KINDS for name in band_names(*kind)]
    assert len(set(names)) == len(names)
    for count, shown in KINDS:
        limits = [round(100 * step / count) for step in range(count + 1)]
        for name, low, high in zip(band_names(count, shown), limits, limits[1:], strict=False):
            assert name.startswith(f"CAM {shown} {low} to {high}%")
            assert len(name) <= 64  # DICOM's Segment Label
            assert is_band_name(name)


@pytest.mark.parametrize(
    ("name", "band"),
    [("CAM 0 to 20% weakest", True), ("CAM 67 to 100% extremely strong", True), ("GTV 1", False), ("CAMera", False)],
)
def test_bands_of_earlier_versions_are_known_too(name, band):
    assert is_band_name(name) == band


def test_every_name_has_one_value_whatever_class_and_number_of_bands():
    values = label_values()
    names = [name for kind in KINDS for name in band_names(*kind)]
    assert values == {name: value for value, name in enumerate(names, start=1)}
    for count, shown in KINDS:
        labels = to_labels(np.arange(count + 1, dtype=np.uint8), count, shown)
        assert labels.dtype == np.uint8
        assert labels.tolist() == [0, *(values[name] for name in band_names(count, shown))]
        segments, segment_names, colours = to_segments(labels, count)
        assert [segment_names[number - 1] for number in segments[1:]] == list(band_names(count, shown))
        assert [colours[number - 1] for number in segments[1:]] == band_colours(count, shown)
        assert segments[0] == 0


def test_borders_belong_to_the_lower_band_and_zero_to_none():
    scaled = np.array([0, 1e-6, 0.2, 0.2001, 0.4, 0.6, 0.79, 0.8, 0.81, 1.0])
    assert to_bands(scaled, 5).tolist() == [0, 1, 1, 2, 2, 3, 4, 4, 5, 5]
    assert to_bands(np.array([0, 0.33, 0.34, 0.67, 1.0]), 3).tolist() == [0, 1, 2, 3, 3]


@given(arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)), st.sampled_from(COUNTS))
def test_bands_are_ordered_like_the_values(scaled, count):
    bands = to_bands(scaled, count)
    assert bands.dtype == np.uint8
    assert ((bands == 0) == (scaled == 0)).all()
    assert bands.max(initial=0) <= count
    order = np.argsort(scaled.ravel())
    assert (np.diff(bands.ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("bad", [[-0.1], [1.01], [np.nan]])
def test_what_is_no_share_is_refused(bad):
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        to_bands(np.array(bad), 5)


@pytest.mark.parametrize("count", [0, 1, 4, 11])
def test_numbers_without_names_are_refused_with_those_that_have_some(count):
    for refused in (
        lambda: band_names(count, "response"),
        lambda: band_colours(count, "response"),
        lambda: to_bands(np.zeros(2), count),
    ):
        with pytest.raises(DataProblem, match="3 or 5"):
            refused()
