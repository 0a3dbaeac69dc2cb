"""The gateway of `make serve`, asked over the network, in front of two servers that say what reached them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import requests
import uvicorn
import yaml
from pulsar_app.local.gateway import DEPLOY, Gateway
from pulsar_app.local.processes import free_port
from pulsar_app.viewers.pages import with_scripts
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

INDEX = (
    '<html><head lang="en"><link href="https://fonts.example/css" rel="stylesheet"><link href="/a.css">'
    "<script>begin()</script></head></html>"
)


def witness(name: str) -> Starlette:
    """A server that answers with what it was asked."""

    async def echo(request: Request) -> Response:
        body = await request.body()
        if request.url.path.endswith("/parts"):

            async def parts() -> AsyncIterator[bytes]:
                for number in range(3):
                    yield f"--edge\r\n\r\n{number}\r\n".encode()

            return StreamingResponse(parts(), 206, {"content-type": 'multipart/related; boundary="edge"'})
        return JSONResponse(
            {
                "name": name,
                "method": request.method,
                "path": request.scope["raw_path"].decode(),
                "query": request.scope["query_string"].decode(),
                "range": request.headers.get("range"),
                "accept": request.headers.get("accept"),
                "host": request.headers.get("host"),
                "body": body.decode(),
            },
            headers={"x-own": "kept", "set-cookie": "a=1", "connection": "keep-alive"},
        )

    return Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST", "PUT", "DELETE"])])


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    running = {}
    found = {}
    for name in ("orthanc", "server"):
        port = free_port()
        running[name] = uvicorn.Server(uvicorn.Config(witness(name), port=port, log_level="error"))
        threading.Thread(target=running[name].run, daemon=True).start()
        found[name] = f"http://127.0.0.1:{port}"
    while not all(one.started for one in running.values()):
        pass
    yield found
    for one in running.values():
        one.should_exit = True


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewer") / "pages"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "app-config.js").write_text("the release's own")
    (folder / "assets" / "a.js").write_text("a()")
    (folder.parent / "secret.txt").write_text("secret")
    (folder / "assets" / "link.txt").symlink_to(folder.parent / "secret.txt")
    return folder


@pytest.fixture(scope="module")
def url(servers: dict[str, str], pages: Path) -> Iterator[str]:
    with Gateway(0, pages, servers["orthanc"], servers["server"]) as gateway:
        yield gateway.url


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/dicom-web/studies", "orthanc"),
        ("/infer/pulsar_response", "server"),
        ("/info/", "server"),
        ("/ohif/monai-label", "server"),
        ("/proxy/dicom/wado/studies", "server"),
        ("/answers/1.2.3", "server"),
        ("/jobs/1", "server"),
        ("/train/", "server"),
        ("/health", "server"),
    ],
)
def test_each_path_reaches_its_server_with_its_query(url: str, path: str, name: str) -> None:
    query = "StudyInstanceUID=1.2&includefield=00081030&includefield=all&PatientName=A%2FB%5E*"
    answer = requests.get(f"{url}{path}?{query}", timeout=10)
    assert (answer.json()["name"], answer.json()["path"], answer.json()["query"]) == (name, path, query)
    assert answer.headers["x-own"] == "kept"


def test_headers_that_ask_for_a_part_or_a_form_pass(url: str) -> None:
    wanted = {"Range": "bytes=5-9", "Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
    said = requests.get(f"{url}/dicom-web/studies/1/series/2", headers=wanted, timeout=10).json()
    assert (said["range"], said["accept"]) == (wanted["Range"], wanted["Accept"])


def test_an_answer_in_parts_comes_through_as_it_was_sent(url: str) -> None:
    answer = requests.get(f"{url}/dicom-web/studies/1/parts", timeout=10)
    assert answer.status_code == 206
    assert answer.headers["content-type"] == 'multipart/related; boundary="edge"'
    assert answer.content == b"".join(f"--edge\r\n\r\n{number}\r\n".encode() for number in range(3))


def test_a_request_with_a_body_reaches_the_server(url: str) -> None:
    said = requests.post(f"{url}/infer/m?image=1", files={"label": b"x" * 100}, timeout=10).json()
    assert said["method"] == "POST"
    assert "x" * 100 in said["body"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nobody_writes_to_the_pacs_through_the_gateway(url: str, method: str) -> None:
    answer = requests.request(method, f"{url}/dicom-web/studies", timeout=10)
    assert answer.status_code == 405


@pytest.mark.parametrize("path", ["/", "/viewer?StudyInstanceUIDs=1.2", "/viewer", "/dicomweb/studies", "/a/b/c"])
def test_a_page_of_the_viewer_is_its_index_with_the_banner_and_no_link_outside(url: str, path: str) -> None:
    answer = requests.get(url + path, timeout=10)
    assert answer.status_code == 200
    scripts = "".join(f'<script src="/{name}"></script>' for name in ("dock.js", "research_banner.js", "go_to.js"))
    assert f'<head lang="en">{scripts}' in answer.text
    assert "fonts.example" not in answer.text
    assert "/a.css" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "connect-src 'self'" in policy
    (scripts,) = (part for part in policy.split("; ") if part.startswith("script-src"))
    digest = base64.b64encode(hashlib.sha256(b"begin()").digest()).decode()
    assert scripts == f"script-src 'self' 'unsafe-eval' 'sha256-{digest}'"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_viewer_gets_this_projects_settings_and_scripts(url: str) -> None:
    assert requests.get(f"{url}/app-config.js", timeout=10).text == (DEPLOY / "app-config.js").read_text()
    assert "RESEARCH USE ONLY" in requests.get(f"{url}/research_banner.js", timeout=10).text
    assert requests.get(f"{url}/assets/a.js", timeout=10).text == "a()"


def test_a_missing_script_is_not_answered_with_a_page(url: str) -> None:
    assert requests.get(f"{url}/assets/b.js", timeout=10).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/assets/link.txt",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/assets/%00",
        "/..\\secret.txt",
    ],
)
def test_no_path_leads_out_of_the_viewers_folder(url: str, path: str) -> None:
    # http.client sends the path as it is; requests would tidy it first.
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status < 500
    assert "secret" not in text.replace("secret.txt", "")
    assert "root:" not in text


@pytest.mark.parametrize(
    "path", ["/dicom-web/../instances", "/dicom-web/%2e%2e/instances", "/dicom-web/..%2finstances"]
)
def test_no_path_leads_to_the_rest_of_the_pacs(url: str, path: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", path)
    assert connection.getresponse().status == 400


def test_a_page_of_another_name_cannot_use_it(url: str) -> None:
    # What a page elsewhere reaches by letting its own name point here (DNS rebinding).
    answer = requests.get(f"{url}/dicom-web/studies", headers={"Host": "elsewhere.example"}, timeout=10)
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/", "/dicom-web/studies", "/info/", "/assets/none.js"])
def test_no_answer_runs_scripts_of_others(url: str, path: str) -> None:
    assert "script-src" in requests.get(url + path, timeout=10).headers["content-security-policy"]


def test_the_server_is_told_under_which_name_it_was_asked(url: str) -> None:
    # It compares the page's origin with that name; and headers may hold more than letters.
    said = requests.get(f"{url}/info/", headers={"Accept": "\u00e9".encode("latin-1")}, timeout=10).json()
    assert said["host"] == url.removeprefix("http://")
    assert said["accept"] == "\u00e9"


def test_a_server_that_is_gone_is_said_so(pages: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with Gateway(0, pages, nobody, nobody) as gateway:
        answer = requests.get(f"{gateway.url}/info/", timeout=10)
    assert answer.status_code == 502
    assert "does not answer" in answer.text


def test_a_port_in_use_is_left_alone(pages: Path, servers: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with Gateway(taken, pages, servers["orthanc"], servers["server"]) as gateway:
            assert gateway.port != taken
            assert requests.get(f"{gateway.url}/info/", timeout=10).ok


def test_it_listens_on_loopback_only(url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent; it tells this machine's address towards others
        address = probe.getsockname()[0]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((address, port), timeout=5).close()


def test_an_index_page_without_a_head_is_refused() -> None:
    with pytest.raises(ValueError, match="head"):
        with_scripts("<html></html>", "/", ("a.js",))


def test_the_compose_file_maps_to_loopback_and_pins_its_image() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    (service,) = compose["services"].values()
    assert "--listen 0.0.0.0" in service["command"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "FROM debian:12-slim\n" in service["build"]["dockerfile_inline"]
    named = [volume.split(":")[0] for volume in service["volumes"] if not volume.startswith(".")]
    assert sorted(named) == sorted(compose["volumes"])
