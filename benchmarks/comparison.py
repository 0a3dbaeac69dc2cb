"""Time the whole comparison of radiomics, gradients and the network, and its parts, against limits and against Keras.

1. Radiomics of every lesion in both sessions, in a fresh folder, scaled to 69 lesions × 2 sessions.
2. Keras ``model.fit`` on as many samples as a trial trains on: one process with two threads, one with one, and two
   single-thread processes at once; the best of them counts. Its start-up and first epoch do not count.
3. ``scripts/compare.py DATASET --trials 50 --methods radiomics gradient cnn`` in a fresh folder. A trial of the network
   is the time from the start of the first trial to the scores of the last, divided by their number: two single-thread
   processes, with everything that a trial does beside training (checkpoints, history, CAM scale, scoring).
4. A few trials in bfloat16, where the processor has it.

Exit status 1 if a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from training_vs_keras import COPIES, KERAS_PYTHON, ROOT, Contestant, contestants, keras_epoch_ends, run
from treatment_response.evaluation.comparison.splits import make_splits, read_lesions

WORKERS = 2
SCANS = 69 * 2
TOTAL_LIMIT, RADIOMICS_LIMIT = 3600.0, 240.0
FLOAT32_LIMIT, BFLOAT16_LIMIT = 0.75, 0.6


EXTRACT = f"""
import sys, time
from treatment_response.features.extraction import extract_dataset
from treatment_response.features.radiomics import RADIOMICS_GROUP
start = time.perf_counter()
extract_dataset(sys.argv[1], ("ses-01", "ses-02"), sys.argv[2], {WORKERS}, [RADIOMICS_GROUP])
print(time.perf_counter() - start)
"""


def radiomics_seconds(dataset: Path, folder: Path) -> float:
    """Wall seconds of measuring all lesions in both sessions, scaled to `SCANS`."""
    scans = len(json.loads((dataset / "dataset.json").read_text())["training"])
    # A process of its own: workers import what their parent's script imports.
    done = subprocess.run(
        [sys.executable, "-c", EXTRACT, str(dataset), str(folder)], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout) * SCANS / scans


def keras_seconds(dataset: Path, samples: int, epochs: int) -> dict[str, float]:
    """Seconds per trial of each way to run Keras."""
    ways = {c.name: c for c in contestants(dataset, samples, epochs, [2, 1], False) if c.epoch_ends is keras_epoch_ends}
    found = {name: run(way, epochs).epochs_seconds for name, way in ways.items()}

    def one(way: Contestant) -> float:
        return run(way, epochs).epochs_seconds

    with ThreadPoolExecutor(WORKERS) as pool:
        together = list(pool.map(one, [ways["Keras, 1 thread"]] * WORKERS))
    return {**found, f"Keras, {WORKERS} processes of 1 thread": max(together) / WORKERS}


def compare(dataset: Path, out: Path, trials: int, epochs: int, methods: list[str], overlays: list[str]) -> float:
    """Run the command; its wall seconds."""
    command = [sys.executable, str(ROOT / "scripts" / "compare.py"), str(dataset), "--out", str(out)]
    command += ["--trials", str(trials), "--epochs", str(epochs), "--workers", str(WORKERS), "--methods", *methods]
    if overlays:
        command += ["--overlay", *overlays]
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def trial_seconds(out: Path) -> float:
    """Wall seconds per trial of the network, from the first trial's start to the last one's scores."""
    starts = [file.stat().st_mtime for file in out.glob("trials/cnn/*/provenance.json")]
    ends = [file.stat().st_mtime for file in out.glob("trials/cnn/*/predictions.csv")]
    return (max(ends) - min(starts)) / len(ends)


def has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16."""
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and any(flag in flags.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def main() -> int:
    """Measure, print the table, say which limits hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True, help="prepared data set")
    parser.add_argument("--trials", type=int, default=50, help="fewer for a quick look")
    parser.add_argument("--epochs", type=int, default=150, help="at least 3; few for a quick look")
    parser.add_argument("--bf16-trials", type=int, default=4, help="a multiple of 2, for two processes")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "comparison_benchmark.json", help="as JSON")
    parser.add_argument("--keep", type=Path, help="new folder that keeps the comparison; without it nothing is kept")
    args = parser.parse_args()
    if args.epochs < 3:
        parser.error("--epochs: Keras' first epoch is not counted and one is no measure; give at least 3")
    if not KERAS_PYTHON.is_file():
        parser.error(f"{KERAS_PYTHON} is missing: run `make -C benchmarks keras`")
    if args.keep is not None and args.keep.exists():
        parser.error(f"{args.keep} exists: a comparison that goes on from another one is no measure")
    if not (args.dataset / "dataset.json").is_file():
        parser.error(f"{args.dataset} holds no dataset.json: give a prepared data set")
    dataset = args.dataset.resolve()
    lesions = read_lesions(dataset)
    splits = make_splits(lesions, args.trials, "B")
    samples = COPIES * round(sum(len(split.training(lesions)) for split in splits) / len(splits))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        radiomics = radiomics_seconds(dataset, folder / "features")
        keras = keras_seconds(dataset, samples, args.epochs)
        compared = folder / "all" if args.keep is None else args.keep.resolve()
        total = compare(dataset, compared, args.trials, args.epochs, ["radiomics", "gradient", "cnn"], [])
        seconds = {"float32": trial_seconds(compared)}
        if has_bfloat16():
            overlay = folder / "bf16.json"
            overlay.write_text('{"bf16": true}')
            compare(dataset, folder / "bf16", args.bf16_trials, args.epochs, ["cnn"], [str(overlay)])
            seconds["bfloat16"] = trial_seconds(folder / "bf16")
    best = min(keras, key=lambda way: keras[way])
    ratios = {kind: value / keras[best] for kind, value in seconds.items()}
    checks = [
        (f"whole comparison, {args.trials} trials, s", total, TOTAL_LIMIT),
        ("radiomics, 69 lesions × 2 sessions, s", radiomics, RADIOMICS_LIMIT),
        (f"network in float32 ÷ {best}", ratios["float32"], FLOAT32_LIMIT),
    ]
    if "bfloat16" in ratios:
        checks.append((f"network in bfloat16 ÷ {best}", ratios["bfloat16"], BFLOAT16_LIMIT))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figures = {"load": load, "samples": samples, "keras": keras, "network": seconds, "total": total}
    args.out.write_text(json.dumps({**figures, "radiomics": radiomics, "trials": args.trials, "epochs": args.epochs}))

    print(f"{samples} samples per trial, {args.epochs} epochs, load before {load:.1f}\n\nseconds per trial")
    for way, value in {**keras, **{f"network, {kind}": value for kind, value in seconds.items()}}.items():
        print(f"  {way:42}{value:9.1f}")
    print(f"\n{'':56}{'measured':>10}{'limit':>8}")
    for what, value, limit in checks:
        print(f"{what:56}{value:10.2f}{limit:8.2f}  {'holds' if value <= limit else 'MISSED'}")
    if "bfloat16" not in ratios:
        print("bfloat16 was left out: the processor does not have it")
    return int(any(value > limit for _, value, limit in checks))


if __name__ == "__main__":
    sys.exit(main())
