"""Bands of a map: their borders, and that viewers paint them from blue to red."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from treatment_response.inference.bands import COUNTS, band_colours, band_names, label_values, to_bands, to_labels
from treatment_response.problems import DataProblem

# Hue in degrees of what a person calls blue, cyan, green, orange (down to amber) and red.
HUES = {"blue": (210, 250), "cyan": (180, 200), "green": (95, 145), "orange": (20, 45), "red": (-10, 16)}
SHOULD_BE = {5: ("blue", "cyan", "green", "orange", "red"), 3: ("blue", "green", "red")}


def ohif_colour(name: str) -> tuple[int, int, int]:
    """OHIF's MONAI Label extension, `fixedRGBForLabel`."""
    number = len(name) * 4 + sum(ord(letter) for letter in name)
    return 2 * number % 256, 3 * number % 256, 5 * number % 256


def is_of(colour: tuple[int, int, int], name: str) -> bool:
    hue, saturation, value = colorsys.rgb_to_hsv(*(part / 255 for part in colour))
    low, high = HUES[name]
    degrees = hue * 360 if hue * 360 < 350 else hue * 360 - 360
    return low <= degrees <= high and saturation >= 0.55 and value >= 0.6


@pytest.mark.parametrize("count", COUNTS)
def test_bands_run_from_blue_to_red_in_ohif_and_in_dicom(count):
    names = band_names(count)
    assert len(names) == count
    for name, stored, wanted in zip(names, band_colours(count), SHOULD_BE[count], strict=True):
        assert is_of(ohif_colour(name), wanted), (name, ohif_colour(name), wanted)
        assert is_of(stored, wanted), (name, stored, wanted)


def test_names_say_which_share_they_stand_for_and_are_each_their_own():
    names = [name for count in COUNTS for name in band_names(count)]
    assert len(set(names)) == len(names)
    for count in COUNTS:
        limits = [round(100 * step / count) for step in range(count + 1)]
        for name, low, high in zip(band_names(count), limits, limits[1:], strict=False):
            assert name.startswith(f"CAM {low} to {high}% ")
            assert len(name) <= 64  # DICOM's Segment Label


def test_every_name_has_one_value_whatever_the_number_of_bands():
    values = label_values()
    assert list(values.values()) == list(range(1, sum(COUNTS) + 1))
    assert list(values) == [name for count in COUNTS for name in band_names(count)]
    for count in COUNTS:
        labels = to_labels(np.arange(count + 1, dtype=np.uint8), count)
        assert labels.dtype == np.uint8
        assert labels.tolist() == [0, *(values[name] for name in band_names(count))]


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
    for function in (band_names, band_colours, lambda number: to_bands(np.zeros(2), number)):
        with pytest.raises(DataProblem, match="3 or 5"):
            function(count)
