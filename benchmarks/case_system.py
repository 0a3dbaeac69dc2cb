"""How long the server works on one case of RICE-NET whose inputs it has found before, and where the time goes.

Full widths, random weights, images of noise in an ellipsoid as large as a brain: only the time means anything. It is
what a later request for the same image takes; the first one registers and finds the brain too. Processor time moves
little with other work on the machine, wall time does.

    python benchmarks/case_system.py [--size 128] [--members 1] [--threads 2]

Exits with status 1 if the processor time, shared by the threads, is above a minute.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from treatment_response.classes import classes_of
from treatment_response.configs import read_configs
from treatment_response.geometry import Volume
from treatment_response.inference.case_explainer import CaseExplainer
from treatment_response.model_description import TrainingData
from treatment_response.paths import bundle_root
from treatment_response.weights import write_weights

LIMIT_S, FIELD_MM = 60.0, 224.0
SHAPE, SEMI_AXES = (180, 216, 180), 0.42
"""Voxels of 1 mm; semi-axes of the brain as a share of them: 0.31 of the volume."""
CLASSES = {"names": ["radiation effect", "recurrence"], "finding": "recurrence", "primary_metric": "auc"}


def build(folder: Path, size: int, members: int) -> CaseExplainer:
    """The system with random weights, at this many voxels along a side."""
    configs = Path(bundle_root()) / "configs"
    overlay = json.loads((configs / "rice_net.json").read_text()) | {"patch_size": size, "pixel": FIELD_MM / size}
    (folder / "overlay.json").write_text(json.dumps(overlay))
    files = (configs / "inference.json", folder / "overlay.json")
    weights = []
    for number in range(members):
        torch.manual_seed(number)
        network = read_configs([str(file) for file in files]).get_parsed_content("network_def")
        data = TrainingData(name="none", synthetic=True, lesions=1, patients=1, protocol="patients", fold=number)
        scales = {"occlusion": dict.fromkeys(CLASSES["names"], 0.1)}
        weights.append(folder / f"member_{number}.pt")
        write_weights(weights[-1], network, scales, data, classes_of(CLASSES))
    return CaseExplainer(files, weights if members > 1 else weights[0])


def volumes() -> dict[str, Volume]:
    """A case on one grid."""
    random, affine = np.random.default_rng(0), np.eye(4)
    axes = np.meshgrid(*(np.linspace(-0.5, 0.5, length) / SEMI_AXES for length in SHAPE), indexing="ij", sparse=True)
    radius = np.asarray(sum(axis**2 for axis in axes))
    event = 900 + 90 * random.normal(size=SHAPE)
    arrays = {
        "event": event,
        "post_operative": 0.5 * event + 30 * random.normal(size=SHAPE),
        "dose": 60 * np.exp(-radius),
        "brain": np.asarray(radius < 1),
    }
    return {name: Volume(array.astype(np.float32), affine) for name, array in arrays.items()}


def main() -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128, help="voxels along a side of the network's input")
    parser.add_argument("--members", type=int, default=1, help="networks of the ensemble")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        explainer = build(Path(name), options.size, options.members)
        case = volumes()
        wall, processor = time.perf_counter(), time.process_time()
        explained = explainer.explain(case, name="case")
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    parts = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in explained.seconds.items())
    shared = processor / options.threads
    print(f"{options.size}³, {options.members} network(s), {options.threads} threads: wall {wall:.1f} s ({parts})")
    print(f"processor {processor:.1f} s, {shared:.1f} s for each thread; limit {LIMIT_S:g} s")
    return int(shared > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
