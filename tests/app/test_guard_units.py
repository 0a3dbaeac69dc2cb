"""The guard's parts without a server process: how it installs itself, who may call which route, errors and names."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pulsar_app.local.gateway import SERVER_PATHS
from pulsar_app.server import gate, ids
from pulsar_app.server.audit import Audit
from pulsar_app.server.discreet import QUIET, WithoutQuery, make_logs_discreet
from pulsar_app.server.errors import Errors, answer_to
from pulsar_app.server.guard import _warn_of_open_doors, secure
from pulsar_app.server.guarded_route import GuardedRoute
from pulsar_app.server.parameters import RESERVED, json_object, refuse_paths, without_identity
from pulsar_app.server.problems import Busy, NotFound, Refused, Unavailable
from pulsar_app.server.settings import ServerSettings
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from treatment_response.problems import DataProblem, Problem
from uvicorn.logging import AccessFormatter

# What anybody may ask before a login, and what a page of links is allowed to hold.
ROLES = {
    ("GET", "/info/"): "USER",
    ("POST", "/infer/{model}"): "USER",
    ("GET", "/datastore/image"): "USER",
    ("PUT", "/datastore/label"): "ANNOTATOR",
    ("DELETE", "/datastore/image"): "ADMIN",
    ("POST", "/train/{model}"): "ADMIN",
    ("POST", "/batch/infer/{model}"): "ADMIN",
    ("GET", "/logs/"): "ADMIN",
    ("GET", "/model/{model}"): "ADMIN",
    ("GET", "/ohif/{path:path}"): "USER",
    ("GET", "/proxy/dicom/{path:path}"): "USER",
    ("GET", "/answers/{image}"): "USER",
    ("GET", "/jobs/"): "USER",
    ("GET", "/jobs/{job}"): "USER",
    ("GET", "/jobs/{job}/result"): "USER",
    ("DELETE", "/jobs/{job}"): "USER",
}


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    """The guard makes the whole process discreet."""
    factory = logging.getLogRecordFactory()
    levels = {name: logging.getLogger(name).level for name in QUIET}
    handlers = {handler: list(handler.filters) for handler in logging.getLogger().handlers}
    yield
    logging.setLogRecordFactory(factory)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    for handler, filters in handlers.items():
        handler.filters[:] = filters


@pytest.fixture
def app(_logging_restored: None) -> FastAPI:
    """An application that is secured while it starts, as MONAI Label's is."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        secure(app)
        secure(app)
        yield

    made = FastAPI(lifespan=lifespan)

    @made.get("/before")
    def before() -> dict[str, str]:
        return {"anybody": "may read this"}

    return made


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 1), raise_server_exceptions=False) as found:
        yield found


def test_it_takes_over_a_running_application(client):
    assert client.get("/health").status_code == 200
    for path in ("/before", "/docs", "/openapi.json", "/redoc"):
        response = client.get(path)
        assert response.status_code == 404, path
        assert list(response.json()) == ["detail"]
    assert client.get("/health", headers={"Host": "evil.example"}).status_code == 403


def test_securing_twice_changes_nothing(client, app):
    routes, stack = list(app.routes), app.middleware_stack
    secure(app)
    assert list(app.routes) == routes
    assert app.middleware_stack is stack
    assert len(app.user_middleware) == 5


def _leaves(app: FastAPI) -> list[APIRoute]:
    found: list[APIRoute] = []
    pending = list(app.routes)
    while pending:
        route = pending.pop()
        if isinstance(route, APIRoute):
            found.append(route)
        else:
            pending += list(getattr(getattr(route, "original_router", route), "routes", []))
    return found


def _needed(route: APIRoute) -> set[str]:
    """Roles that a route asks for, those of the router that holds it included."""
    checks = [one.call for one in route.dependant.dependencies if getattr(one.call, "__name__", "") == "check"]
    return {check.__closure__[0].cell_contents.name for check in checks if check and check.__closure__}


def test_every_route_needs_a_role_or_is_open(client, app):
    leaves = _leaves(app)
    assert len(leaves) > 30
    asked = {(method, route.path): _needed(route) for route in leaves for method in route.methods}
    for (method, path), roles in asked.items():
        assert roles or path in gate.OPEN or path == "/auth/token/valid", (method, path)
    for key, role in ROLES.items():
        assert role in asked[key], key


def test_the_gateway_passes_every_route_on(client, app):
    assert {route.path.split("/")[1] for route in _leaves(app)} - {""} <= SERVER_PATHS


def test_no_route_is_declared_twice(client, app):
    declared = [(method, route.path) for route in _leaves(app) for method in route.methods]
    assert len(declared) == len(set(declared))


@pytest.mark.parametrize(
    ("kind", "status"), [(DataProblem, 400), (NotFound, 404), (Refused, 403), (Busy, 429), (Unavailable, 503)]
)
def test_problems_have_their_status(kind, status):
    response = answer_to(kind(Problem("here", "it is\nwrong", "do better"), Problem("there", "too", "the same")))
    assert response.status_code == status
    assert b"here: it is wrong; do better. there: too; the same." in bytes(response.body)


def test_the_unexpected_has_a_number_that_the_log_explains_without_its_text(caplog):
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("born 19310217")

    client = TestClient(Errors(fails))
    with caplog.at_level(logging.INFO):
        response = client.get("/")
    assert response.status_code == 500
    incident = response.json()["detail"].partition("incident ")[2][:8]
    assert f"incident {incident}: RuntimeError at" in caplog.text
    assert "test_guard_units.py" in caplog.text
    assert "19310217" not in caplog.text + response.text


def test_a_broken_answer_is_not_an_error_of_the_server(caplog):
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("born 19310217")

    with caplog.at_level(logging.INFO):
        TestClient(Errors(fails)).get("/")
    assert "RuntimeError" in caplog.text
    assert "19310217" not in caplog.text


@pytest.mark.usefixtures("_logging_restored")
def test_quiet_loggers_speak_up_from_warning():
    logging.getLogger().setLevel(logging.INFO)
    make_logs_discreet()
    assert not logging.getLogger("monailabel.endpoints.infer").isEnabledFor(logging.INFO)
    assert logging.getLogger("monailabel.endpoints.infer").isEnabledFor(logging.WARNING)
    assert logging.getLogger("pulsar_app").isEnabledFor(logging.INFO)


@pytest.mark.usefixtures("_logging_restored")
def test_uvicorns_own_access_lines_have_no_query():
    """Its formatter takes the path from the record and not from the message."""
    access = logging.getLogger("uvicorn.access")
    before = list(access.filters)
    try:
        make_logs_discreet()
        make_logs_discreet()
        assert [type(one) for one in access.filters].count(WithoutQuery) == 1
        args = ("127.0.0.1:1", "GET", "/a?PatientName=DOE", "1.1", 200)
        record = access.makeRecord("uvicorn.access", logging.INFO, "", 0, '%s - "%s %s HTTP/%s" %d', args, None)
        assert access.filter(record)
        line = AccessFormatter("%(client_addr)s %(request_line)s %(status_code)s", use_colors=False).format(record)
        assert line == "127.0.0.1:1 GET /a HTTP/1.1 200 OK"
    finally:
        access.filters[:] = before


@pytest.mark.parametrize(
    ("settings", "sender", "host", "status"),
    [
        ({}, "127.0.0.1", "127.0.0.1", 200),
        ({}, "::1", "[::1]:8000", 200),
        ({}, "::ffff:127.0.0.1", "localhost:8000", 200),
        ({}, "192.0.2.1", "127.0.0.1", 403),
        ({}, "nonsense", "127.0.0.1", 403),
        ({}, "127.0.0.1", "127.0.0.1.evil.example", 403),
        ({}, "127.0.0.1", "evil.example:8000", 403),
        ({"allowed_hosts": "pulsar.clinic, other"}, "127.0.0.1", "PULSAR.clinic:8000", 200),
        ({"allowed_hosts": "pulsar.clinic"}, "192.0.2.1", "pulsar.clinic", 403),
        ({"open_to_network": True}, "192.0.2.1", "anything", 200),
        ({"open_to_network": True, "allowed_hosts": "pulsar.clinic"}, "192.0.2.1", "anything", 403),
        ({"open_to_network": True, "allowed_hosts": "pulsar.clinic"}, "192.0.2.1", "pulsar.clinic", 200),
    ],
)
def test_who_is_answered_without_login(settings, sender, host, status, monkeypatch):
    monkeypatch.setattr(gate, "server_settings", lambda: ServerSettings(**settings))

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("in")(scope, receive, send)

    response = TestClient(gate.Gate(inner), client=(sender, 1)).get("/info/", headers={"Host": host})
    assert response.status_code == status


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Real-IP"])
def test_without_login_nobody_is_answered_through_a_proxy_of_this_machine(header):
    client = TestClient(gate.Gate(PlainTextResponse("in")), client=("127.0.0.1", 1))
    asked = {"Host": "127.0.0.1", header: "for=192.0.2.1"}
    assert "through a proxy" in client.get("/info/", headers=asked).json()["detail"]


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", 200),
        ("http://localhost:8000", "127.0.0.1:8000", 200),
        ("http://[::1]:8000", "[::1]:8000", 200),
        ("http://127.0.0.1", "127.0.0.1", 200),
        ("https://127.0.0.1", "127.0.0.1:443", 200),  # a proxy that names the port
        ("https://listed.example", "127.0.0.1:8000", 200),
        ("http://127.0.0.1:3000", "127.0.0.1:8000", 403),  # another program of this machine
        ("http://127.0.0.1", "127.0.0.1:8000", 403),
        ("http://127.0.0.1:8000", "127.0.0.1", 403),
        ("https://listed.example:444", "127.0.0.1:8000", 403),
        ("null", "127.0.0.1:8000", 403),
        ("", "127.0.0.1:8000", 403),
        ("5", "127.0.0.1:8000", 403),
        ("http://[", "127.0.0.1:8000", 403),
        ("http://127.0.0.1:8000, http://evil.example", "127.0.0.1:8000", 403),
        ("http://127.0.0.1:8000@evil.example", "127.0.0.1:8000", 403),
        ("http://127.0.0.1:99999999", "127.0.0.1:8000", 403),
        ("http://\u2100.example", "127.0.0.1:8000", 403),
        ("ftp://127.0.0.1:8000", "127.0.0.1:8000", 403),
        ("http://" + "a" * 50000, "127.0.0.1:8000", 403),
        ("http://127.0.0.1:8000", "127.0.0.1:port", 403),
    ],
    ids=lambda value: str(value)[:30],
)
def test_only_this_servers_own_pages_may_change_anything(origin, host, status, monkeypatch):
    monkeypatch.setattr(gate, "cross_origins", lambda: ["https://listed.example"])
    client = TestClient(gate.Gate(PlainTextResponse("in")), client=("127.0.0.1", 1))
    response = client.post("/info/", headers=[("Host", host), ("Origin", origin.encode())])
    assert response.status_code == status
    twice = [("Host", host), ("Origin", origin.encode()), ("Origin", b"http://evil.example")]
    assert client.post("/info/", headers=twice).status_code == 403


def test_every_route_asks_for_the_role_before_the_body(client, app):
    assert not [route.path for route in _leaves(app) if not isinstance(route, GuardedRoute)]


@pytest.mark.parametrize(
    ("path", "status"), [("/pulsar/health", 200), ("/pulsar/info/", 401), ("/pulsarhealth", 401), ("/info/health", 401)]
)
def test_behind_a_proxy_with_a_path_of_its_own(path, status, monkeypatch):
    monkeypatch.setattr(gate, "login_needed", lambda: True)
    client = TestClient(gate.Gate(PlainTextResponse("in")), root_path="/pulsar")
    assert client.get(path).status_code == status


def test_whoever_is_refused_is_not_noted_as_local(tmp_path):
    client = TestClient(Audit(gate.Gate(PlainTextResponse("in")), str, tmp_path), client=("127.0.0.1", 1))
    for host in ("localhost", "evil.example"):
        client.get("/info/", headers={"Host": host})
    for name, user in (("audit.log", "local"), ("audit-anonymous.log", None)):
        (line,) = (tmp_path / name).read_text().splitlines()
        assert json.loads(line)["user"] == user


def test_no_websockets():
    with pytest.raises(WebSocketDisconnect), TestClient(gate.Gate(FastAPI())).websocket_connect("/"):
        pass


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["start_server", "--app", "a", "--studies", "s"], "Listening on 0.0.0.0"),
        (["start_server", "--app", "a", "--studies", "s", "--host", "127.0.0.1"], ""),
        (["start_server", "-a", "a", "-s", "s", "-i", "localhost"], ""),
        (["start_server", "-i", "192.0.2.1"], "Listening on 192.0.2.1"),
        (["pytest", "-q"], ""),
    ],
)
def test_open_doors_are_told_at_the_start(arguments, said, caplog):
    with caplog.at_level(logging.WARNING):
        _warn_of_open_doors(arguments)
    assert (said in caplog.text) if said else not caplog.records


@given(st.text(max_size=40))
def test_a_checked_name_stays_in_its_folder(name):
    root = Path("/data/labels")
    try:
        checked = ids.name(name, "tag")
    except DataProblem:
        return
    assert (root / checked).resolve().parent == root
    assert "\0" not in checked


@given(st.dictionaries(st.sampled_from(sorted(RESERVED | {"bands", "cam", "model"})), st.integers(), max_size=4))
def test_what_passes_cannot_name_a_file(params):
    try:
        passed = without_identity(params, model="m", image="i")
    except DataProblem:
        return
    assert not passed.keys() & (RESERVED | {"model", "image"})


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.sampled_from(["/etc/passwd", "..", "a\\b", "~x", "\0"])
)
def test_paths_are_found_at_any_depth(params, path):
    with pytest.raises(DataProblem):
        refuse_paths({**params, "deep": [{"deeper": [1, path]}]})


@given(st.text(max_size=60))
def test_json_objects_or_a_problem(text):
    try:
        assert isinstance(json_object(text, "params"), dict)
    except DataProblem as problem:
        said = str(problem)
        assert said.startswith("request: params is not")


def test_a_full_disk_is_told_as_such():
    full = OSError(errno.ENOSPC, "No space left on device", "/somewhere/of/a/patient")
    of_a_body = HTTPException(400, "There was an error parsing the body")
    of_a_body.__cause__ = full
    for error in (full, of_a_body):
        response = answer_to(error)
        assert response.status_code == 507
        assert b"disk is full" in response.body
        assert b"somewhere" not in response.body


def test_what_a_full_disk_does_not_take_of_the_audit_log_goes_to_the_console(tmp_path, capsys):
    (tmp_path / "audit.log").symlink_to("/dev/full")
    TestClient(Audit(gate.Gate(PlainTextResponse("in")), str, tmp_path), client=("127.0.0.1", 1)).get(
        "/info/", headers={"Host": "localhost"}
    )
    (line,) = capsys.readouterr().err.splitlines()
    said, _, line = line.partition(": ")
    assert said == "the audit log cannot be written"
    assert json.loads(line)["user"] == "local"
