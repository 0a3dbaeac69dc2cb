"""Cases preprocessed to disk: same values and places, known by their content, whole or not at all, flat in memory."""

from __future__ import annotations

import resource
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import psutil
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader
from monai.transforms import Lambdad, LoadImaged, ScaleIntensityd, Spacingd
from toy_dataset import oblique_affine
from treatment_response.cases.disk_cache import DiskDataset
from treatment_response.problems import DataProblem

SHAPE = (16, 12, 7)


def cases(folder: Path, count: int = 4) -> list[dict[str, object]]:
    folder.mkdir(parents=True, exist_ok=True)
    data = []
    for number in range(count):
        array = np.random.default_rng(number).normal(size=SHAPE).astype(np.float32)
        array[5, 3, 2] = 9.0 + number
        path = folder / f"{number}.nii.gz"
        nib.save(nib.Nifti1Image(array, oblique_affine()), path)
        data.append({"image": str(path), "label": number % 2, "subject": f"sub-{number:03d}"})
    return data


def loading(pixdim: float = 1.5) -> list:
    return [LoadImaged("image", ensure_channel_first=True), Spacingd("image", pixdim=(pixdim, pixdim, 2.0))]


def test_values_and_affines_are_those_of_direct_loading_to_half_precision(tmp_path: Path) -> None:
    data = cases(tmp_path / "in")
    dataset = DiskDataset(data, loading(), tmp_path / "cache", tell=None)
    for entry, kept in zip(data, dataset, strict=True):
        direct = dict(entry)
        for transform in loading():
            direct = transform(direct)
        np.testing.assert_array_equal(kept["image"].numpy(), direct["image"].numpy().astype(np.float16))
        np.testing.assert_allclose(kept["image"].affine, direct["image"].affine, atol=1e-12)
        assert kept["image"].dtype == torch.float16
        assert (kept["label"], kept["subject"]) == (entry["label"], entry["subject"])
        peak = np.array(np.unravel_index(kept["image"].numpy().argmax(), kept["image"].shape))[1:]
        place = kept["image"].affine.numpy() @ [*peak, 1.0]
        assert np.linalg.norm(place[:3] - (oblique_affine() @ [5, 3, 2, 1])[:3]) < 1.6  # of voxels of 1.5 × 1.5 × 2


def test_nothing_is_done_twice_and_every_change_of_content_is_known(tmp_path: Path) -> None:
    told: list[str] = []
    data = cases(tmp_path / "in")
    kept = partial(DiskDataset, cache_dir=tmp_path / "cache", tell=told.append)
    first = kept(data, loading())
    assert told[-1].startswith("4 cases to preprocess: about 1 min and 0.00 GB")
    moved = [
        {**entry, "image": shutil.copy(entry["image"], tmp_path / f"copy{entry['subject']}.nii.gz")} for entry in data
    ]
    assert kept(moved, loading()).names == first.names  # the same bytes elsewhere
    assert len(told) == 1
    kept(data, loading(2.0))  # another setting
    kept(data, [*loading(), ScaleIntensityd("image")])  # another transform
    kept([{**data[0], "label": 5}], loading())  # another item
    cases(tmp_path / "in", 1)
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.float32), oblique_affine()), data[0]["image"])  # another image
    changed = kept(data, loading())
    assert [text.split()[0] for text in told] == ["4", "4", "4", "1", "1"]
    assert float(changed[0]["image"].max()) == 1.0
    with pytest.raises(DataProblem, match=r"a transform holds function .*<lambda>"):
        kept(data, [*loading(), Lambdad("image", lambda x: x)])


def test_damaged_and_missing_files_are_made_again(tmp_path: Path) -> None:
    data = cases(tmp_path / "in")
    make = partial(DiskDataset, data, loading(), tmp_path / "cache")
    before = [item["image"].numpy() for item in make(tell=None)]
    arrays, tables = sorted((tmp_path / "cache").glob("*.npy")), sorted((tmp_path / "cache").glob("*.json"))
    arrays[0].write_bytes(arrays[0].read_bytes()[:-1])
    tables[1].write_text("{")
    tables[2].unlink()
    told: list[str] = []
    after = [item["image"].numpy() for item in make(tell=told.append)]
    np.testing.assert_array_equal(after, before)
    assert told[0].startswith("3 cases")


class Stopping:
    """Stops like Ctrl-C at one case."""

    at: str | None = "sub-001"

    def __call__(self, item: dict) -> dict:
        if item["subject"] == Stopping.at:
            raise KeyboardInterrupt
        return item


def test_a_stopped_preprocessing_leaves_whole_cases_and_goes_on(tmp_path: Path, monkeypatch) -> None:
    data = cases(tmp_path / "in", 6)
    transforms = [*loading(), Stopping()]
    with pytest.raises(KeyboardInterrupt):
        DiskDataset(data, transforms, tmp_path / "cache", tell=None)
    kept = len(list((tmp_path / "cache").glob("*.json")))
    assert 1 <= kept < 6
    assert not list((tmp_path / "cache").glob(".partial-*"))
    monkeypatch.setattr(Stopping, "at", None)
    told: list[str] = []
    assert len(DiskDataset(data, transforms, tmp_path / "cache", tell=told.append)) == 6
    assert told[0].startswith(f"{6 - kept} cases")


def test_bad_cases_are_told_together_and_a_full_disk_before_the_work(tmp_path: Path, monkeypatch) -> None:
    data = cases(tmp_path / "in")
    Path(str(data[0]["image"])).write_bytes(b"no image")
    nib.save(nib.Nifti1Image(np.full(SHAPE, 1e6, np.float32), np.eye(4)), data[2]["image"])
    with pytest.raises(DataProblem) as raised:
        DiskDataset(data, loading(), tmp_path / "cache", tell=None)
    first, second = raised.value.problems
    assert str(first).startswith("sub-000: cannot be preprocessed")
    assert str(second).startswith("sub-002: 'image' holds values that are not finite or beyond 65504; scale it in")
    assert len(list((tmp_path / "cache").glob("*.json"))) == 2
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(DataProblem, match=r"disk cache: the preprocessed cases may need 0\.0 GB, and 0\.0 GB are free"):
        DiskDataset(data[1:2], loading(), tmp_path / "other", tell=None)
    assert not list((tmp_path / "other").iterdir())


class Filled:
    """An image of 4 MB in half precision."""

    def __call__(self, item: dict) -> dict:
        return {**item, "image": torch.full((2, 100, 100, 100), float(item["label"]))}


def test_a_disk_that_fills_up_meanwhile_is_one_sentence(tmp_path: Path) -> None:
    """What a file may have is limited, as on a full disk: the write stops in the middle."""
    data = cases(tmp_path / "in")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(DataProblem) as raised:
            DiskDataset(data, loading(), tmp_path / "cache", tell=None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(raised.value) == (
        "disk cache: the disk is full, or a file may not be so large; free some room and run the same command again."
    )
    assert not list((tmp_path / "cache").iterdir())
    assert len(DiskDataset(data, loading(), tmp_path / "cache", tell=None)[0]["image"]) == 1


def test_memory_stays_flat_over_more_data_than_it_may_hold(tmp_path: Path) -> None:
    """240 MB of cases through a stock loader named by a config; the process may grow by 40."""
    config = {
        "dataset": {
            "_target_": "treatment_response.cases.disk_cache.DiskDataset",
            "data": [{"label": number} for number in range(60)],
            "transforms": [{"_target_": f"{Filled.__module__}.Filled"}],
            "cache_dir": str(tmp_path / "cache"),
            "tell": None,
        },
        "loader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 2, "num_workers": 0},
    }
    loader = ConfigParser(config).get_parsed_content("loader")
    assert isinstance(loader, DataLoader)
    process = psutil.Process()
    next(iter(loader))
    start, most = process.memory_info().rss, 0
    for number, batch in enumerate(loader):
        assert batch["image"].shape == (2, 2, 100, 100, 100)
        assert float(batch["image"][1, 0, 0, 0, 0]) == 2 * number + 1
        most = max(most, process.memory_info().rss - start)
    assert sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) > 240e6
    assert most < 40e6
