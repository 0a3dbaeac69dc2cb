"""Routes of the login, as MONAI Label's clients know them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from fastapi.security import OAuth2PasswordRequestForm
from monailabel.config import settings

from pulsar_app.server.gate import unauthorised
from pulsar_app.server.guarded_route import LoginRoute
from pulsar_app.server.roles import CurrentUser
from pulsar_app.server.settings import login_needed
from pulsar_app.server.tokens import InvalidToken, Provider


def router() -> APIRouter:
    """`/auth/…`: whether a login is needed, a token for user name and password, and whose token one is."""
    routes = APIRouter(route_class=LoginRoute, prefix="/auth")
    provider = Provider(settings.MONAI_LABEL_AUTH_REALM_URI)

    @routes.get("/")
    def enabled() -> dict[str, Any]:
        return {
            "enabled": login_needed(),
            "client_id": settings.MONAI_LABEL_AUTH_CLIENT_ID,
            "realm": settings.MONAI_LABEL_AUTH_REALM_URI,
        }

    @routes.post("/token")
    def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> Response:
        if not login_needed():
            return JSONResponse({"access_token": None, "token_type": None})
        try:
            return JSONResponse(
                provider.fetch_token(form.username, form.password), headers={"Cache-Control": "no-store"}
            )
        except InvalidToken as error:
            return unauthorised(str(error))

    @routes.get("/token/valid")
    def valid(user: CurrentUser) -> dict[str, Any]:
        return user.model_dump()

    return routes
