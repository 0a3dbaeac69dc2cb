"""All that `make serve` starts, in order, and how to find it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pulsar_app.local import maps, patients
from pulsar_app.local.app_server import start_app
from pulsar_app.local.gateway import Gateway
from pulsar_app.local.ohif_review import install_ohif
from pulsar_app.local.orthanc import Orthanc
from pulsar_app.local.parts import find_orthanc
from pulsar_app.local.processes import LOOPBACK, Program

ROOT = Path(__file__).resolve().parents[4]
MODEL = ROOT / "bundle" / "models" / "model.pt"
DEMO_COHORT = ROOT / "demo" / "cohort"
FOLDER = ROOT / "build" / "serve"
VIEWER = ROOT / "build" / "ohif"


@dataclass(frozen=True)
class Plan:
    """What to start.

    Attributes:
        folder: where everything is kept.
        patients: how many synthetic patients to load.
        port: wanted port of the gateway; another free one is taken if it is in use. 0: any.
        listen: address of the gateway, see `Gateway`.
    """

    folder: Path = FOLDER
    patients: int = 4
    port: int = 8000
    listen: str = LOOPBACK


@dataclass(frozen=True)
class Site:
    """What runs.

    Attributes:
        url: of the gateway, for people and viewers.
        port: of the gateway.
        maps: of each patient's first MR, in the order of the patients.
        programs: what has to go on running.
    """

    url: str
    port: int
    maps: list[maps.StoredMap]
    programs: tuple[Program, ...]


def start(plan: Plan, stack: ExitStack, say: Callable[[str], None]) -> Site:
    """Start everything; ``stack`` stops it.

    Args:
        plan: what to start.
        stack: gets what has to be undone, also of what was started before something failed.
        say: told what is being done.

    Raises:
        DataProblem: a part is missing, or does not start.
    """
    find_orthanc()
    folder = plan.folder.resolve()
    archive = folder / "archive"
    say("OHIF for review …")
    pages = install_ohif(VIEWER)
    say("Synthetic patients …")
    cohort = patients.cohort_of(DEMO_COHORT, folder, plan.patients)
    new = patients.clear_if_older(archive, cohort, plan.patients, MODEL)
    orthanc = stack.enter_context(Orthanc(archive / "orthanc"))
    if new:
        orthanc.load(patients.files_of(cohort, plan.patients))
        patients.stamp_loaded(archive)
    say("The app …")
    app, server = start_app(orthanc.dicomweb, archive / "server")
    stack.callback(app.stop)
    gateway = stack.enter_context(Gateway(plan.port, pages, orthanc.url, server, plan.listen))
    say("Maps …")
    found = list(maps.stored_maps(patients.first_mris(orthanc), server, archive))
    return Site(gateway.url, gateway.port, found, (orthanc.program, app))
