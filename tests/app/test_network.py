"""The server against the network: bodies that nobody may send, connections that ask for nothing, files of others."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import resource
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import numpy as np
import psutil
import pytest
import requests
import uvicorn
from app_server import REPOSITORY, AppServer
from guard_case import head, lesion, sentence, write_nifti
from openid_stand_in import ADMIN, ANNOTATOR, OpenIdStandIn
from pulsar_app.local.processes import free_port
from pulsar_app.server import bodies, private_files, readiness
from pulsar_app.server.bodies import Bodies, Body
from pulsar_app.server.connections import Connections, InProgress, limit_connections, most_connections
from pulsar_app.server.readiness import Readiness
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

IMAGE = "sub-001_ses-01_ce-gadolinium_T1w"
MIB = 2**20
WEBSOCKET = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


@pytest.fixture(scope="module")
def server(provider: OpenIdStandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """With a login, with 1,024 file descriptors, and with what a killed server left."""
    root = tmp_path_factory.mktemp("network")
    write_nifti(root / "studies" / f"{IMAGE}.nii.gz", head())
    for left in ("tmp/imaging-server-killed/upload.nii.gz", "studies/labels/final/.partial-999999999-a.nii.gz"):
        file = root / ("studies" if left.startswith("studies") else "server") / left.removeprefix("studies/")
        file.parent.mkdir(parents=True)
        file.write_bytes(b"left")
    environment = {"MONAI_LABEL_AUTH_ENABLE": "true", "MONAI_LABEL_AUTH_REALM_URI": provider.realm}
    running = AppServer(root / "studies", root / "server", environment=environment)
    running._command = ["sh", "-c", 'ulimit -n 1024; umask 022; exec "$@"', "sh", *running._command]
    with running:
        yield running


def begin_upload(port: int, method: str, target: str, size: int, token: str = "") -> socket.socket:
    """Send the beginning of a form with a large file."""
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.nii.gz"\r\n\r\n'
    head = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {size}"]
    head += ["Content-Type: multipart/form-data; boundary=x"] + ([f"Authorization: Bearer {token}"] if token else [])
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + start)
    return connection


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("method", "target", "role", "status"),
    [
        ("POST", "/auth/token", None, 413),
        ("POST", "/infer/pulsar_response?image=x", None, 401),
        ("PUT", "/datastore/label?image=x", (), 403),
        ("POST", "/train/pulsar_response", (), 403),
        ("POST", "/train/pulsar_response", (ADMIN,), 413),
    ],
)
def test_who_may_not_send_is_told_so_before_the_body_is_read(server, provider, method, target, role, status):
    """FastAPI reads the body first, up to the limit of uploads for whatever calls itself a form."""
    token = "" if role is None else provider.token(roles=role or ("monailabel-user",))
    with begin_upload(server.port, method, target, 200 * MIB, token) as connection:
        assert int(connection.recv(65536).split()[1]) == status


def test_two_large_bodies_of_nobody_fill_neither_memory_nor_disk(server):
    process = psutil.Process(server.pid)

    def held() -> int:
        files = 0
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            try:
                status = descriptor.stat()
            except OSError:
                continue
            files += status.st_size if stat.S_ISREG(status.st_mode) and not status.st_nlink else 0
        return process.memory_info().rss + files

    def send() -> None:
        try:
            with begin_upload(server.port, "POST", "/auth/token", 200 * MIB) as connection:
                for _ in range(200):
                    connection.sendall(b"0" * MIB)
        except OSError:  # the server takes no more of it
            pass

    before = held()
    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    most = before
    while any(thread.is_alive() for thread in threads):
        most = max(most, held())
        time.sleep(0.02)
    assert most - before < 30 * MIB


class Sent:
    """A body that comes in parts, with pauses."""

    def __init__(self, *parts: bytes, pause: float = 0.0) -> None:
        self.parts, self.pause = list(parts), pause

    async def __call__(self) -> Message:
        await anyio.sleep(self.pause)
        part = self.parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self.parts)}


def read(sent: Sent, limit: int, shared: Bodies, announced: int | None = None) -> int:
    """Read a body to its end; its size."""
    headers = [] if announced is None else [(b"content-length", str(announced).encode())]

    async def all_of_it() -> int:
        with Body({"type": "http", "headers": headers}, sent, limit, shared) as body:
            size, more = 0, True
            while more:
                message = await body.receive()
                size, more = size + len(message["body"]), message["more_body"]
            return size

    return anyio.run(all_of_it)


def test_bodies_have_a_limit_each_and_one_together(monkeypatch):
    shared = Bodies(10)
    assert read(Sent(b"1234", b"56"), 6, shared) == 6
    assert shared.held == 0
    shared.hold(5)
    for announced, limit, status in [(6, 5, 413), (None, 5, 413), (6, 8, 503), (None, 8, 503)]:
        with pytest.raises(HTTPException) as refused:
            read(Sent(b"123", b"456"), limit, shared, announced)
        assert refused.value.status_code == status
        assert shared.held == 5
    monkeypatch.setattr(bodies, "PATIENCE_S", 0.2)
    monkeypatch.setattr(bodies, "SLOWEST", 1000)
    with pytest.raises(HTTPException) as refused:  # a byte every tenth of a second
        read(Sent(*[b"1"] * 8, pause=0.1), 10, Bodies(10))
    assert refused.value.status_code == 408
    assert read(Sent(*[b"1" * 200] * 8, pause=0.1), 2000, Bodies(2000)) == 1600


def test_the_busy_are_told_when_to_try_again(server, provider):
    """Five uploads announce half a GiB each; together they may send two."""
    token = provider.token(roles=(ANNOTATOR,))
    with ExitStack() as stack:
        for _ in range(4):
            start = f"PUT /session/ HTTP/1.1\r\nHost: x\r\nContent-Length: {511 * MIB}\r\n"
            start += f"Authorization: Bearer {token}\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(start.encode())
        time.sleep(0.3)
        headers = {"Authorization": f"Bearer {token}"}
        files = {"files": ("a.nii.gz", b"0" * 8 * MIB)}
        refused = requests.put(f"{server.url}/session/", files=files, headers=headers, timeout=10)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "PULSAR_SERVER_BODIES_LIMIT_MB" in sentence(refused)
        assert requests.get(f"{server.url}/health", timeout=5).ok


# ---------------------------------------------------------------- connections


@pytest.mark.parametrize("begin", [b"", b"GET /health HTTP/1.1\r\nHost: 127"])
def test_half_open_connections_keep_nobody_out(server, begin):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1400:
        pytest.skip("this process may not open 1,100 connections: raise its limit of file descriptors (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1400), hard))
    try:
        with ExitStack() as stack:
            for _ in range(1100):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
                connection.sendall(begin)
            assert requests.get(f"{server.url}/health", timeout=5).ok
            assert psutil.Process(server.pid).num_fds() < 900
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_never_take_more_than_half_of_the_descriptors(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert most_connections(512) == 128
    assert most_connections(100) == 100


class Limited:
    """A small uvicorn of few connections and little patience, in a thread."""

    def __init__(self, app: ASGIApp, connections: Connections) -> None:
        async def with_limits(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await InProgress(app)(scope, receive, send)
                return
            await receive()
            limit_connections(asyncio.get_running_loop(), connections)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

        self.port = free_port()
        self.server = uvicorn.Server(uvicorn.Config(with_limits, port=self.port, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> Limited:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *error: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)

    def connect(self, begin: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        connection.sendall(begin)
        time.sleep(0.05)
        return connection


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def answered(connection: socket.socket) -> bool:
    """Whether the answer comes to its end."""
    text = b""
    while not text.endswith(b"answer"):
        part = connection.recv(1000)
        if not part:
            return False
        text += part
    return True


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(10) == b""
    except ConnectionResetError:
        return True


def test_the_connection_that_asked_for_nothing_longest_makes_room():
    release = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while scope["path"] == "/slow" and not release.is_set():
            await anyio.sleep(0.01)
        await PlainTextResponse("answer")(scope, receive, send)

    with Limited(app, Connections(3)) as limited:
        slow = limited.connect(GET.replace(b"/ ", b"/slow ", 1))
        oldest, other = limited.connect(), limited.connect(GET[:20])
        newest = limited.connect(GET)
        assert answered(newest)
        assert closed(oldest)
        other.sendall(GET[20:])
        assert answered(other)
        busy = [slow, *(limited.connect(GET.replace(b"/ ", b"/slow ", 1)) for _ in range(2))]
        refused = limited.connect(GET)
        assert b" 503 " in refused.recv(1000)
        release.set()
        for connection in busy:
            assert answered(connection)


def test_slow_headers_and_idle_connections_are_closed():
    connections = Connections(10, idle_s=0.5)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(2.0)  # longer than an idle connection may stay
        await PlainTextResponse("answer")(scope, receive, send)

    with Limited(app, connections) as limited:
        silent, slow, working = limited.connect(), limited.connect(GET[:10]), limited.connect(GET)
        for letter in GET[10:20]:  # a byte now and then is no reason to wait
            try:
                slow.sendall(bytes([letter]))
            except OSError:
                break
            time.sleep(0.2)
        assert closed(silent)
        assert closed(slow)
        assert answered(working)
        time.sleep(2.0)
        assert not connections.idle
        assert not connections.busy


def test_who_takes_nothing_of_an_answer_is_cut_off():
    connections = Connections(10, stalled_s=0.5)
    with Limited(PlainTextResponse(b"0" * 32 * MIB), connections) as limited:
        taking, stalled = limited.connect(GET), limited.connect(GET)
        for _ in range(5):  # slowly, but it goes on
            time.sleep(0.5)
            assert len(taking.recv(2 * MIB)) > 0
        assert len(connections.idle) + len(connections.busy) == 1
        taking.close()
        stalled.close()


# ---------------------------------------------------------------- files


def test_what_is_written_is_for_the_servers_user_only(server, provider, tmp_path):
    headers = {"Authorization": f"Bearer {provider.token(roles=(ADMIN,))}"}
    label = write_nifti(tmp_path / "a.nii.gz", lesion().astype(np.uint8)).read_bytes()
    for target, files in [
        ("/datastore/label", {"label": ("a.nii.gz", label)}),
        ("/session/", {"files": ("a.nii.gz", label)}),
    ]:
        answer = requests.put(server.url + target, params={"image": IMAGE}, files=files, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
    root = server.temporary.parent.parent
    ours = {"studies", "server", "app", "tmp", "server.log", f"{IMAGE}.nii.gz", "main.py", "pulsar_app"}
    ours |= {"labels", "final"}  # made by the test, or by MONAI Label's command (its logging's settings) before the app
    open_to_others = [
        path.relative_to(root)
        for path in root.rglob("*")
        if path.name not in ours
        and not path.match("tmp/tmp*.json")
        and "__pycache__" not in path.parts
        and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert open_to_others == []


def test_what_a_killed_server_left_is_gone(server):
    root = server.temporary.parent.parent
    assert not list(root.rglob("*killed*"))
    assert not list(root.rglob(".partial-*"))
    assert len(list(server.temporary.glob("imaging-server-*"))) == 1


def test_what_a_living_process_writes_is_left_alone(tmp_path):
    writer = psutil.Popen([sys.executable, "-c", "input()"], stdin=-1)
    try:
        for name in (f".partial-{writer.pid}-now", ".partial-999999999-gone", ".partial-of-somebody", "partial-1-x"):
            (tmp_path / name).write_bytes(b"x")
        assert private_files.remove_partial_files(tmp_path) == 1
        assert not (tmp_path / ".partial-999999999-gone").exists()
    finally:
        writer.kill()
        writer.wait()


# ---------------------------------------------------------------- the audit log


def test_every_access_leaves_a_line_without_a_name(server, provider):
    names = ("audit.log", "audit-anonymous.log")
    logs = [server.app / "logs" / name for name in names]
    token = provider.token(preferred_username="nurse\n{}")
    headers = {"Authorization": f"Bearer {token}"}
    before = [len(log.read_text().splitlines()) for log in logs]
    requests.get(f"{server.url}/datastore/image/info?image={IMAGE}", timeout=10)
    requests.get(f"{server.url}/", headers={"Upgrade": "websocket", "Connection": "Upgrade"} | WEBSOCKET, timeout=10)
    for target in (
        f"/datastore/image/info?image={IMAGE}",
        f"/datastore/image/info?image={IMAGE}&StudyInstanceUID=1.2.3&id=",
        "/proxy/dicom/qido/studies?StudyInstanceUID=1.2.3&PatientName=DOE",
        "/DOE^JOHN",
        "/health",
    ):
        requests.get(f"{server.url}{target}", headers=headers, timeout=10)
    texts = [log.read_text() for log in logs]
    lines, anonymous = (
        [json.loads(line) for line in text.splitlines()[earlier:]] for text, earlier in zip(texts, before, strict=True)
    )
    secret = bytes.fromhex((server.app / "logs" / "audit.key").read_text())
    image, study = (hmac.new(secret, name, "sha256").hexdigest()[:16] for name in (IMAGE.encode(), b"1.2.3"))
    (documented,) = re.findall(r"```sh\n(.*)\n```", (REPOSITORY / "docs/how-to/secure-the-server.md").read_text())
    command = ["sh", "-c", documented.replace("1.2.840.99999.1", "1.2.3")]
    assert subprocess.check_output(command, cwd=server.app, text=True).strip() == study
    assert [(line["user"], line["study"], line["action"], line["result"]) for line in anonymous] == [
        (None, image, "GET (no route)", 401),
        (None, None, "OTHER (no route)", 403),
    ]
    assert [(line["user"], line["study"], line["action"], line["result"]) for line in lines] == [
        ("nurse\n{}", image, "GET /datastore/image/info", 200),
        ("nurse\n{}", [study, image], "GET /datastore/image/info", 200),
        ("nurse\n{}", study, "GET /proxy/dicom/{path:path}", 404),
        ("nurse\n{}", None, "GET (no route)", 404),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", line["time"]) for line in lines)
    assert all(0 <= line["seconds"] < 10 for line in lines)
    assert not [word for word in ("DOE", IMAGE, "1.2.3", "eyJ") if word in "".join(texts)]


# ---------------------------------------------------------------- is it ready


def test_ready_only_if_a_worker_works(server, monkeypatch):
    assert requests.get(f"{server.url}/ready", timeout=10).json() == {"status": "ready"}
    asked = []

    async def stuck() -> bool:
        asked.append(1)
        await anyio.sleep(60)
        return True

    monkeypatch.setattr(readiness.workers, "ready", stuck)
    monkeypatch.setattr(readiness, "_PATIENCE_S", 0.1)

    async def twice() -> list[bool]:
        ready = Readiness()
        return [await ready(), await ready()]

    assert anyio.run(twice) == [False, False]
    assert len(asked) == 1
