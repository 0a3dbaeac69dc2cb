"""Whether two checkouts train the same network to the last bit, on this machine.

Each checkout trains the paper's network (``train.json``) and the stronger one (``improved.json`` on top) for a few
epochs, on fold 0 of the same small synthetic data set, on one thread of the processor. Then every tensor of
``model.pt`` and every line of ``history.csv`` are compared. One line per network is printed; the exit status is 1 if
one of them differs.

    .venv/bin/python benchmarks/same_training.py OTHER_CHECKOUT
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
import torch

CHECKOUT = Path(__file__).resolve().parent.parent
CONFIGS = {"train.json": ("train.json",), "improved.json": ("train.json", "improved.json")}
"""What is trained, and the configs of each in their order."""
SHAPE, SPACING_MM, RADIUS_MM = (48, 48, 10), (1.0, 1.0, 2.5), 7.0
PATIENTS, FOLDS = 8, 2
# One process per checkout trains everything, because its start takes longer than the trainings.
PROGRAM = """
import json, pathlib, sys
import treatment_response
from monai.bundle import run
checkout, trainings = sys.argv[1], json.loads(sys.argv[2])
imported = pathlib.Path(treatment_response.__file__).resolve()
if pathlib.Path(checkout) not in imported.parents:
    sys.exit(f"the package comes from {imported.parent}, which is not in {checkout}")
for settings in trainings:
    run("training", **settings)
"""


def write_dataset(root: Path) -> Path:
    """Write a small prepared data set: one lesion per patient, brighter where it responds, in both sessions."""
    rng = np.random.default_rng(0)
    affine = np.diag([*SPACING_MM, 1.0])
    mm = np.indices(SHAPE) * np.reshape(SPACING_MM, (3, 1, 1, 1))
    mm -= mm.mean(axis=(1, 2, 3), keepdims=True)
    lesion = np.linalg.norm(mm, axis=0) <= RADIUS_MM
    head = np.linalg.norm(mm / np.reshape((22, 22, 12), (3, 1, 1, 1)), axis=0) <= 1
    samples = []
    for number in range(PATIENTS):
        label, subject = number // FOLDS % 2, f"sub-{number + 1:03d}"
        for session in ("ses-01", "ses-02"):
            image = 400.0 * head + (150.0 + 150.0 * label) * lesion + rng.normal(0, 15, SHAPE)
            names = {"image": f"{subject}_{session}.nii.gz", "mask": f"{subject}_{session}_mask.nii.gz"}
            nibabel.save(nibabel.Nifti1Image(np.rint(image).astype(np.int16), affine), root / names["image"])
            nibabel.save(nibabel.Nifti1Image(lesion.astype(np.uint8), affine), root / names["mask"])
            facts = {"label": label, "subject": subject, "lesion": "L01", "session": session}
            samples.append({**names, **facts, "fold": number % FOLDS, "volume_change": -0.5 * label})
    content = {"name": "synthetic balls", "synthetic": True, "response_threshold": 0.2, "folds": FOLDS}
    content["labels"] = {"0": "non-response", "1": "response"}
    (root / "dataset.json").write_text(json.dumps({**content, "training": samples}))
    return root


def start(checkout: Path, dataset: Path, out: Path, epochs: int) -> subprocess.Popen[str]:
    """Start the trainings of one checkout, by its own configs and its own package.

    Args:
        checkout: root of the repository. dataset: prepared data set.
        out: gets a run's folder per network, named as in `CONFIGS`.
    """
    common = {"dataset_dir": str(dataset), "fold": 0, "max_epochs": epochs, "batch_size": 8, "picture_interval": 0}
    trainings = [
        {
            **common,
            "config_file": [str(checkout / "bundle" / "configs" / file) for file in files],
            "output_dir": str(out / name),
        }
        for name, files in CONFIGS.items()
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout / "bundle"),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",  # only the processor gives the same bits each time
    }
    command = [sys.executable, "-c", PROGRAM, str(checkout), json.dumps(trainings)]
    out.mkdir()
    return subprocess.Popen(
        command, cwd=out, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def different_tensors(here: Mapping[str, torch.Tensor], there: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the tensors that are missing on one side, or differ in shape, type or any bit."""

    def same(name: str) -> bool:
        a, b = here[name].numpy(), there[name].numpy()
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()

    return [name for name in sorted({*here, *there}) if name not in here or name not in there or not same(name)]


def compare(runs: Sequence[Path]) -> tuple[bool, str]:
    """Whether two runs ended in the same bits, and what to print of them."""
    here, there = (torch.load(run / "models" / "model.pt", map_location="cpu", weights_only=True) for run in runs)
    different = different_tensors(here, there)
    histories = [(run / "history.csv").read_bytes() for run in runs]
    faults = []
    if different:
        faults.append(f"{len(different)} of {len({*here, *there})} tensors differ, {different[0]} is the first")
    if histories[0] != histories[1]:
        faults.append("history.csv differs")
    epochs = histories[0].count(b"\n") - 1
    return not faults, "; ".join(faults) or f"the same: {len(here)} tensors and {epochs} epochs of history"


def main() -> int:
    """Train in both checkouts at the same time and print a line per network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "other", type=Path, metavar="OTHER_CHECKOUT", help="for example a git worktree of an older commit"
    )
    parser.add_argument("--epochs", type=int, default=3, help="of each training (default 3)")
    a = parser.parse_args()
    if not (a.other / "bundle" / "configs" / "train.json").is_file():
        parser.error(f"{a.other} holds no bundle/configs/train.json; name the root of a checkout")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        dataset = work / "dataset"
        dataset.mkdir()
        write_dataset(dataset)
        checkouts = {"here": CHECKOUT, "there": a.other.resolve()}
        processes = {name: start(root, dataset, work / name, a.epochs) for name, root in checkouts.items()}
        logs = {name: process.communicate()[0] for name, process in processes.items()}
        for name, process in processes.items():
            if process.returncode:
                print(f"{logs[name][-3000:]}\nthe training in {checkouts[name]} failed", file=sys.stderr)
                return 2
        results = {name: compare([work / side / name for side in checkouts]) for name in CONFIGS}
    for name, (_, sentence) in results.items():
        print(f"{name}: {sentence}")
    return 0 if all(same for same, _ in results.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
