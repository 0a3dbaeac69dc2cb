"""Which samples a protocol trains on and scores, and how they are read."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import ConcatItemsd, LoadImaged
from treatment_response.cases.load_samples import load_samples, samples_of_copy
from treatment_response.cases.samples import (
    SampleRow,
    Samples,
    samples_by_role,
    sessions_of,
    training_samples,
    watched_samples,
)
from treatment_response.cohort.layout import read_volume, write_volume
from treatment_response.configs import read_configs
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem
from treatment_response.protocols import scored_sessions
from treatment_response.training.experiment import read_samples
from treatment_response.training.scoring import BATCH_BYTES, case_logits, scoring_loader, scoring_samples
from treatment_response.transforms import (
    AllLesionSlicesPatchd,
    LesionSlicePatchd,
    ScaleByBrainPercentilesd,
)

ANGLES = (10, 15, 30, 45, 90)


def cohort(lesions=30, folds=5, angles=ANGLES) -> Samples:
    """One lesion per patient; a sample's picture holds its number."""
    rows = [
        SampleRow(f"sub-{n:03d}", "L01", session, n % folds, (n // folds) % 2, float(angle))
        for n in range(lesions)
        for session in ("ses-01", "ses-02")
        for angle in ((0, *angles) if session == "ses-01" else (0,))
    ]
    return Samples(torch.arange(len(rows), dtype=torch.float32)[:, None, None, None].expand(-1, 2, 4, 4), rows)


def test_the_papers_protocol_has_414_samples_from_69_lesions():
    assert len(training_samples(cohort(69), "A", 0)) == 414


@pytest.mark.parametrize("fold", range(5))
def test_no_patient_is_on_both_sides(fold):
    samples = cohort()
    trained = {row.subject for row in training_samples(samples, "B", fold).rows}
    roles = samples_by_role(samples, "B", fold)
    assert set(roles) == {"train_mri2", "heldout_mri2", "heldout_mri1"}
    for role in ("heldout_mri1", "heldout_mri2"):
        assert not trained & {row.subject for row in roles[role].rows}
    assert {row.subject for row in roles["train_mri2"].rows} == trained
    assert {row.session for row in roles["heldout_mri1"].rows} == {"ses-01"}
    assert {row.session for row in roles["heldout_mri2"].rows} == {"ses-02"}
    assert all(row.angle == 0 for part in roles.values() for row in part.rows)


def test_every_lesion_is_held_out_once():
    samples = cohort()
    held = [row.subject for fold in range(5) for row in samples_by_role(samples, "B", fold)["heldout_mri1"].rows]
    assert sorted(held) == sorted({row.subject for row in samples.rows})


def test_protocol_a_scores_mri_2_of_the_training_lesions_only():
    roles = samples_by_role(cohort(), "A", 0)
    assert set(roles) == {"train_mri2"}
    assert len(roles["train_mri2"]) == 30
    assert watched_samples(cohort(), "A", 0).rows == roles["train_mri2"].rows
    assert {row.session for row in watched_samples(cohort(), "B", 1).rows} == {"ses-01"}
    assert sessions_of("A") == ("ses-01", "ses-02")
    assert sessions_of("B") == ("ses-01",)
    scored = {name: scored_sessions(name) for name in ("A", "B", "patients")}
    assert scored == {"A": ("ses-01", "ses-02"), "B": ("ses-01", "ses-02"), "patients": None}


def test_large_inputs_are_scored_in_batches_that_fit():
    samples = cohort(angles=())
    scoring = scoring_samples(samples, "B", 0)
    assert [len(batch) for batch in scoring_loader(scoring, 20).batch_sampler] == [20, 16]
    large = torch.zeros(1, 1, BATCH_BYTES // 8).expand(len(samples), -1, -1)  # two fill a batch
    few = scoring_samples(Samples(large[:6], samples.rows[:6]), "A", 0)
    assert [len(batch) for batch in scoring_loader(few, 256).batch_sampler] == [2, 1]


def test_a_picture_stays_with_its_row():
    samples = cohort()
    numbers = {id(row): float(image[0, 0, 0]) for row, image in zip(samples.rows, samples.image, strict=True)}
    part = training_samples(samples, "B", 2)
    assert [float(image[0, 0, 0]) for image in part.image] == [numbers[id(row)] for row in part.rows]
    assert part.label.flatten().tolist() == [row.label for row in part.rows]


def test_impossible_splits_are_refused():
    with pytest.raises(DataProblem, match="'C' is no protocol"):
        training_samples(cohort(), "C", 0)
    with pytest.raises(DataProblem, match="leaves nothing to score"):
        samples_by_role(cohort().where(lambda row: row.session == "ses-01"), "B", 9)
    one_class = cohort().where(lambda row: row.label == 1)
    with pytest.raises(DataProblem, match="classes \\[1\\]"):
        training_samples(one_class, "A", 0)


def loader_of(samples, **settings):
    return read_configs(["train.json"], train_dataset=samples, **settings).get_parsed_content("train_dataloader")


def test_an_epoch_sees_every_sample_once_in_an_order_of_its_own():
    samples = training_samples(cohort(11, angles=()), "A", 0)
    loader = loader_of(samples, batch_size=5, seed=4)

    def epoch(number):
        loader.sampler.set_epoch(number)
        batches = list(loader)
        assert [len(batch["label"]) for batch in batches] == [5, 5, 1]
        return torch.cat([batch["image"][:, 0, 0, 0] for batch in batches]).tolist()

    assert sorted(epoch(1)) == sorted(samples.image[:, 0, 0, 0].tolist())
    assert epoch(1) == epoch(1)
    assert epoch(1) != epoch(2)


def test_processes_share_an_epoch():
    samples = training_samples(cohort(20, angles=()), "A", 0)
    shares = [
        torch.cat([b["image"][:, 0, 0, 0] for b in loader_of(samples, batch_size=8, rank=rank, world_size=2)]).tolist()
        for rank in (0, 1)
    ]
    assert sorted(shares[0] + shares[1]) == sorted(samples.image[:, 0, 0, 0].tolist())


class CountingLoad(LoadImaged):
    loaded: list[str] = []  # noqa: RUF012  (one list for all threads is the point)

    def __call__(self, data, reader=None):
        self.loaded.append(data["image"])
        return super().__call__(data, reader)


def test_a_volume_is_read_once_and_copies_equal_single_cuts(toy_dataset):
    CountingLoad.loaded.clear()
    scale = ScaleByBrainPercentilesd("image")
    load_mask = LoadImaged("mask", ensure_channel_first=True)
    patch = [LesionSlicePatchd(), ConcatItemsd(["image", "mask"], "image", -3)]
    samples = load_samples(
        toy_dataset,
        [CountingLoad("image", ensure_channel_first=True), scale],
        [load_mask],
        patch,
        sessions=("ses-01", "ses-02"),
        angles=(30,),
    )
    assert len(CountingLoad.loaded) == 24  # 12 patients, 2 sessions
    assert len(set(CountingLoad.loaded)) == 24
    assert len(samples) == 24 * 2 + 24  # lesions × sessions, and a turned copy of MRI 1
    assert samples.image.dtype == torch.float32
    assert not hasattr(samples.image, "affine")  # plain tensors: MetaTensor would slow every step down

    content = json.loads((toy_dataset / "dataset.json").read_text())["training"]
    entry = next(e for e in content if (e["subject"], e["lesion"], e["session"]) == ("sub-005", "L02", "ses-01"))
    one = {"image": str(toy_dataset / entry["image"]), "mask": str(toy_dataset / entry["mask"]), "angle": 30.0}
    for transform in (LoadImaged(["image", "mask"], ensure_channel_first=True), scale, *patch):
        one = transform(one)
    where = next(n for n, r in enumerate(samples.rows) if (r.subject, r.case, r.angle) == ("sub-005", "L02", 30.0))
    torch.testing.assert_close(samples.image[where], one["image"].as_tensor())
    assert samples.rows[where].label == entry["label"]
    assert samples.rows[where].fold == entry["fold"]


def test_every_fault_of_a_data_set_is_listed_at_once(toy_dataset, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(toy_dataset, broken)
    masks = sorted(broken.rglob("*_mask.nii.gz"))
    masks[0].unlink()
    images = sorted(broken.rglob("*_T1w.nii.gz"))
    images[-1].write_bytes(images[-1].read_bytes()[:500])
    with pytest.raises(DataProblem) as error:
        read_samples(dataset_dir=str(broken))
    assert len(error.value.problems) >= 2
    assert "sub-001" in str(error.value)
    assert "sub-012" in str(error.value)


def test_lesions_that_cannot_be_cut_are_listed_at_once(toy_dataset, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(toy_dataset, broken)
    for path in sorted(broken.rglob("*ses-01_label-L01_mask.nii.gz"))[:2]:
        volume = read_volume(path, "mask")
        write_volume(path, Volume(np.zeros_like(volume.array), volume.affine))
    with pytest.raises(DataProblem) as error:
        load_samples(
            broken,
            [LoadImaged("image", ensure_channel_first=True)],
            [LoadImaged("mask", ensure_channel_first=True)],
            [LesionSlicePatchd(), ConcatItemsd(["image", "mask"], "image", -3)],
            sessions=("ses-01",),
        )
    text = str(error.value)
    assert text.count("the mask is empty") == 2
    assert "sub-001 ses-01 L01" in text
    assert "sub-002 ses-01 L01" in text


def test_a_lesions_slices_count_by_their_area_and_a_single_sample_keeps_its_logit():
    mask = torch.zeros(4, 1, 8, 8)
    for index, pixels in enumerate((1, 3, 5, 8)):
        mask[index, 0, 0, :pixels] = 1
    rows = [SampleRow("sub-001", "L01", "ses-01", 0, 1, slice=number) for number in (4, 5)]
    rows = [rows[0], SampleRow("sub-001", "L01", "ses-02", 0, 1), rows[1], SampleRow("sub-002", "L01", "ses-01", 0, 0)]
    samples = Samples(torch.cat([torch.rand(4, 1, 8, 8), mask], dim=1), rows)
    logits = torch.tensor([1.0, 0.1234567890123, 3.0, -2.0], dtype=torch.float64)
    kept, roles, found = case_logits(samples, ["a", "b", "a", "a"], logits)
    assert [(row.subject, row.session) for row in kept] == [
        ("sub-001", "ses-01"),
        ("sub-001", "ses-02"),
        ("sub-002", "ses-01"),
    ]
    assert roles == ["a", "b", "a"]
    assert found[0] == pytest.approx((1 * 1.0 + 5 * 3.0) / 6)
    assert found[1] == logits[1]


def test_a_slice_wider_than_the_field_counts_by_its_area_in_millimetres():
    # A ball of 20 mm radius: its widest slices are cut with pixels larger than 0.5 mm, its outer ones are not.
    sides = [np.arange(size) - (size - 1) / 2 for size in (60, 60, 60)]
    x, y, z = np.meshgrid(*sides, indexing="ij")
    mask = (x**2 + y**2 + z**2 <= 400).astype(np.float32)[None]
    affine = torch.eye(4, dtype=torch.float64)
    sample = {"image": MetaTensor(torch.zeros(mask.shape), affine=affine), "mask": MetaTensor(mask, affine=affine)}
    cut = ConcatItemsd(["image", "mask"], "image", -3)(AllLesionSlicesPatchd()(sample))
    images, rows = zip(*samples_of_copy(cut, SampleRow("sub-001", "L01", "ses-01", 0, 1)), strict=True)
    assert max(row.pixel for row in rows) > 0.6
    assert min(row.pixel for row in rows) == 0.5
    logits = torch.tensor([float(row.pixel > 0.5) for row in rows], dtype=torch.float64)
    _, _, found = case_logits(Samples(torch.stack(images), rows), ["a"] * len(rows), logits)
    voxels = mask[0].sum(axis=(0, 1))[[row.slice for row in rows]]
    assert found[0] == pytest.approx((voxels * logits.numpy()).sum() / voxels.sum(), abs=0.01)
