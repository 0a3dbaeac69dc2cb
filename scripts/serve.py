"""See it: a PACS with a few synthetic patients, the MONAI Label app, and OHIF for review, on this machine only."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from treatment_response.problems import DataProblem, Problem
from treatment_response.stopping import stop_on_terminate

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "apps" / "pulsar_response"))

from pulsar_app.local.app_server import start_app  # noqa: E402
from pulsar_app.local.maps import map_link, prediction_link  # noqa: E402
from pulsar_app.local.processes import Program  # noqa: E402
from pulsar_app.local.site import FOLDER, Plan, start  # noqa: E402

NOTICE = "RESEARCH USE ONLY. The patients are synthetic, and so is all that the delivered weights have learned."


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=Path, help="folder of NIfTI to serve instead; needs no PACS and no viewer")
    parser.add_argument("--port", type=int, default=8000, help="wanted port; another free one is taken if it is in use")
    parser.add_argument("--patients", type=int, default=4, help="synthetic patients to load")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where everything is kept")
    parser.add_argument("--listen", default="127.0.0.1", help="another address only inside a container (compose.yaml)")
    options = parser.parse_args(arguments)
    stop_on_terminate()
    os.umask(0o077)  # what is written holds patients' images
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, signal.default_int_handler)  # the terminal was closed
    try:
        with ExitStack() as stack:
            try:
                _lock(options.folder, stack)
                if options.studies:
                    _serve_folder(options.studies, options.folder.resolve(), options.port, stack)
                else:
                    _serve_pacs(Plan(options.folder, options.patients, options.port, options.listen), stack)
            except KeyboardInterrupt:
                # A second Ctrl-C must not leave half of the programs running.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                print("\nStopping …", flush=True)
    except DataProblem as problem:
        print(problem, file=sys.stderr)
        return 2
    print("Stopped.")
    return 0


def _lock(folder: Path, stack: ExitStack) -> None:
    """Keep a second start out of the folder; the lock ends with this process."""
    folder.mkdir(parents=True, exist_ok=True)
    lock: IO[bytes] = stack.enter_context((folder / "lock").open("wb"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataProblem(
            Problem(
                f"folder '{folder}'", "is in use by another `make serve`", "stop that one, or give another --folder"
            )
        ) from None


def _serve_folder(studies: Path, folder: Path, port: int, stack: ExitStack) -> None:
    if not studies.is_dir():
        raise DataProblem(Problem(f"--studies {studies}", "is not a folder", "give a folder of NIfTI files"))
    program, url = start_app(str(studies.resolve()), folder, port)
    stack.callback(program.stop)
    _say_port(port, int(url.rsplit(":", 1)[1]))
    print(f"\nServing the folder '{studies.name}' at {url} (for 3D Slicer and other MONAI Label clients).\n{NOTICE}")
    _wait(program)


def _serve_pacs(plan: Plan, stack: ExitStack) -> None:
    site = start(plan, stack, lambda step: print(step, flush=True))
    _say_port(plan.port, site.port)
    print(f"\n{NOTICE}\n")
    for number, found in enumerate(site.maps, start=1):
        print(f"Synthetic patient {number}, first MRI")
        print(f"  predict:  {prediction_link(site.url, found.mr)}")
        print(f"  its map:  {map_link(site.url, found)}")
    print(f"\nAll studies: {site.url}/   3D Slicer's MONAI Label server: {site.url}   Ctrl-C stops everything.")
    _wait(*site.programs)


def _say_port(wanted: int, taken: int) -> None:
    if wanted not in (0, taken):
        print(f"Port {wanted} is in use by another program; {taken} is used instead.")


def _wait(*programs: Program) -> None:
    """Return never, unless a program ends."""
    sys.stdout.flush()
    while all(program.running for program in programs):
        time.sleep(0.5)
    raise DataProblem(*(program.ended() for program in programs if not program.running))


if __name__ == "__main__":
    sys.exit(main())
