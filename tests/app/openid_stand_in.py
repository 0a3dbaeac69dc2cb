"""A small OpenID provider for tests: real HTTP on loopback, RSA keys of its own, and tokens good and bad."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT = "monailabel-app"
USER, ANNOTATOR, ADMIN = "monailabel-user", "monailabel-annotator", "monailabel-admin"


class Key:
    """An RSA key with its id."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def jwk(self) -> dict[str, Any]:
        shown = jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**shown, "kid": self.name, "use": "sig", "alg": "RS256"}


class OpenIdStandIn:
    """The provider, listening while its `with` block runs.

    Attributes:
        key: what it signs with; put another one in its place to rotate.
        up: whether it answers (503 otherwise).
        with_jwks: whether its discovery document names its keys, or only the realm's page has one (old Keycloak).
        asked: paths that were asked for.
    """

    def __init__(self) -> None:
        self.key = Key("first")
        self.up, self.with_jwks = True, True
        self.asked: list[str] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stand_in.asked.append(self.path)
                self._send(*stand_in.page(self.path))

            def do_POST(self) -> None:
                stand_in.asked.append(self.path)
                sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self._send(*stand_in.grant({name: values[0] for name, values in sent.items()}))

            def _send(self, status: int, body: Any) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = f"http://127.0.0.1:{self._server.server_port}/realms/clinic"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self, path: str) -> tuple[int, Any]:
        """Status and JSON of one of its pages."""
        if not self.up:
            return 503, {"error": "down"}
        if path == "/realms/clinic":
            pem = self.key.public_pem.decode().splitlines()
            return 200, {"realm": "clinic", "public_key": "".join(pem[1:-1])}
        if path == "/realms/clinic/.well-known/openid-configuration":
            keys = {"jwks_uri": f"{self.realm}/keys"} if self.with_jwks else {}
            return 200, {"issuer": self.realm, "token_endpoint": f"{self.realm}/token", **keys}
        if path == "/realms/clinic/keys":
            encryption = {**Key("encryption").jwk, "use": "enc", "alg": "RSA-OAEP"}
            return 200, {"keys": [encryption, self.key.jwk]}
        return 404, {"error": "not found"}

    def grant(self, form: dict[str, str]) -> tuple[int, Any]:
        """Status and JSON for a password."""
        if not self.up:
            return 503, {"error": "down"}
        if form.get("username") != "maria" or form.get("password") != "right" or form.get("client_id") != CLIENT:
            return 401, {"error": "invalid_grant"}
        return 200, {"access_token": self.token(), "token_type": "Bearer", "refresh_token": "secret"}

    def token(
        self, *, roles: tuple[str, ...] = (USER,), key: Key | None = None, header_typ: Any = "JWT", **claims: Any
    ) -> str:
        """A token; good unless claims say otherwise (None leaves one out)."""
        key = key or self.key
        payload = self.claims(roles, **claims)
        return jwt.encode(payload, key.private, algorithm="RS256", headers={"kid": key.name, "typ": header_typ})

    def claims(self, roles: tuple[str, ...] = (USER,), **claims: Any) -> dict[str, Any]:
        """What a token of Keycloak says."""
        now = int(time.time())
        usual = {
            "iss": self.realm,
            "aud": "account",
            "azp": CLIENT,
            "iat": now,
            "exp": now + 300,
            "preferred_username": "maria",
            "email": "maria@clinic.example",
            "name": "Maria M",
            "realm_access": {"roles": list(roles)},
        }
        return {name: value for name, value in {**usual, **claims}.items() if value is not None}
