"""What several test folders share."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden_values import Golden
from orthanc_server import OrthancServer, missing_orthanc
from preloaded_python import preloaded_python

REPOSITORY = Path(__file__).resolve().parent.parent

# Tests run in as many processes as there are cores: more threads would wait for each other. Libraries read this once.
os.environ["OMP_NUM_THREADS"] = "1"
# A suite that a script started in the background ignores SIGINT, and so would the programs that its tests stop by it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden values are recorded anew by a run with this option."""
    parser.addoption("--write-goldens", action="store_true", help="record golden values (tests/golden) anew")


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden values, to compare with."""
    return Golden(request.config.getoption("--write-goldens"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images, which is not part of the project; tests that need it skip without it."""
    folder = Path(os.environ.get("TREATMENT_RESPONSE_DATA", "../shared/data"))
    if not folder.is_absolute():
        folder = (REPOSITORY / folder).resolve()
    if not folder.is_dir():
        pytest.skip("real test images are missing: set TREATMENT_RESPONSE_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    """A real PACS, shared by the session: what a test stores there, other tests see, so use studies of your own."""
    if reason := missing_orthanc():
        pytest.skip(reason)
    with OrthancServer(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def preloaded_workers() -> Iterator[None]:
    """Processes that a module's tests start by `multiprocessing` have their libraries already."""
    multiprocessing.set_executable(preloaded_python().python)
    yield
    multiprocessing.set_executable(sys.executable)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that take minutes start first: begun last, one of them would keep a single worker busy at the end."""
    items.sort(key=lambda item: item.get_closest_marker("end_to_end") is None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where TREATMENT_RESPONSE_NO_SKIPS is set (continuous integration), a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("TREATMENT_RESPONSE_NO_SKIPS") and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("TREATMENT_RESPONSE_NO_SKIPS is set, and tests were skipped: failing.", red=True)
