"""Checks tokens of an OpenID Connect provider: signature, issuer, audience, times (RFC 7519, OpenID Connect Core)."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Any

import jwt
import requests
from monailabel.config import settings
from monailabel.endpoints.user.auth import User
from treatment_response.problems import Problem

from pulsar_app.server.problems import Unavailable
from pulsar_app.server.settings import server_settings

logger = logging.getLogger(__name__)

ALGORITHM = "RS256"
"""The only algorithm accepted: one that the token chooses could be `none`, or take a public key as a secret."""

_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""Types that the header of an access token may name (RFC 7519, 5.1; RFC 9068, 2.1)."""

_KINDS = frozenset({"bearer", "at+jwt"})
"""What the claim ``typ`` of an access token may say; Keycloak's other tokens say ID, Refresh, Offline or Logout."""

_OF_OTHER_TOKENS = frozenset({"at_hash", "c_hash", "s_hash", "events"})
"""Claims that only ID tokens (OpenID Connect Core, 3.3.2.11) and logout tokens (Back-Channel Logout, 2.4) have."""

_LEEWAY_S = 10.0
_KEYS_LAST_S = 3600.0
_PAUSE_S = 1.0
_WITHOUT_ID = "-"
"""Stands for the id of a key that has none."""


class InvalidToken(Exception):
    """A token that is not accepted; its text is a sentence for the client."""


class Provider:
    """The identity provider: its addresses and keys, fetched when first needed and kept.

    Thread-safe.

    Args:
        realm: address of the realm, without a slash at the end.
    """

    def __init__(self, realm: str) -> None:
        self.realm = realm.rstrip("/")
        self.issuer = server_settings().issuer or self.realm
        self._lock = threading.Lock()
        self._configuration: dict[str, Any] | None = None
        self._keys: _Keys | None = None

    def configuration(self) -> dict[str, Any]:
        """The discovery document.

        Raises:
            Unavailable: the provider does not answer, or is another one than the settings say.
        """
        if self._configuration is None:
            found = _get(f"{self.realm}/.well-known/openid-configuration")
            if found.get("issuer") != self.issuer:
                raise _unavailable(
                    "it names another issuer than this server's settings", "set PULSAR_SERVER_ISSUER to it"
                )
            self._configuration = found
        return self._configuration

    def key(self, key_id: str | None) -> Any:
        """The public key of that id.

        Raises:
            InvalidToken: the provider has no such key.
            Unavailable: the provider does not answer.
        """
        with self._lock:
            try:
                return self._key_set().find(key_id)
            except jwt.PyJWKClientError as error:
                sentence = "The token was signed with a key that the identity provider does not have."
                raise InvalidToken(sentence) from error

    def _key_set(self) -> _Keys:
        if self._keys is None:
            # The discovery document of old Keycloaks names no keys; the realm's own page holds one.
            address = str(self.configuration().get("jwks_uri") or self.realm)
            if not address.startswith(("http://", "https://")):
                raise _unreadable_keys()
            self._keys = _Keys(address)
        return self._keys

    def fetch_token(self, username: str, password: str) -> dict[str, str]:
        """A new token for a user, by the password grant that MONAI Label's clients use.

        Raises:
            InvalidToken: the provider refuses user or password.
            Unavailable: the provider does not answer as it should.
        """
        form = {
            "client_id": settings.MONAI_LABEL_AUTH_CLIENT_ID,
            "username": username,
            "password": password,
            "grant_type": "password",
        }
        address = self.configuration().get("token_endpoint", "")
        try:
            response = requests.post(address, data=form, timeout=settings.MONAI_LABEL_AUTH_TIMEOUT)
            if response.status_code in (400, 401, 403):
                raise InvalidToken("The identity provider refuses this user name or password.")
            response.raise_for_status()
            found = response.json()
            return {"access_token": str(found["access_token"]), "token_type": str(found["token_type"])}
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            logger.warning("the identity provider gives no token: %s", type(error).__name__)
            raise _unavailable("it gives no token", "try again later") from error


class _Keys(jwt.PyJWKClient):
    """The provider's RSA keys for signatures.

    A key that is not known yet (the provider has changed its keys) is asked for, but not more often than every
    `PULSAR_SERVER_KEY_REFRESH_S` seconds, so that invented key ids cannot flood the provider.

    Args:
        address: of a JSON Web Key Set, or of a Keycloak realm's page.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address, lifespan=_KEYS_LAST_S, cooldown_duration=server_settings().key_refresh_s)
        self._latest: jwt.PyJWKSet | None = None
        self._failed_at, self._failure = -math.inf, _unreadable_keys()

    def find(self, key_id: str | None) -> Any:
        """The key of an id; a provider with a single key may leave its id out, and so may its tokens.

        Raises:
            PyJWKClientError: the provider has no such key.
            Unavailable: the provider does not answer, or not with keys.
        """
        signing_keys = self.get_signing_keys()
        if len(signing_keys) == 1 and (key_id is None or signing_keys[0].key_id == _WITHOUT_ID):
            return signing_keys[0].key
        return self.get_signing_key(_WITHOUT_ID if key_id is None else key_id).key

    def get_jwk_set(self, refresh: bool = False) -> jwt.PyJWKSet:
        """The key set, also one that is due to be fetched again while the provider does not answer."""
        try:
            self._latest = super().get_jwk_set(refresh)
        except Unavailable:
            if refresh or self._latest is None:
                raise
            # A key that was good an hour ago is better than nobody getting in.
        return self._latest

    def fetch_data(self) -> jwt.PyJWKSet:
        """The key set, asked for as everything else of the provider is: same timeout, same certificates.

        After a failure the provider is left alone for a second, however many tokens come.
        """
        if time.monotonic() - self._failed_at < _PAUSE_S:
            raise Unavailable(*self._failure.problems)
        try:
            found = self._read(_get(self.uri))
        except Unavailable as failure:
            self._failed_at, self._failure = time.monotonic(), failure
            raise
        self._last_successful_fetch = time.monotonic()  # the time between requests counts from the first on
        return found

    def _read(self, page: dict[str, Any]) -> jwt.PyJWKSet:
        try:
            listed = page["keys"] if "keys" in page else [_as_jwk(page["public_key"])]
            signing_keys = [key for key in listed if key.get("kty") == "RSA" and key.get("use", "sig") == "sig"]
            return jwt.PyJWKSet(
                [{**key, "kid": key.get("kid") or _WITHOUT_ID, "alg": ALGORITHM} for key in signing_keys]
            )
        except (AttributeError, KeyError, TypeError, ValueError, jwt.PyJWTError) as error:
            raise _unreadable_keys() from error


def _as_jwk(public_key: str) -> dict[str, Any]:
    pem = f"-----BEGIN PUBLIC KEY-----\n{public_key}\n-----END PUBLIC KEY-----"
    rsa = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    return rsa.to_jwk(rsa.prepare_key(pem), as_dict=True)


def _get(address: str) -> dict[str, Any]:
    """A JSON object of the provider.

    Raises:
        Unavailable: it does not answer, or with something else.
    """
    try:
        response = requests.get(address, timeout=settings.MONAI_LABEL_AUTH_TIMEOUT)
        response.raise_for_status()
        return dict(response.json())
    except (requests.RequestException, ValueError, TypeError) as error:
        logger.warning("the identity provider does not answer: %s", type(error).__name__)
        raise _unavailable("it does not answer", "try again later") from error


def user_of(token: str, provider: Provider) -> User:
    """The user whom a token names, after everything about the token was checked.

    Args:
        token: a JSON Web Token in compact form.
        provider: who should have issued it.

    Raises:
        InvalidToken: it is no access token, was forged, is too old, too new, meant for somebody else, or nobody's.
        Unavailable: the provider's keys are not known and cannot be had.
    """
    claims = _checked_claims(token, provider)
    _check_audience(claims)
    return User(
        username=_name(claims),
        email=_text(claims.get(settings.MONAI_LABEL_AUTH_TOKEN_EMAIL)),
        name=_text(claims.get(settings.MONAI_LABEL_AUTH_TOKEN_NAME)),
        roles=_roles(claims),
    )


def _checked_claims(token: str, provider: Provider) -> dict[str, Any]:
    """What a token says, after its signature, issuer, times and type were checked."""
    try:
        header = jwt.get_unverified_header(token)
        if header.get("alg") != ALGORITHM:
            raise InvalidToken(f"The token is not signed with {ALGORITHM}.")
        claims: dict[str, Any] = jwt.decode(
            token,
            provider.key(header.get("kid")),
            algorithms=[ALGORITHM],
            issuer=provider.issuer,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "iss"], "verify_aud": False},
        )
    except jwt.ExpiredSignatureError as error:
        raise InvalidToken("The token has expired.") from error
    except jwt.ImmatureSignatureError as error:
        raise InvalidToken("The token is not valid yet.") from error
    except jwt.InvalidIssuerError as error:
        raise InvalidToken("The token was issued by somebody else.") from error
    except Unavailable:
        raise
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:  # JSON allows anything
        raise InvalidToken("The token is not valid.") from error
    typed = _is_one_of(header.get("typ"), _TYPES) and _is_one_of(claims.get("typ"), _KINDS)
    if not typed or _OF_OTHER_TOKENS & claims.keys():
        raise InvalidToken("The token is no access token.")
    return claims


def _is_one_of(said: Any, allowed: frozenset[str]) -> bool:
    """Whether a type is left out, or one that is allowed."""
    return said is None or str(said).lower() in allowed


def _check_audience(claims: dict[str, Any]) -> None:
    audience = claims.get("aud") or []
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise InvalidToken("The token's audience is no text and no list of texts.")
    if wanted := server_settings().audience:
        meant = wanted in named
    else:
        client = settings.MONAI_LABEL_AUTH_CLIENT_ID
        meant = client in named or claims.get("azp") == client
    if not meant:
        raise InvalidToken("The token is meant for another application.")


def _name(claims: dict[str, Any]) -> str:
    """Whose token it is: the audit log has to name somebody."""
    name = claims.get(settings.MONAI_LABEL_AUTH_TOKEN_USERNAME) or claims.get("sub")
    if not isinstance(name, str) or not name.strip():
        raise InvalidToken("The token does not say whose it is.")
    return name


def _roles(claims: dict[str, Any]) -> list[str]:
    found: Any = claims
    for step in settings.MONAI_LABEL_AUTH_TOKEN_ROLES.split("#"):
        found = found.get(step) if isinstance(found, dict) else None
    return [role for role in found if isinstance(role, str)] if isinstance(found, list) else []


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _unreadable_keys() -> Unavailable:
    return _unavailable("its keys cannot be read", "check MONAI_LABEL_AUTH_REALM_URI")


def _unavailable(what: str, remedy: str) -> Unavailable:
    return Unavailable(Problem("the identity provider", what, remedy))
