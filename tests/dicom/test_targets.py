"""Which outlines of a study are targets on an MR, where they lie in millimetres, and why others are only listed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outline_case import ball, circles, mr, place, segmentation, structure_set, write_mr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage
from treatment_response.bands import band_colours, band_names
from treatment_response.dicom.results.boost import boost_structure_set
from treatment_response.dicom.results.model import NAME, ModelIdentity
from treatment_response.dicom.results.segmentation import bands_segmentation, lesions_segmentation
from treatment_response.dicom.results.submission import Drawing, submitted_segmentation
from treatment_response.dicom.source import MrSource, read_mr_source
from treatment_response.dicom.targets import Target, find_targets, reason_by_name, without_repeats
from treatment_response.dicom.write import WrittenSeries
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume


class Case:
    """One MR and what was drawn on it."""

    def __init__(self, folder: Path, orientation: str = "oblique") -> None:
        self.folder, self.name = folder, orientation
        self.referenced = write_mr(mr(orientation), folder / "mr", orientation)
        self.source: MrSource = read_mr_source(folder / "mr")

    @property
    def image(self) -> Volume:
        return self.source.volume

    def at(self, *offset: float) -> np.ndarray:
        return place(self.image, *offset)

    def circle(self, *offset: float, radius: float = 6.0) -> list[np.ndarray]:
        return circles(self.image, self.at(*offset), radius)

    def ball(self, *offset: float, radius: float = 6.0) -> np.ndarray:
        return ball(self.image, self.at(*offset), radius)

    def rt(self, rois: dict[str, list[np.ndarray]], label: str = "RT", **options: object) -> Dataset:
        return structure_set(rois, self.folder, self.name, options.pop("referenced", self.referenced), label, **options)  # type: ignore[arg-type]

    def find(self, *objects: Dataset, picked: Sequence[str] = ()) -> tuple[dict[str, Target], list[str]]:
        targets, notes = find_targets(self.source, objects, picked)
        return {target.name: target for target in targets}, notes


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("oblique"))


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "oblique"])
def test_contours_and_segments_lie_where_they_were_drawn(tmp_path: Path, orientation: str) -> None:
    case = Case(tmp_path, orientation)
    first, second = (9, -7, 4), (-10, 9, -8)
    found, notes = case.find(
        case.rt({"GTV 1": case.circle(*first)}), segmentation({"GTV 2": case.ball(*second)}, case.referenced)
    )
    assert not notes
    for name, offset, source in (("GTV 1", first, "RTSTRUCT"), ("GTV 2", second, "SEG")):
        target = found[name]
        middle = case.image.to_world(np.argwhere(target.mask)).mean(axis=0)
        np.testing.assert_allclose(middle, case.at(*offset), atol=0.4)
        assert target.volume_mm3 == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.05)
        assert (target.source, target.listed_because) == (source, "")


def test_of_two_that_repeat_each_other_the_newest_structure_set_counts(case: Case) -> None:
    old = case.rt({"GTV 1": case.circle(0, 0, 0)}, "OLD", date="20200130")
    new = case.rt({"Met A": case.circle(0.2, 0, 0), "Met B": case.circle(15, 0, 0)}, "NEW", date="20200131")
    seg = segmentation({"Tumour": case.ball(0, 0.2, 0)}, case.referenced)
    found, _ = case.find(seg, old, new)
    assert [name for name, target in found.items() if not target.listed_because] == ["Met A", "Met B"]
    for name in ("GTV 1", "Tumour"):
        assert found[name].superseded_by == ("Met A",)
        assert found[name].listed_because.startswith("superseded by 'Met A' (structure set of 2020-01-31 12:00:00; ")


def submitted(case: Case, *drawings: Drawing) -> Dataset:
    return submitted_segmentation(case.source, drawings)


@pytest.mark.parametrize("radius", [3.0, 6.5, 9.0], ids=["smaller", "alike", "encloses"])
def test_what_a_person_submits_counts_until_a_newer_structure_set_comes(case: Case, radius: float) -> None:
    approved = case.rt({"GTV 1": case.circle(0, 0, 0), "GTV 2": case.circle(15, 0, 0)}, "APPROVED")
    approved.ApprovalStatus = "APPROVED"
    correction = submitted(case, Drawing("GTV 1", case.ball(0, 0, 0, radius=radius)))
    found, notes = case.find(approved, correction)
    assert notes == []
    assert {name: one.source for name, one in found.items() if not one.listed_because} == {
        "GTV 1": "SEG",
        "GTV 2": "RTSTRUCT",
    }
    assert found["GTV 1"].version.startswith("submitted by a person through the server, 2")
    assert found["GTV 1 #2"].superseded_by == ("GTV 1",)
    assert found["GTV 1 #2"].listed_because.endswith("structure set of 2020-01-31 12:00:00, approved; 915 mm³")
    newer = case.rt({"GTV 1": case.circle(0, 0, 0, radius=5)}, "NEWER")
    newer.StructureSetDate = "20991231"
    found, _ = case.find(approved, correction, newer)
    assert found["GTV 1"].version == "structure set of 2099-12-31 12:00:00"
    assert [one.superseded_by for one in found.values()] == [(), (), ("GTV 1",), ("GTV 1",)]


def test_a_rejected_structure_set_never_counts(case: Case) -> None:
    older = case.rt({"GTV 1": case.circle(0, 0, 0)}, "OLDER", date="20200130")
    rejected = case.rt({"GTV 1": case.circle(0, 0, 0, radius=9)}, "REJECTED")
    rejected.ApprovalStatus = "REJECTED"
    found, notes = case.find(older, rejected)
    assert [one.listed_because for one in found.values()] == [""]
    assert notes == ["The structure set 1 of 2 was left out: it was rejected."]


def test_what_repeats_within_its_own_set_takes_no_other_lesion_away(case: Case) -> None:
    """A neutral name around a GTV is a margin, and covers a neighbour that only the older set draws."""
    wide = {"GTV 1": case.circle(0, 0, 0, radius=5), "target wide": case.circle(0, 0, 0, radius=12)}
    older = case.rt({"GTV 2": case.circle(9, 0, 0, radius=2.5)}, "OLDER", date="20200130")
    found, _ = case.find(case.rt(wide, "WIDE"), older)
    assert [name for name, one in found.items() if not one.listed_because] == ["GTV 1", "GTV 2"]


def test_unions_and_margins_are_listed(case: Case) -> None:
    one, two = case.circle(-12, 0, 0, radius=5), case.circle(12, 0, 0, radius=5)
    rois = {
        "GTVs": [*one, *two],
        "GTV 1": one,
        "GTV 2": two,
        "target wide": case.circle(-12, 0, 0, radius=8),
    }
    found, _ = case.find(case.rt(rois))
    assert found["GTVs"].listed_because == "a union of targets: it encloses GTV 1, GTV 2"
    assert found["target wide"].listed_because == "a margin (PTV) around a target: it encloses GTV 1"
    assert not found["GTV 1"].listed_because
    assert not found["GTV 2"].listed_because


def test_names_decide_what_is_listed_and_what_is_no_target(case: Case) -> None:
    rois = {
        "GTV 1": case.circle(0, 0, 0),
        "PTV 1": case.circle(0, 0, 0, radius=9),
        "GTV 2 cavity": case.circle(14, 0, 0),
        "GTV 3 old": case.circle(-14, 0, 0),
        "GTV total": case.circle(0, 0, 0, radius=8),
        "peritumoral edema": case.circle(0, 14, 0),
        "L frontal": case.circle(0, -14, 0),
        "Brainstem": case.circle(0, 0, 9),
        "zCAM_NR_L1": case.circle(0, 0, 0, radius=3),
    }
    found, notes = case.find(case.rt(rois))
    reasons = {name: target.listed_because for name, target in found.items()}
    assert reasons == {
        "GTV 1": "",
        "PTV 1": "by its name it is no GTV ('PTV')",
        "GTV 2 cavity": "by its name it is no GTV ('cavity')",
        "GTV 3 old": "by its name it is of an earlier course ('old')",
        "GTV total": "by its name it is a union of targets",
        "peritumoral edema": "by its name it is no GTV ('edema')",
        "L frontal": "its name does not say that it is a target",
    }
    assert notes == ["No targets by their names: Brainstem."]


def test_an_organ_is_drawn_when_the_user_picks_it(case: Case) -> None:
    found, notes = case.find(case.rt({"Brainstem": case.circle(0, 0, 9)}), picked=["brainstem"])
    assert found["Brainstem"].mask.any()
    assert not notes


def test_what_this_software_wrote_is_never_a_target(case: Case) -> None:
    mask = case.ball(0, 0, 0)
    own = [
        segmentation({"GTV 1": mask}, case.referenced, "a", description="RESEARCH ONLY outlines"),
        segmentation({"GTV 2": mask}, case.referenced, "b", algorithm="PULSAR response"),
        segmentation({band_names(5, "response")[4]: mask}, case.referenced, "c", property_type=codes.SCT.Neoplasm),
        segmentation({"CAM 0 to 20% weakest": mask}, case.referenced, "d", property_type=codes.SCT.Neoplasm),
    ]
    boost = case.rt({"GTV 4": case.circle(0, 0, 0)}, "BOOST")
    boost.SeriesDescription = "RESEARCH ONLY boost region"
    assert case.find(*own, boost) == ({}, [])


def test_results_are_never_targets_even_when_their_description_is_lost(case: Case) -> None:
    """What the results' own writers make, as a PACS that renames series hands it back."""
    identity = ModelIdentity(NAME, "0123456789ab+0.1.0", "a test", "RESEARCH ONLY, a test.", False)
    mask = case.ball(0, 0, 0)
    results = [
        lesions_segmentation(case.source, {"GTV 1": mask}, identity),
        bands_segmentation(
            case.source,
            mask.astype(np.uint8),
            band_names(5, "response"),
            band_colours(5, "response"),
            identity,
            variant="gradcam",
            target="response",
        ),
        boost_structure_set(case.source, {"L1": mask}, identity),
    ]
    assert case.find(*results) == ({}, [])
    for result in results:
        result.SeriesDescription = "renamed"
    assert case.find(*results) == ({}, [])


def test_structures_in_another_frame_of_reference_are_left_out(case: Case, tmp_path: Path) -> None:
    other = write_mr(mr("oblique"), tmp_path / "other", "other")
    found, notes = case.find(structure_set({"GTV 1": case.circle(0, 0, 0)}, tmp_path, "other", other))
    assert not found
    assert notes == [
        "The structure set was left out: it lies in another frame of reference, and there is no registration to the MR."
    ]


def ct(case: Case, folder: Path) -> WrittenSeries:
    """A CT in the MR's frame of reference, as some exports claim."""
    series = write_mr(mr("oblique"), folder, "oblique", series_uid=derived_uid("ct"))
    return WrittenSeries(
        series.study_uid,
        series.series_uid,
        case.referenced.frame_uid,
        str(CTImageStorage),
        series.normal,
        series.instances,
    )


def test_structures_drawn_on_ct_are_left_out(case: Case, tmp_path: Path) -> None:
    found, notes = case.find(case.rt({"GTV 1": case.circle(0, 0, 0)}, "CT", referenced=ct(case, tmp_path / "ct")))
    assert not found
    assert len(notes) == 1
    assert "drawn on images that are no MR" in notes[0]


def test_structures_of_another_mr_in_the_same_frame_of_reference_count(case: Case, tmp_path: Path) -> None:
    other = write_mr(mr("oblique"), tmp_path / "t2", "oblique", series_uid=derived_uid("t2"), description="T2")
    found, notes = case.find(case.rt({"GTV 1": case.circle(4, 5, 6)}, "T2", referenced=other))
    assert not notes
    np.testing.assert_allclose(
        case.image.to_world(np.argwhere(found["GTV 1"].mask)).mean(axis=0), case.at(4, 5, 6), atol=0.4
    )


def test_an_earlier_course_is_listed(case: Case) -> None:
    found, _ = case.find(case.rt({"GTV 1": case.circle(0, 0, 0)}, "EARLIER", date="20190101"))
    assert found["GTV 1"].listed_because == "of an earlier course: the structure set is 395 days older than the MR"
    week, _ = case.find(case.rt({"GTV 1": case.circle(0, 0, 0)}, "WEEK", date="20200125"))
    assert not week["GTV 1"].listed_because


def test_faulty_outlines_are_told_and_cost_nothing_but_themselves(case: Case, tmp_path: Path) -> None:
    outside = [points + 40 * case.image.affine[:3, 2] for points in case.circle(0, 0, 0)]
    rois = {
        "GTV empty": [],
        "GTV line": [case.circle(0, 0, 0)[2][:2]],
        "GTV away": outside,
        "GTV edge": case.circle(0, 24, 0, radius=6),
        "GTV good": case.circle(0, 0, 0),
    }
    found, notes = case.find(case.rt(rois, "FAULTY"))
    assert [name for name, target in found.items() if not target.listed_because] == ["GTV good"]
    assert found["GTV edge"].listed_because == "it reaches outside the MR"
    assert any("'GTV empty' was left out" in note for note in notes)
    unread = {name: target.listed_because for name, target in found.items() if target.unreadable}
    assert set(unread) == {"GTV line", "GTV away"}  # nothing is drawn in an empty one, so nothing is missed
    assert unread["GTV away"] == "it cannot be measured: all of it lies outside the MR"


def test_contours_of_no_roi_are_listed_as_what_is_missed(case: Case) -> None:
    strayed = case.rt({"GTV 1": case.circle(0, 0, 0), "GTV 2": case.circle(14, 0, 0)}, "STRAYED")
    del strayed.StructureSetROISequence[1]
    found, _ = case.find(strayed)
    assert {name: target.unreadable for name, target in found.items()} == {"GTV 1": False, "structure set": True}
    assert "no ROI has this number" in found["structure set"].listed_because


def test_an_object_that_cannot_be_read_is_listed_by_the_names_it_gives(case: Case) -> None:
    broken = segmentation({"GTV 1": case.ball(0, 0, 0), "Brainstem": case.ball(0, 0, 9)}, case.referenced)
    broken.SegmentationType = "FRACTIONAL"
    found, _ = case.find(broken)
    assert set(found) == {"GTV 1"}
    assert found["GTV 1"].listed_because == "the segmentation is fractional, expected a binary segmentation"
    del broken.SegmentSequence
    assert set(case.find(broken)[0]) == {"segmentation"}


def test_a_segmentation_on_another_grid_is_listed_and_told(case: Case, tmp_path: Path) -> None:
    other = Volume(case.image.array, case.image.affine @ np.diag([1.0, 1.0, 1.0, 1.0]))
    other.affine[:3, 3] += 0.4 * other.affine[:3, 0]
    shifted = write_mr(other, tmp_path / "shifted", "oblique", series_uid=derived_uid("shifted"))
    found, notes = case.find(segmentation({"GTV 1": ball(other, case.at(0, 0, 0), 6)}, shifted))
    assert found["GTV 1"].unreadable
    assert len(notes) == 1
    for told in (notes[0], found["GTV 1"].listed_because):
        assert "lies on another grid than the MR" in told


def test_islands_of_one_lesion_stay_together_and_far_ones_are_lesions_of_their_own(case: Case) -> None:
    ring = case.ball(-12, 0, 0, radius=7) & ~case.ball(-12, 0, 0, radius=5)  # enhancing rim around necrosis
    island = case.ball(-12, 0, 0, radius=2)
    far = case.ball(14, 0, 0, radius=5)
    found, _ = case.find(segmentation({"Tumor": ring | island | far}, case.referenced))
    assert set(found) == {"Tumor part 1", "Tumor part 2"}
    np.testing.assert_array_equal(found["Tumor part 1"].mask, ring | island)
    np.testing.assert_array_equal(found["Tumor part 2"].mask, far)
    both, _ = case.find(segmentation({"GTV 1": island | far, "GTV 2": case.ball(0, 15, 0)}, case.referenced))
    assert set(both) == {"GTV 1", "GTV 2"}  # with names of their own, segments are what the user says


def test_a_segment_coded_as_neoplasm_is_a_target_whatever_it_is_called(case: Case) -> None:
    coded = segmentation({"1": case.ball(0, 0, 0)}, case.referenced, property_type=codes.SCT.Neoplasm)
    plain = segmentation({"1": case.ball(0, 0, 0)}, case.referenced)
    assert not case.find(coded)[0]["1"].listed_because
    assert case.find(plain)[0]["1"].listed_because == "its name does not say that it is a target"


def test_equal_names_are_told_apart(case: Case) -> None:
    old = case.rt({"GTV 1": case.circle(14, 0, 0)}, "OLD", date="20200130")
    new = case.rt({"GTV 1": case.circle(-14, 0, 0)}, "NEW")
    found, _ = case.find(old, new)
    assert set(found) == {"GTV 1", "GTV 1 #2"}
    assert case.image.to_index(case.at(-14, 0, 0)[None])[0] == pytest.approx(
        np.argwhere(found["GTV 1"].mask).mean(axis=0), abs=0.5
    )


@given(st.lists(st.sampled_from(["GTV", "gtv", "GTV #2", "A"]), max_size=6))
def test_names_become_unique_and_none_is_lost(names: list[str]) -> None:
    masks = np.eye(max(len(names), 1), dtype=bool)[:, None, None]
    targets = without_repeats([Target(name, masks[i], 1.0, "SEG") for i, name in enumerate(names)])
    assert len(targets) == len(names)
    assert len({target.name.casefold() for target in targets}) == len(names)
    for name, target in zip(names, targets, strict=True):
        assert target.name.startswith(name)


@pytest.mark.parametrize(
    "name", ["GTV", "gtv_01 L frontal", "GTVp1", "Läsion 2", "Met 3", "Lesion2", "Target", "tumour"]
)
def test_clinics_names_of_targets_are_predicted(name: str) -> None:
    assert reason_by_name(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        "tumour bed",
        "_GTV1",
        "zGTV 1",
        "Brain-GTV",
        "GTV+2mm",
        "GTV1 3 mm",
        "PTV_GTV1",
        "GTV ring",
        "prior GTV",
        "resected met",
    ],
)
def test_names_of_what_surrounds_or_preceded_a_target_are_listed(name: str) -> None:
    assert reason_by_name(name).startswith("by its name")
