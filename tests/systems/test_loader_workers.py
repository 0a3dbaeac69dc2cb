"""Several workers that load: the same training as with none, seeds of their own, and memory that does not grow."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rano_case
import tiny_systems
import torch
from test_rano_net import overlay_file, parsed
from torch.utils.data import DataLoader, Dataset, get_worker_info
from treatment_response.cases.disk_cache import DiskDataset
from treatment_response.cases.disk_samples import DiskImages, half_samples
from treatment_response.cases.samples import SampleRow, Samples
from treatment_response.classes import classes_of

WORKERS = 2
CASES, GRID = 16, (4, 64, 64, 64)  # 2 MiB each in half precision


class WorkerSeeds(Dataset):
    """Each item says who made it, and with which random numbers."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> dict[str, Any]:
        worker = get_worker_info()
        assert worker is not None
        drawn = (torch.initial_seed(), int(torch.randint(2**31, ())), int(np.random.randint(2**31)))  # noqa: NPY002  a transform may draw so
        return {"worker": worker.id, "drawn": np.array(drawn)}


class Filled:
    """A case's number everywhere."""

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "image": np.full(GRID, item["case"], np.float16)}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Samples on disk, of all classes."""
    root = tmp_path_factory.mktemp("loader")
    dataset = DiskDataset([{"case": n} for n in range(CASES)], [Filled()], root, tell=None)
    rows = [SampleRow(f"sub-{n:03d}", "c", "ses-01", 0, n % 4) for n in range(CASES)]
    return Samples(DiskImages(dataset, range(CASES)), rows, classes_of(rano_case.CLASSES))


def loader(samples: Samples, **more: Any) -> DataLoader:
    """The training's loader as the system's overlay builds it."""
    given = {"train_dataset": samples, "loader_workers": WORKERS, "batch_size": 4, **more}
    made: DataLoader = parsed("train.json", "rano.json", **given).get_parsed_content("train_dataloader")
    assert (made.num_workers, made.persistent_workers) == (WORKERS, True)
    return made


def test_each_worker_has_seeds_of_its_own_which_are_the_same_again(samples: Samples) -> None:
    def seeds(seed: int) -> dict[int, list[tuple[int, ...]]]:
        found: dict[int, list[tuple[int, ...]]] = {}
        torch.manual_seed(5)  # of the sampler, as `SeedEveryEpoch` does
        for batch in loader(samples, seed=seed, **{"train_dataloader#dataset": WorkerSeeds(CASES)}):
            for worker, drawn in zip(batch["worker"].tolist(), batch["drawn"].tolist(), strict=True):
                found.setdefault(worker, []).append(tuple(drawn))
        return found

    first = seeds(0)
    assert sorted(first) == list(range(WORKERS))
    numbers = [drawn for own in first.values() for drawn in own]
    assert len({drawn[1] for drawn in numbers}) == len({drawn[2] for drawn in numbers}) == CASES
    assert not {drawn[0] for drawn in first[0]} & {drawn[0] for drawn in first[1]}
    assert seeds(0) == first
    assert seeds(1) != first


def own_memory(process: int) -> int:
    """Bytes that a process holds for itself alone; pages of mapped files are not among them."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux, whose /proc tells a process's memory")
def test_what_was_read_leaves_the_memory_again(samples: Samples) -> None:
    made = loader(samples)
    held = []
    for epoch in range(6):
        made.sampler.set_epoch(epoch)
        for batch in made:
            assert batch["image"].dtype == torch.float16
            values = batch["image"].flatten(1)
            assert bool((values == values[:, :1]).all())
            assert torch.equal(values[:, 0].long() % 4, batch["label"][:, 0].long())
        held.append([own_memory(worker.pid) for worker in made._iterator._workers])  # type: ignore[union-attr]
    each_epoch = CASES * int(np.prod(GRID)) * 2 / WORKERS
    grown = [last - first for first, last in zip(held[1], held[-1], strict=True)]
    assert max(grown) < each_epoch / 2, held  # four epochs of it were read since


def test_the_samples_go_to_workers_of_any_start_method(samples: Samples) -> None:
    """Where processes are spawned, a worker gets a pickled copy: of where the files lie, and not of what is in them."""
    sent = pickle.dumps(half_samples(samples))
    assert len(sent) < 20_000
    received = pickle.loads(sent)  # noqa: S301  made here
    assert torch.equal(received[3]["image"], half_samples(samples)[3]["image"])


def test_a_training_with_workers_is_the_same_as_without_and_can_be_resumed(tmp_path: Path) -> None:
    data = rano_case.write_dataset(tmp_path / "data", patients=12)
    overlay = overlay_file(tmp_path / "o.json", explanation=None, max_epochs=2)
    given = {"dataset_dir": str(data), "fold": 2}
    tiny_systems.run("train", overlay, **given, output_dir=str(tmp_path / "none"))
    tiny_systems.run("train", overlay, **given, output_dir=str(tmp_path / "two"), loader_workers=WORKERS, max_epochs=1)
    tiny_systems.run("train", overlay, **given, output_dir=str(tmp_path / "two"), loader_workers=WORKERS, resume=True)
    none, two = (torch.load(tmp_path / name / "models" / "model.pt", weights_only=True) for name in ("none", "two"))
    assert all(torch.equal(none[name], two[name]) for name in none)
