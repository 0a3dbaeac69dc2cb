"""Settings of the guard, environment variables ``PULSAR_SERVER_…``; the rest are MONAI Label's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from monailabel.config import settings as monai_label
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServerSettings(BaseSettings):
    """Who may reach the server, and how much they may send.

    Attributes:
        open_to_network: without login, answer other machines too (anybody who reaches the port then sees the patients).
        allowed_hosts: names, separated by commas, that the ``Host`` header may carry beside this machine's own.
        upload_limit_mb: largest body of a request in MiB, where files are sent.
        volume_limit_mb: largest volume in MiB that an upload may hold, unpacked.
        bodies_limit_mb: how much all requests in progress may send together in MiB.
        connection_limit: how many connections are open at a time, at most; never more than half of the process's file
            descriptors.
        session_limit: how many sessions (MRs that clients sent to be worked on) are kept at a time.
        session_limit_mb: how much they may take together in MiB.
        job_limit: how many jobs of inference wait or run at a time.
        audience: ``aud`` of the tokens; empty: MONAI Label's client id as ``aud`` or ``azp`` (what Keycloak writes).
        issuer: ``iss`` of the tokens; empty: MONAI Label's realm URI.
        key_refresh_s: shortest time in seconds between two requests for the identity provider's keys.
        allow_stow: let clients store DICOM objects in the archive through the proxy.
    """

    model_config = SettingsConfigDict(env_prefix="PULSAR_SERVER_", extra="ignore")

    open_to_network: bool = False
    allowed_hosts: str = ""
    upload_limit_mb: int = Field(default=512, gt=0)
    volume_limit_mb: int = Field(default=512, gt=0)
    bodies_limit_mb: int = Field(default=2048, gt=0)
    connection_limit: int = Field(default=512, gt=0)
    session_limit: int = Field(default=32, gt=0)
    session_limit_mb: int = Field(default=4096, gt=0)
    job_limit: int = Field(default=8, gt=0)
    audience: str = ""
    issuer: str = ""
    key_refresh_s: float = Field(default=30.0, ge=0, allow_inf_nan=False)
    allow_stow: bool = False

    @property
    def hosts(self) -> frozenset[str]:
        """`allowed_hosts` as a set of lower-case names."""
        return frozenset(name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip())

    @property
    def upload_limit(self) -> int:
        """`upload_limit_mb` in bytes."""
        return self.upload_limit_mb * 2**20

    @property
    def volume_limit(self) -> int:
        """`volume_limit_mb` in bytes."""
        return self.volume_limit_mb * 2**20

    @property
    def bodies_limit(self) -> int:
        """`bodies_limit_mb` in bytes."""
        return self.bodies_limit_mb * 2**20


@cache
def server_settings() -> ServerSettings:
    """The settings of this process, read once."""
    return ServerSettings()


def login_needed() -> bool:
    """Whether MONAI Label's settings ask for a login."""
    return bool(monai_label.MONAI_LABEL_AUTH_ENABLE)


def cross_origins() -> list[str]:
    """Origins of other sites whose pages may call this server; MONAI Label's own default is everybody, ours nobody."""
    # pydantic writes a URL without a path with a slash at its end, an Origin header never has one.
    return [str(origin).rstrip("/") for origin in monai_label.MONAI_LABEL_CORS_ORIGINS]


def log_file() -> Path:
    """Where MONAI Label writes its log."""
    return Path(monai_label.MONAI_LABEL_APP_DIR) / "logs" / "app.log"
