"""A Python that has its libraries already, for tests that run many commands: MONAI's import takes seconds each time.

One process imports the libraries once. Its ``python`` and ``torchrun`` have that process run what they are told to, in
a fork of itself, with the caller's arguments, folder, environment, limits and open files. This project's own modules
are not among the libraries: each command imports them anew. What a command starts by ``sys.executable`` is a fork
too. What a fork cannot do (options, another number of threads) goes to a Python of its own.

    subprocess.run(["python", "-m", "monai.bundle", "--help"], env=os.environ | preloaded_python().environment)

A fork has another process id than the caller's child, which passes signals on and ends as the fork does.
"""

from __future__ import annotations

import atexit
import builtins
import fcntl
import gc
import importlib
import json
import os
import resource
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LIBRARIES = [
    "captum.attr", "dicomweb_client", "diskcache", "distributed", "fastapi", "highdicom", "httpx",
    "ignite.engine", "jwt", "matplotlib.pyplot", "monai.bundle", "mpl_toolkits.axes_grid1",
    "multiprocessing.forkserver", "multiprocessing.spawn", "nibabel", "pandas", "pydicom", "pydicom_seg",
    "radiomics", "requests_toolbelt", "rich.console", "rich.progress", "rich.table", "scipy.cluster.hierarchy",
    "scipy.ndimage", "scipy.optimize", "scipy.stats", "shapely", "SimpleITK", "skimage.color",
    "skimage.measure", "skimage.transform", "sklearn.ensemble", "sklearn.feature_selection",
    "sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection", "sklearn.pipeline",
    "sklearn.preprocessing", "torch.distributed.run", "uvicorn",
]  # fmt: skip
# Libraries read these while they are loaded, so that forks have one thread.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
FLAGS = set("BPsu")
LIMITS = (resource.RLIMIT_NOFILE, resource.RLIMIT_DATA, resource.RLIMIT_AS, resource.RLIMIT_CORE)
LONGEST = 200_000  # bytes of a request
MOST_FILES = 250
_FORKING: list[subprocess.Popen[bytes]] = []  # kept, so that its pipe stays open


@dataclass(frozen=True)
class PreloadedPython:
    """The programs that fork.

    Attributes:
        python: what takes the place of ``sys.executable``.
        environment: variables that make a command use it: PATH, and one thread per process.
    """

    python: str
    environment: dict[str, str]


@cache
def preloaded_python() -> PreloadedPython:
    """Start the process that forks, once per test process; it ends with this one."""
    folder = Path(tempfile.mkdtemp(prefix="python-"))
    python = folder / "python"
    environment = {
        "PATH": os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]),
        **dict.fromkeys(THREADS, "1"),
    }
    arguments = [sys.executable, str(python), str(folder / "socket")]
    # Without site packages (-S) the caller's part starts in a hundredth of the time.
    start = " ".join(["exec", sys.executable, "-SE", __file__, "ask", *arguments])
    for name, given in (("python", ""), ("torchrun", "-m torch.distributed.run ")):
        program = folder / name
        program.write_text(f'#!/bin/sh\n{start} {given}"$@"\n')
        program.chmod(0o755)
    forking = subprocess.Popen(
        [sys.executable, __file__, "fork", *arguments],
        stdin=subprocess.PIPE,  # it ends when this pipe does, which this process holds open as long as it lives
        stdout=subprocess.PIPE,
        env=os.environ | environment,
    )
    if forking.stdout is None or forking.stdout.readline() != b"ready\n":
        raise RuntimeError("The preloaded Python does not start; its error stands above.")
    _FORKING.append(forking)
    return PreloadedPython(str(python), environment)


def ask(real: str, address: str, *arguments: str) -> None:
    """The caller's part: have a fork run it, pass signals on, end as it does."""
    flags = 0
    while flags < len(arguments) and arguments[flags][0] == "-" and set(arguments[flags][1:]) <= FLAGS:
        flags += 1
    run = arguments[flags:]
    if not run or (run[0][0] == "-" and run[0] not in ("-c", "-m")):
        os.execv(real, [real, *arguments])
    files = [number for number in (int(entry.name) for entry in Path("/proc/self/fd").iterdir()) if is_open(number)]
    umask = os.umask(0)
    os.umask(umask)
    request = {
        "flags": "".join(flag[1:] for flag in arguments[:flags]), "run": run, "folder": str(Path.cwd()),
        "environment": dict(os.environ), "files": files, "umask": umask,
        "limits": {limit: resource.getrlimit(limit) for limit in LIMITS},
    }  # fmt: skip
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(request).encode()], files)
        fork = int(connection.recv(100) or 0)
        if fork == 0:
            os.execv(real, [real, *arguments])
        for number in files:  # so that who waits for their end waits for the fork alone
            os.close(number)
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signal_number, lambda number, _: os.kill(fork, number))
        status = int(connection.recv(100) or -signal.SIGKILL)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    os._exit(status)


def is_open(number: int) -> bool:
    """Whether this process has an open file of this number."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def fork_when_asked(address: str) -> tuple[dict[str, Any], list[int]]:
    """The preloaded process's loop. It returns in forks alone, with the request and the caller's open files."""
    forks: dict[int, tuple[int, socket.socket]] = {}  # by the file that tells a fork's end: its id, its caller
    with selectors.DefaultSelector() as ready, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(address)
        server.listen(64)
        ready.register(server, selectors.EVENT_READ)
        ready.register(0, selectors.EVENT_READ)
        os.write(1, b"ready\n")
        while True:
            for key, _ in ready.select():
                if key.fd == 0:
                    for fork, _ in forks.values():
                        os.kill(fork, signal.SIGKILL)
                    shutil.rmtree(Path(address).parent)
                    os._exit(0)
                elif key.fileobj in forks:
                    fork, caller = forks.pop(key.fd)
                    status = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
                    ready.unregister(key.fd)
                    os.close(key.fd)
                    if caller in ready.get_map():
                        ready.unregister(caller)
                        with suppress(ConnectionError):
                            caller.send(str(status).encode())
                    caller.close()
                elif key.fileobj is server:
                    caller, _ = server.accept()
                    message, files, _, _ = socket.recv_fds(caller, LONGEST, MOST_FILES)
                    request = json.loads(message)
                    threads = {request["environment"].get(name, "1") for name in THREADS}
                    fork = os.fork() if threads == {"1"} and THREADS[0] in request["environment"] else None
                    if fork == 0:
                        for _, other in forks.values():
                            other.close()
                        caller.close()
                        return request, files
                    with suppress(ConnectionError):
                        caller.send(str(fork or 0).encode())
                    for number in files:
                        os.close(number)
                    if fork is None:
                        caller.close()
                        continue
                    ending = os.pidfd_open(fork)
                    forks[ending] = fork, caller
                    ready.register(ending, selectors.EVENT_READ)
                    ready.register(caller, selectors.EVENT_READ, fork)
                elif key.fileobj.fileno() >= 0:  # a caller that was killed, as its fork is then
                    ready.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)


def become(request: dict[str, Any], files: list[int]) -> None:
    """Take over what the caller has: its open files under their numbers, folder, environment, limits."""
    held = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 1000) for number in files]
    os.closerange(0, 1000)
    for number, wanted in zip(held, request["files"], strict=True):
        os.dup2(number, wanted)
        os.close(number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.umask(request["umask"])
    for limit, values in request["limits"].items():
        resource.setrlimit(int(limit), values)
    tempfile.tempdir = None  # as the environment says, when it is asked for
    sys.modules["multiprocessing.process"].ORIGINAL_DIR = request["folder"]
    sys.path[1:1] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in sys.path]
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.reconfigure(
            line_buffering=number == 2 or os.isatty(number),
            write_through="u" in request["flags"] or "PYTHONUNBUFFERED" in os.environ,
        )
    sys.modules["numpy"].random.seed()  # as that of a new process would be


def run_as_main(request: dict[str, Any]) -> None:
    """Run what Python was told to run, as the main module."""
    option, *arguments = request["run"]
    safe = "P" in request["flags"]
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    del sys.path[0]
    if option in ("-c", "-m"):
        name, *arguments = arguments
        if not safe:
            sys.path.insert(0, "" if option == "-c" else str(Path.cwd()))
        sys.argv = [option, *arguments]
        if option == "-c":
            exec(compile(name, "<string>", "exec", dont_inherit=True), module.__dict__)
        else:
            runpy._run_module_as_main(name, alter_argv=True)
        return
    if not safe:
        sys.path.insert(0, str(Path(option).resolve().parent))
    sys.argv = [option, *arguments]
    module.__file__ = str(Path(option).absolute())
    exec(compile(Path(option).read_bytes(), module.__file__, "exec", dont_inherit=True), module.__dict__)


def run_to_the_end(request: dict[str, Any]) -> None:
    """As :func:`run_as_main`, and end this process as Python does, but for the last step.

    That step takes every module apart. In a fork it would copy all memory that forks share: 0.4 s of processor time.
    """
    status: int | str | None = 0
    try:
        run_as_main(request)
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt:  # Python ends by the signal itself, so that the caller sees it
        raise
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    if not isinstance(status, int | None):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # waits for threads
    atexit._run_exitfuncs()
    with suppress(AttributeError, ValueError):  # a program may close them or set them to None
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit((status or 0) & 0xFF)


if __name__ == "__main__":
    part, real, program, address, *arguments = sys.argv[1:]
    if part == "ask":
        ask(real, address, *arguments)
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # so that no fork looks through what it shares
    sys.executable = program
    sys.modules["multiprocessing.spawn"].set_executable(program)
    request, files = fork_when_asked(address)
    become(request, files)
    run_to_the_end(request)
