"""Lesions rendered in memory are what the bundle would have cut from the data set's files."""

import numpy as np
import pytest
from monai.data import MetaTensor
from monai.transforms import Compose
from scipy.ndimage import distance_transform_edt
from synthetic.rendered_lesions import (
    as_fold,
    first_lesions,
    joined,
    preprocess_patient,
)
from treatment_response.cases.samples import Samples, samples_by_role, training_samples
from treatment_response.cohort.synthetic.render import render_session
from treatment_response.cohort.synthetic.simulate import simulate_cohort
from treatment_response.configs import read_configs
from treatment_response.evaluation.niche import cell_fractions
from treatment_response.evaluation.views import LesionSlice
from treatment_response.geometry import rasterise


@pytest.fixture(scope="module")
def patient():
    cohort = simulate_cohort(2, 4, seed=5)
    parser = read_configs(("train.json",))
    return cohort, cohort.patients[0], preprocess_patient(cohort, cohort.patients[0], "train", (45.0,), parser)


def test_every_lesion_lies_in_its_patch_with_its_label(patient):
    _, rendered, parts = patient
    assert len(parts) == 2 * len(rendered.lesions)
    for image, row, _ in parts:
        assert image.shape == (2, 64, 64)
        assert 0 <= image[0].min() <= image[0].max() <= 1
        lesion = next(one for one in rendered.lesions if one.lesion == row.case)
        assert row.label == lesion.label
        # The largest slice of a lesion of this radius: its area within what irregular shapes allow.
        area = image[1].sum() * 0.25
        assert 0.5 < area / (np.pi * lesion.radius_mm**2) < 1.6
        middle = np.argwhere(image[1] > 0).mean(axis=0)
        assert np.abs(middle - 31.5).max() < 6


def test_the_niche_lies_where_the_picture_shows_it():
    """A niche that is darker than the rest of a large lesion, through rendering, cutting and the truth's own affine."""
    cohort = simulate_cohort(4, 8, seed=3, niche="intensity")
    largest = max((one for one in cohort.patients), key=lambda one: max(lesion.radius_mm for lesion in one.lesions))
    lesion = max(largest.lesions, key=lambda one: one.radius_mm)
    parser = read_configs(("train.json",))
    session = render_session(cohort, largest, 0)
    mask = rasterise(session.contours[lesion.roi_name], session.image.affine, session.image.array.shape)
    transforms = [parser.get_parsed_content("image_transforms#1"), parser.get_parsed_content("patch_transforms#0")]
    cut = Compose([*transforms, parser.get_parsed_content("patch_transforms#1")])(
        {
            "image": MetaTensor(session.image.array[None].astype("float32"), affine=session.image.affine),
            "mask": MetaTensor(mask[None].astype("float32"), affine=session.image.affine),
        }
    )["image"]
    one = LesionSlice("sub-001", "L01", "ses-01", 0, np.asarray(cut), np.asarray(cut.affine))
    share = cell_fractions(one, session.niches[lesion.lesion], cells=64)
    core = distance_transform_edt(one.x[1] > 0) > 5  # pixels: away from the bright rim
    agreement = {
        name: abs(np.corrcoef(one.x[0][core], niche[core])[0, 1])
        for name, niche in {"as it is": share, "R-L": share[::-1], "A-P": share[:, ::-1], "axes": share.T}.items()
    }
    assert agreement.pop("as it is") > max(0.6, *(value + 0.2 for value in agreement.values()))


def test_with_the_improved_config_every_slice_is_a_sample_with_its_niche(patient):
    cohort, rendered, parts = patient
    overlays = ("improved.json",)
    slices = preprocess_patient(cohort, rendered, "train", (), read_configs(("train.json", *overlays)))
    for lesion in rendered.lesions:
        own = [part for part in slices if part[1].case == lesion.lesion]
        assert len({row.slice for _, row, _ in own}) == len(own) > 3
        area = np.array([image[1].sum() for image, _, _ in own])
        # The largest slice is the one that the other config cuts, with the same niche.
        image, _, niche = own[int(area.argmax())]
        (single,) = [part for part in parts if part[1].case == lesion.lesion and part[1].angle == 0]
        np.testing.assert_array_equal(image, single[0])
        np.testing.assert_array_equal(niche, single[2])
        # Cell by cell over all slices, the niche is as large as the lesion's burden says, as far as cells can tell.
        cells = [image[1].reshape(16, 4, 16, 4).sum(axis=(1, 3)) for image, _, _ in own]
        share = sum((n * c).sum() for (_, _, n), c in zip(own, cells, strict=True)) / area.sum()
        assert abs(share - lesion.burden) < 0.12


def test_small_sets_are_parts_of_larger_ones_and_the_test_set_is_held_out(patient):
    import torch

    _, rendered, parts = patient
    train = Samples(torch.from_numpy(np.stack([image for image, _, _ in parts])), [row for _, row, _ in parts])
    small = first_lesions(train, 1)
    assert {row.case for row in small.rows} == {rendered.lesions[0].lesion}
    assert len(small) == 2
    both = joined(as_fold(train, 0), as_fold(small, 1))
    # Protocol B with the test set as fold 0: nothing of it trains, all of it is scored, unturned.
    with pytest.raises(Exception, match="classes"):
        training_samples(as_fold(train, 0), "B", 0)
    assert len(samples_by_role(both, "B", 0)["heldout_mri1"]) == len(rendered.lesions)
