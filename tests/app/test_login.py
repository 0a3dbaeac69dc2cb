"""Login: only tokens that the provider issued for this server, now, to somebody with the role, are let in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from app_server import AppServer
from guard_case import form, head, lesion, send_raw, sentence, write_nifti
from openid_stand_in import ADMIN, ANNOTATOR, CLIENT, USER, Key, OpenIdStandIn
from pulsar_app.server import tokens
from pulsar_app.server.problems import Unavailable
from pulsar_app.server.settings import ServerSettings
from pulsar_app.server.tokens import InvalidToken, Provider, user_of

IMAGE = "sub-001_ses-01_ce-gadolinium_T1w"
MODEL = "pulsar_response"


@pytest.fixture(scope="module")
def server(provider: OpenIdStandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    root = tmp_path_factory.mktemp("login")
    write_nifti(root / "studies" / f"{IMAGE}.nii.gz", head())
    write_nifti(root / "label.nii.gz", lesion().astype(np.uint8))
    environment = {
        "MONAI_LABEL_AUTH_ENABLE": "true",
        "MONAI_LABEL_AUTH_REALM_URI": provider.realm,
        "MONAI_LABEL_AUTH_TIMEOUT": "5",
        "PULSAR_SERVER_KEY_REFRESH_S": "0.2",
    }
    with AppServer(root / "studies", root / "server", environment=environment) as running:
        yield running


def call(server: AppServer, path: str, token: str = "", method: str = "GET", **more: object) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.request(method, server.url + path, headers=headers, timeout=60, **more)  # type: ignore[arg-type]


def forged(header: dict[str, str], claims: dict[str, object], secret: bytes) -> str:
    """A token made by hand: an empty secret leaves the signature out."""

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    text = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    signature = part(hmac.new(secret, text.encode(), hashlib.sha256).digest()) if secret else ""
    return f"{text}.{signature}"


def test_good_token(server, provider):
    response = call(server, "/info/", provider.token())
    assert response.status_code == 200
    assert MODEL in response.json()["models"]


BAD = {
    "expired": (lambda p: p.token(exp=int(time.time()) - 60), "expired"),
    "not valid yet": (lambda p: p.token(nbf=int(time.time()) + 120), "not valid yet"),
    "issued in the future": (lambda p: p.token(iat=int(time.time()) + 3600), "not valid yet"),
    "without end": (lambda p: p.token(exp=None), "not valid"),
    "without issuer": (lambda p: p.token(iss=None), "not valid"),
    "other issuer": (lambda p: p.token(iss="https://evil.example/realms/clinic"), "somebody else"),
    "other audience": (lambda p: p.token(aud="other", azp="other"), "another application"),
    "no audience": (lambda p: p.token(aud=None, azp=None), "another application"),
    "signed with another key": (lambda p: p.token(key=Key("first")), "not valid"),
    "signed with an unknown key": (lambda p: p.token(key=Key("unknown")), "does not have"),
    "encryption key": (lambda p: p.token(key=Key("encryption")), "does not have"),
    "alg none": (lambda p: forged({"alg": "none", "typ": "JWT"}, p.claims(), b""), "RS256"),
    "alg none with key id": (lambda p: forged({"alg": "none", "kid": "first"}, p.claims(), b""), "RS256"),
    "HS256 with the public key": (
        lambda p: forged({"alg": "HS256", "kid": "first"}, p.claims(), p.key.public_pem),
        "RS256",
    ),
    "changed after signing": (lambda p: _with_roles(p.token(), p.claims((ADMIN,))), "not valid"),
    "cut": (lambda p: p.token()[:-20], "not valid"),
    "no token": (lambda p: "hello", "not valid"),
    "three dots": (lambda p: "a.b.c", "not valid"),
    "refresh token": (lambda p: p.token(typ="Refresh"), "no access token"),
    "ID token": (lambda p: p.token(typ="ID", aud=CLIENT), "no access token"),
    "ID token of another provider": (lambda p: p.token(aud=CLIENT, at_hash="x"), "no access token"),
    "logout token": (lambda p: p.token(header_typ="logout+jwt", aud=CLIENT), "no access token"),
    "logout token without a type": (lambda p: p.token(aud=CLIENT, events={}), "no access token"),
    "type of a list": (lambda p: p.token(typ=["Bearer"]), "no access token"),
    "of nobody": (lambda p: p.token(preferred_username=None), "whose"),
    "of a list": (lambda p: p.token(preferred_username=["maria"]), "whose"),
    "audience of a number": (lambda p: p.token(aud=5), "no text"),
    "audience of an object": (lambda p: p.token(aud={CLIENT: 1}), "no text"),
    "audience with a number": (lambda p: p.token(aud=[5, CLIENT]), "no text"),
    "end without end": (lambda p: p.token(exp=float("inf")), "not valid"),
    "deep header": (lambda p: base64.urlsafe_b64encode(b"[" * 20000).decode().rstrip("=") + ".e30.x", "not valid"),
    "header of a list": (lambda p: base64.urlsafe_b64encode(b"[]").decode().rstrip("=") + ".e30.x", "not valid"),
}


def _with_roles(token: str, claims: dict[str, object]) -> str:
    header, _, signature = token.split(".")
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{payload}.{signature}"


@pytest.mark.parametrize("kind", BAD)
def test_bad_tokens(server, provider, kind):
    make, why = BAD[kind]
    token = make(provider)
    for path in (
        "/info/",
        "/auth/token/valid",
        f"/datastore/image?image={IMAGE}",
        "/ohif/",
        "/proxy/dicom/qido/studies",
    ):
        response = call(server, path, token)
        assert response.status_code == 401, (path, response.text)
        assert why in sentence(response)
        assert response.headers["www-authenticate"] == "Bearer"
    assert call(server, "/info/", provider.token()).status_code == 200


def test_other_schemes_are_refused(server, provider):
    for value in ("Basic bWFyaWE6cmlnaHQ=", "Bearer", f"Token {provider.token()}", provider.token()):
        response = requests.get(f"{server.url}/info/", headers={"Authorization": value}, timeout=10)
        assert response.status_code == 401
        sentence(response)


def test_tokens_in_the_address_are_refused(server, provider):
    assert call(server, f"/info/?access_token={provider.token()}").status_code == 401


EVERYTHING = [
    ("GET", "/"),
    ("GET", "/info/"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("POST", "/reload"),
    ("GET", "/static/favicon.ico"),
    ("GET", "/nowhere"),
    ("GET", "/ohif/"),
    ("GET", "/ohif/index.html"),
    ("GET", "/logs/"),
    ("GET", "/datastore/"),
    ("GET", "/datastore/image?image=x"),
    ("PUT", "/datastore/label?image=x"),
    ("GET", f"/model/{MODEL}"),
    ("POST", f"/infer/{MODEL}?image=x"),
    ("POST", f"/train/{MODEL}"),
    ("POST", f"/batch/infer/{MODEL}"),
    ("POST", "/activelearning/uncertainty"),
    ("GET", "/session/x"),
    ("PUT", "/session/"),
    ("GET", "/proxy/dicom/qido/studies"),
    ("GET", "/answers/x"),
    ("GET", "/jobs/"),
    ("DELETE", "/jobs/x"),
    ("GET", "/auth/token/valid"),
    ("GET", "/auth/../info/"),
    ("GET", "/health/../info/"),
    ("GET", "//info/"),
    ("GET", "/auth/token/../../info/"),
    ("GET", "/auth//token/valid"),
    ("GET", "/health/x"),
    ("GET", "/HEALTH"),
    ("GET", "/auth%2ftoken"),
]


@pytest.mark.parametrize(("method", "path"), EVERYTHING, ids=lambda value: value)
def test_without_a_token_nothing_answers(server, method, path):
    status, body = send_raw(server.port, method, path)
    # The last is the token's own address, which takes another method.
    assert status == (405 if path == "/auth%2ftoken" else 401), body
    assert list(json.loads(body)) == ["detail"]


def test_without_a_token_health_and_login_answer(server, provider):
    assert call(server, "/health").json()["login"] is True
    assert call(server, "/auth/").json() == {"enabled": True, "client_id": CLIENT, "realm": provider.realm}


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/info/", USER),
        ("GET", f"/datastore/image/info?image={IMAGE}", USER),
        ("POST", f"/infer/{MODEL}?image={IMAGE}&output=json", USER),
        ("PUT", f"/datastore/image/info?image={IMAGE}", ANNOTATOR),
        ("PUT", f"/datastore/label?image={IMAGE}&tag=final", ANNOTATOR),
        ("POST", "/proxy/dicom/stow/studies", ANNOTATOR),
        ("DELETE", "/datastore/image?id=nobody", ADMIN),
        ("DELETE", f"/datastore/label?id={IMAGE}&tag=nothing", ADMIN),
        ("POST", f"/train/{MODEL}", ADMIN),
        ("POST", f"/batch/infer/{MODEL}", ADMIN),
        ("DELETE", "/train/", ADMIN),
        ("GET", "/logs/", ADMIN),
        ("GET", f"/model/{MODEL}", ADMIN),
        ("PUT", f"/model/{MODEL}", ADMIN),
    ],
)
def test_roles(server, provider, method, path, needed):
    # A role that the route does not know, and each below the one that it needs.
    ladder = ["nurse", USER, ANNOTATOR, ADMIN]
    for role in ladder:
        more = {"json": {"nonsense": 1}} if method == "POST" and "infer/" not in path else {}
        response = call(server, path, provider.token(roles=(role,)), method, **more)
        if ladder.index(role) < ladder.index(needed):
            assert response.status_code == 403, (role, response.text)
            assert "needs the role" in sentence(response)
        elif response.status_code == 403:  # let in by the role, and refused for what it is
            assert "needs the role" not in sentence(response)


def test_no_roles_at_all(server, provider):
    for roles in (None, "monailabel-admin", {"roles": "monailabel-admin"}, {"roles": [ADMIN.upper()]}, {"roles": None}):
        response = call(server, "/info/", provider.token(realm_access=roles))
        assert response.status_code == 403, roles
        sentence(response)


def test_inference_with_a_token(server, provider, tmp_path):
    label = write_nifti(tmp_path / "a.nii.gz", lesion().astype(np.uint8))
    response = call(
        server,
        f"/infer/{MODEL}?image={IMAGE}&output=json",
        provider.token(),
        "POST",
        data=form(),
        files={"label": ("a.nii.gz", label.read_bytes())},
    )
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("more", [{"typ": "Bearer"}, {"header_typ": "at+jwt"}, {"header_typ": "application/AT+JWT"}])
def test_access_tokens_are_called_differently(server, provider, more):
    assert call(server, "/info/", provider.token(**more)).status_code == 200


def test_audience_may_be_named_itself(server, provider):
    for audience in (CLIENT, ["account", CLIENT]):
        assert call(server, "/info/", provider.token(aud=audience, azp="gateway")).status_code == 200


def test_password_gives_a_token(server):
    answer = call(server, "/auth/token", method="POST", data={"username": "maria", "password": "right"})
    assert set(answer.json()) == {"access_token", "token_type"}
    assert answer.headers["cache-control"] == "no-store"
    user = call(server, "/auth/token/valid", answer.json()["access_token"]).json()
    assert user["username"] == "maria"
    assert user["roles"] == [USER]


def test_wrong_password(server):
    response = call(server, "/auth/token", method="POST", data={"username": "maria", "password": "wrong"})
    assert response.status_code == 401
    assert "user name or password" in sentence(response)
    response = call(server, "/auth/token", method="POST", data={"username": "maria"})
    assert response.status_code == 422
    assert "right" not in sentence(response)


def test_monai_labels_own_client(server, provider, tmp_path):
    from monailabel.client import MONAILabelClient

    client = MONAILabelClient(server.url, tmpdir=str(tmp_path))
    assert client.auth_enabled()
    client.update_auth(client.auth_token("maria", "right"))
    assert client.auth_valid_token()
    assert MODEL in client.info()["models"]


def test_keys_rotate(server, provider):
    before = provider.key
    old = provider.token()
    assert call(server, "/info/", old).status_code == 200
    provider.key = Key("second")
    try:
        time.sleep(0.3)
        assert call(server, "/info/", provider.token()).status_code == 200
        assert call(server, "/info/", old).status_code == 401, "the provider has withdrawn its key"
    finally:
        provider.key = before
        time.sleep(0.3)
        assert call(server, "/info/", provider.token()).status_code == 200


def test_invented_keys_do_not_flood_the_provider(server, provider):
    assert call(server, "/info/", provider.token()).status_code == 200
    time.sleep(0.3)
    asked = len(provider.asked)
    strangers = [provider.token(key=Key(f"stranger {number}")) for number in range(4)]
    begin = time.monotonic()
    for token in strangers * 5:
        assert call(server, "/info/", token).status_code == 401
    allowed = 1 + (time.monotonic() - begin) / 0.2
    assert len(provider.asked) - asked <= allowed


def test_provider_down(server, provider):
    """Keys that are known go on to be used; whatever needs the provider says that it does not answer."""
    token = provider.token()
    assert call(server, "/info/", token).status_code == 200
    provider.up = False
    try:
        assert call(server, "/info/", token).status_code == 200
        time.sleep(0.3)
        response = call(server, "/info/", provider.token(key=Key("stranger")))
        assert response.status_code == 503
        assert "identity provider" in sentence(response)
        response = call(server, "/auth/token", method="POST", data={"username": "maria", "password": "right"})
        assert response.status_code == 503
        sentence(response)
        assert call(server, "/health").status_code == 200
    finally:
        provider.up = True
        time.sleep(0.3)
    assert call(server, "/info/", provider.token()).status_code == 200


class TestTokensOfOtherProviders:
    """Settings that one server cannot have all at once, without a server."""

    def test_keys_of_the_realms_page(self, provider):
        provider.with_jwks = False
        try:
            own = Provider(provider.realm)
            assert user_of(provider.token(), own).username == "maria"
            with pytest.raises(InvalidToken):
                user_of(provider.token(key=Key("first")), own)
        finally:
            provider.with_jwks = True

    def test_issuer_of_another_name(self, provider, monkeypatch):
        monkeypatch.setattr(tokens, "server_settings", lambda: ServerSettings(issuer="https://login.clinic.example"))
        with pytest.raises(Unavailable, match="another issuer"):
            user_of(provider.token(), Provider(provider.realm))

    def test_named_audience_is_needed_itself(self, provider, monkeypatch):
        monkeypatch.setattr(tokens, "server_settings", lambda: ServerSettings(audience="pulsar"))
        own = Provider(provider.realm)
        assert user_of(provider.token(aud=["account", "pulsar"]), own)
        for audience in ("account", CLIENT, None, ["puls"]):
            with pytest.raises(InvalidToken, match="another application"):
                user_of(provider.token(aud=audience), own)

    def test_roles_elsewhere_in_the_token(self, provider, monkeypatch):
        monkeypatch.setattr(tokens.settings, "MONAI_LABEL_AUTH_TOKEN_ROLES", "groups")
        assert user_of(provider.token(groups=["a", 3, "b"]), Provider(provider.realm)).roles == ["a", "b"]

    def test_provider_that_answers_nonsense(self, provider, monkeypatch):
        monkeypatch.setattr(provider, "page", lambda path: (200, ["nonsense"]))
        with pytest.raises(Unavailable):
            user_of(provider.token(), Provider(provider.realm))

    def test_a_provider_without_keys_is_not_asked_again_for_each_token(self, provider, monkeypatch):
        answer = provider.page
        of_encryption = 200, {"keys": [{**Key("encryption").jwk, "use": "enc"}]}
        monkeypatch.setattr(provider, "page", lambda path: of_encryption if path.endswith("/keys") else answer(path))
        own, before = Provider(provider.realm), len(provider.asked)
        for _ in range(3):
            with pytest.raises(Unavailable, match="keys cannot be read"):
                user_of(provider.token(), own)
        assert [path.rpartition("/")[2] for path in provider.asked[before:]] == ["openid-configuration", "keys"]

    def test_a_key_that_is_due_to_be_asked_for_is_good_while_the_provider_is_down(self, provider, monkeypatch):
        monkeypatch.setattr(tokens, "_KEYS_LAST_S", 0.01)
        own, token = Provider(provider.realm), provider.token()
        assert user_of(token, own)
        monkeypatch.setattr(provider, "up", False)
        time.sleep(0.05)
        asked = len(provider.asked)
        assert user_of(token, own)
        assert len(provider.asked) > asked, "the key was not due"


def test_log_holds_no_token_and_no_password(server, provider, tmp_path: Path):
    """The last test of this file: all of the above is in the log."""
    assert "right" not in server.log.replace("copyright", "")
    assert "eyJ" not in server.log
    assert "maria@" not in server.log
    assert "Traceback" not in server.log
