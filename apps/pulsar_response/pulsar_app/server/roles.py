"""Who may do what: the roles of MONAI Label's settings, each including those below it."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from monailabel.config import settings
from monailabel.endpoints.user.auth import User
from starlette.exceptions import HTTPException

from pulsar_app.server.settings import login_needed


class Role(IntEnum):
    """A user sees patients and predictions; an annotator saves labels; an admin trains, deletes and reads logs."""

    USER = 0
    ANNOTATOR = 1
    REVIEWER = 2
    ADMIN = 3

    @property
    def setting(self) -> str:
        """What the identity provider calls it."""
        return str(getattr(settings, f"MONAI_LABEL_AUTH_ROLE_{self.name}"))


LOCAL_USER = User(username="local", roles=[role.setting for role in Role])
"""Whoever asks when there is no login."""


def current_user(request: Request) -> User:
    """The user of a request, as `gate.Gate` found out."""
    return request.state.user if login_needed() else LOCAL_USER


CurrentUser = Annotated[User, Depends(current_user)]


def has(user: User, role: Role) -> bool:
    """Whether a user has a role or a higher one."""
    return any(higher.setting in user.roles for higher in Role if higher >= role)


def requires(role: Role) -> Dependency:
    """A dependency of a route: only users of this role or a higher one get through (403)."""

    def check(user: CurrentUser) -> None:
        if not has(user, role):
            raise HTTPException(403, f"This needs the role {role.setting}, which your login does not have.")

    return Depends(check)
