"""Parameters of a request: what viewers send is understood, anything else is refused in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulsar_app.prediction.options import CAMS, InferOptions, choices, parse
from treatment_response.bands import COUNTS
from treatment_response.explain.cam import VARIANTS
from treatment_response.problems import DataProblem


def test_defaults_are_the_first_of_every_choice_and_nothing_is_stored():
    options = parse({})
    assert options == InferOptions()
    assert (options.cam, options.shown, options.bands) == ("pixelwise", "predicted", 5)
    assert (options.store, options.boost, options.rois, options.foreground) == (False, False, (), ())
    assert set(CAMS) == {variant.name for variant in VARIANTS}


def test_what_a_panel_shows_is_what_is_accepted_in_every_form_that_viewers_send_it():
    shown = choices()
    assert parse(shown) == InferOptions()  # Slicer sends whole lists back, the chosen one first
    for key in ("cam", "shown", "bands"):
        assert all(isinstance(choice, str) for choice in shown[key])  # Slicer's drop-downs take texts only
        for choice in shown[key]:
            others = [other for other in shown[key] if other != choice]
            assert parse({key: choice}) == parse({key: [choice, *others]})
            assert str(getattr(parse({key: choice}), key)) == choice
    assert parse({"bands": 3}).bands == 3


def test_ohif_and_slicer_may_send_what_they_always_send():
    ohif = {
        "result_extension": ".nrrd",
        "result_dtype": "uint8",
        "result_compress": False,
        "restore_label_idx": False,
        "background": [],
    }
    slicer = {
        "label": "CAM",
        "client_id": "user-xyz",
        "result_extension": ".nrrd",
        "device": "cpu",
        "reset_state": True,
    }
    assert parse(ohif) == parse(slicer) == InferOptions(result_extension=".nrrd")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("GTV_1", ("GTV_1",)),
        ("GTV_1, GTV 2;L3", ("GTV_1", "GTV 2", "L3")),
        (["GTV_1", "GTV_1", " "], ("GTV_1",)),
        ("", ()),
        ([], ()),
        (None, ()),
    ],
)
def test_rois_come_as_a_list_or_as_one_text(given, names):
    assert parse({"rois": given}).rois == names


def test_clicks_are_voxels():
    assert parse({"foreground": [[1, 2, 3], [4.0, 5.4, 5.6], [1, 2, 3]]}).foreground == ((1, 2, 3), (4, 5, 6))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"nothing": 1}, ["nothing", "no such option", "cam, shown, bands"]),
        ({"cam": "scorecam"}, ["cam", "scorecam", "pixelwise, gradcam, gradcampp"]),
        ({"cam": 1}, ["cam"]),
        ({"cam": []}, ["cam"]),
        ({"shown": "both"}, ["shown", "predicted, response, non-response"]),
        ({"bands": 0}, ["bands", "3, 5"]),
        ({"bands": 7}, ["bands", "3, 5"]),
        ({"bands": 5.0}, ["bands"]),
        ({"bands": True}, ["bands"]),
        ({"bands": "many"}, ["bands"]),
        ({"bands": {"5": 5}}, ["bands"]),
        ({"store": "yes"}, ["store", "true or false"]),
        ({"store": 1}, ["store"]),
        ({"boost": []}, ["boost"]),
        ({"rois": 5}, ["rois"]),
        ({"rois": [1]}, ["rois"]),
        ({"rois": ["a" * 65]}, ["rois", "64"]),
        ({"rois": ["a"] * 101}, ["rois", "100"]),
        ({"foreground": [1, 2, 3]}, ["foreground", "[i, j, k]"]),
        ({"foreground": [[1, 2]]}, ["foreground"]),
        ({"foreground": [[-1, 0, 0]]}, ["foreground"]),
        ({"foreground": [["1", 2, 3]]}, ["foreground"]),
        ({"foreground": [[True, 2, 3]]}, ["foreground"]),
        ({"foreground": [[float("nan"), 2, 3]]}, ["foreground"]),
        ({"foreground": [[1e300, 2, 3]]}, ["foreground"]),
        ({"foreground": [[0, 0, 0]] * 21}, ["foreground", "20"]),
        ({"result_extension": ".exe"}, ["result_extension", ".nrrd"]),
        ({"result_compress": "no"}, ["result_compress"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_would_be_right(params, words):
    with pytest.raises(DataProblem) as raised:
        parse(params)
    (line,) = str(raised.value).splitlines()
    assert all(word in line for word in words), line


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(DataProblem) as raised:
        parse({"cam": "x", "bands": 9, "other": 1})
    assert len(raised.value.problems) == 3


TEXT = 'abc5 ,;.["é\n'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(TEXT, max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(TEXT, max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*choices(), "foreground", "result_extension", "x"]), JSON, max_size=4))
def test_whatever_json_comes_is_either_understood_or_refused_in_words(params):
    try:
        options = parse(params)
    except DataProblem as problem:
        told = [str(one) for one in problem.problems]
    else:
        told = []
        assert options.bands in COUNTS
        assert options.cam in CAMS
        assert all(isinstance(name, str) for name in options.rois)
        json.dumps(options.foreground)
    assert all(len(one) < 1000 and "\n" not in one for one in told)
