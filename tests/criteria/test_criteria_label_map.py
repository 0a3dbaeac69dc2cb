"""A measured study as a label map: each lesion where it lies, and its diameters as lines in it."""

from __future__ import annotations

import numpy as np
from shapes import draw, ellipsoid, grid
from treatment_response.criteria.label_map import NAMED, label_of, label_values, response_labels
from treatment_response.criteria.measurements import SegmentedStudy, measure_studies
from treatment_response.geometry import Volume
from treatment_response.ohif_colours import ohif_colour

EMPTY = grid((70, 50, 30), (1.0, 0.9, 1.5), (12.0, -8.0, 5.0))


def test_lesions_and_diameters_lie_where_they_were_measured() -> None:
    first = draw(ellipsoid((11, 6, 7), 30, (-14, 0, 0)), EMPTY).array
    second = draw(ellipsoid((5, 5, 5), 0, (16, 4, 0)), EMPTY).array
    region = Volume(first | second, EMPTY.affine)
    (study, _) = measure_studies([SegmentedStudy("a", 0, region), SegmentedStudy("b", 9, region)], "x")
    labels = response_labels(study, EMPTY)
    longest, perpendicular = list(label_values().values())[-2:]
    lines = np.isin(labels, [longest, perpendicular])
    assert set(np.unique(labels[first & ~lines])) == {1}
    assert set(np.unique(labels[second & ~lines])) == {2}
    assert not labels[~(first | second) & ~lines].any()
    (part,) = study.lesions["1"].parts
    drawn = EMPTY.to_world(np.argwhere((labels == longest) & first))
    for end in part.longest:
        assert np.linalg.norm(drawn - end, axis=1).min() < 1.0
    middle, along = part.longest.mean(axis=0), part.longest[1] - part.longest[0]
    aside = np.cross(drawn - middle, along / np.linalg.norm(along))
    assert np.linalg.norm(aside, axis=1).max() < 1.0  # half a voxel's diagonal
    assert part.longest_mm > 20


def test_labels_have_colours_that_differ_from_the_lines() -> None:
    texts = list(label_values())
    lesions, lines = texts[:-2], texts[-2:]
    assert len(lesions) == NAMED + 1
    assert all(max(ohif_colour(text)) < 70 for text in lines)
    assert all(max(ohif_colour(text)) > 180 for text in lesions)
    assert len({ohif_colour(text) for text in lesions[:4]}) == 4
    assert label_of("1").startswith("lesion 1")
    assert label_of(str(NAMED + 1)) == label_of("40") == lesions[-1]
