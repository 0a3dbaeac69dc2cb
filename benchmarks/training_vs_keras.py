"""Time one paper trial through ``python -m monai.bundle run training`` against Keras ``model.fit``, in the same run.

Every contestant is a process of its own; they take turns, as often as asked, and medians are compared. Keras runs at
each thread count and its better one counts; the bundle is judged as it is shipped (torch's own thread count, float32).
Times are given twice: the epochs alone (from the end of the first to the end of the last, scaled to all of them, so
that neither side's start-up counts), and the whole process with imports, reading and preprocessing.

Exit status 1 if the bundle's epochs take longer than Keras', or its peak memory reaches 2 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KERAS_PYTHON = ROOT / "build" / "keras-venv" / "bin" / "python"
COPIES = 6  # each lesion as it is, and turned by 10, 15, 30, 45 and 90 degrees
MEMORY_LIMIT_MB = 2048


@dataclass(frozen=True)
class Contestant:
    """One way to train.

    Attributes:
        command: started in a folder of its own, the last argument.
        threads: fixed for the whole process where not None.
        epoch_ends: reads from that folder when each epoch ended, in seconds from any zero.
    """

    name: str
    command: list[str]
    threads: int | None
    epoch_ends: Callable[[Path], list[float]]


@dataclass(frozen=True)
class Run:
    """What one process took; load is the machine's one-minute average before it started."""

    name: str
    epochs_seconds: float
    process_seconds: float
    cpu_seconds: float
    peak_mb: float
    load: float


def keras_epoch_ends(folder: Path) -> list[float]:
    """From the JSON of ``keras_trial.py``."""
    seconds = json.loads((folder / "keras.json").read_text())["epoch_seconds"]
    return [sum(seconds[: i + 1]) for i in range(len(seconds))]


def bundle_epoch_ends(folder: Path) -> list[float]:
    """From the TensorBoard events that the trainer writes at the end of each epoch."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [event.wall_time for event in events.Scalars("loss")]


def contestants(dataset: Path, samples: int, epochs: int, threads: list[int], jit: bool) -> list[Contestant]:
    """Keras at each thread count; the bundle as shipped, with one thread, and in bfloat16."""
    keras = [
        str(KERAS_PYTHON),
        str(ROOT / "benchmarks" / "keras_trial.py"),
        f"--samples={samples}",
        f"--epochs={epochs}",
    ]
    bundle = [
        *(sys.executable, "-m", "monai.bundle", "run", "training", "--protocol", "A", "--max_epochs", str(epochs)),
        *("--config_file", str(ROOT / "bundle/configs/train.json"), "--dataset_dir", str(dataset)),
        *("--device", "$torch.device('cpu')"),
    ]
    options = [[], ["--jit"]] if jit else [[]]
    found = [
        Contestant(
            f"Keras, {count} thread{'s' * (count > 1)}{', XLA' * bool(option)}",
            [*keras, f"--threads={count}", *option, "--out"],
            None,  # TensorFlow is told, above
            keras_epoch_ends,
        )
        for option in options
        for count in threads
    ]
    shipped = Contestant("bundle", [*bundle, "--output_dir"], None, bundle_epoch_ends)
    single = Contestant("bundle, 1 thread", [*bundle, "--output_dir"], 1, bundle_epoch_ends)
    half = Contestant("bundle, bf16", [*bundle, "--bf16", "True", "--output_dir"], None, bundle_epoch_ends)
    return [shipped, *found, single, half]


def run(contestant: Contestant, epochs: int) -> Run:
    """Start it, wait, and measure it alone (the kernel's own account of that process).

    Raises:
        RuntimeError: the process failed; the end of its output is in the message.
    """
    environment = dict(os.environ)
    if contestant.threads is not None:
        environment["OMP_NUM_THREADS"] = str(contestant.threads)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile() as output:
        folder = Path(name)
        target = folder / "keras.json" if contestant.epoch_ends is keras_epoch_ends else folder
        start = time.perf_counter()
        process = subprocess.Popen(
            [*contestant.command, str(target)], env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            tail = output.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"'{contestant.name}' ended with status {process.returncode}:\n{tail}")
        ends = contestant.epoch_ends(folder)
    return Run(
        contestant.name,
        epochs_seconds=(ends[-1] - ends[0]) * epochs / (epochs - 1),
        process_seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
        load=load,
    )


def summarise(runs: list[Run]) -> list[Run]:
    """Medians per contestant, in the order of the first round."""
    quantities = ("epochs_seconds", "process_seconds", "cpu_seconds", "peak_mb", "load")
    return [
        Run(name, **{q: statistics.median(getattr(r, q) for r in runs if r.name == name) for q in quantities})
        for name in dict.fromkeys(r.name for r in runs)
    ]


def main() -> int:
    """Run all contestants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--dataset", type=Path, required=True, help="prepared data set; 69 lesions give the paper's 414"
    )
    parser.add_argument("--epochs", type=int, default=150, help="at least 3; few for a quick look")
    parser.add_argument("--repeats", type=int, default=1, help="rounds in which every contestant runs once")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts for Keras")
    parser.add_argument("--jit", action="store_true", help="let Keras try XLA as well (slower where it was tried)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "training_vs_keras.json", help="all runs, as JSON")
    args = parser.parse_args()
    if args.epochs < 3:
        parser.error("--epochs: the first epoch is not counted and one is no measure; give at least 3")
    if not KERAS_PYTHON.is_file():
        parser.error(f"{KERAS_PYTHON} is missing: run `make -C benchmarks keras`")
    datalist = args.dataset / "dataset.json"
    if not datalist.is_file():
        parser.error(f"{datalist} is missing: give a prepared data set, such as the one that `make study` leaves")
    lesions = sum(item["session"] == "ses-01" for item in json.loads(datalist.read_text())["training"])
    samples = lesions * COPIES

    runs = []
    field = contestants(args.dataset.resolve(), samples, args.epochs, args.threads, args.jit)
    for _ in range(args.repeats):
        for contestant in field:
            runs.append(run(contestant, args.epochs))
            print(f"{contestant.name}: {runs[-1].epochs_seconds:.1f} s", file=sys.stderr)
    table = summarise(runs)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(
        json.dumps({"samples": samples, "epochs": args.epochs, "runs": [asdict(r) for r in runs]}, indent=1)
    )

    keras = min((r for r in table if r.name.startswith("Keras")), key=lambda r: r.epochs_seconds)
    bundle = next(r for r in table if r.name == "bundle")
    print(
        f"{samples} samples, {args.epochs} epochs, {args.repeats} round(s); ratio = epochs ÷ epochs of '{keras.name}'\n"
    )
    print(f"{'':22}{'epochs s':>10}{'ratio':>8}{'process s':>11}{'CPU s':>8}{'peak MB':>9}{'load':>6}")
    for r in table:
        ratio = r.epochs_seconds / keras.epochs_seconds
        print(
            f"{r.name:22}{r.epochs_seconds:10.1f}{ratio:8.2f}{r.process_seconds:11.1f}{r.cpu_seconds:8.1f}"
            f"{r.peak_mb:9.0f}{r.load:6.1f}"
        )
    return int(bundle.epochs_seconds > keras.epochs_seconds or bundle.peak_mb >= MEMORY_LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
