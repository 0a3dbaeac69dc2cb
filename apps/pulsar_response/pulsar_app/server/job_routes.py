"""`/jobs/…`: inference that takes long, started by `POST /infer/{model}`: where it stands, its result, its end."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from monailabel.interfaces.utils.app import app_instance

from pulsar_app.jobs.case_jobs import CaseJob
from pulsar_app.server import ids
from pulsar_app.server.guarded_route import GuardedRoute
from pulsar_app.server.infer import Output, answer_as
from pulsar_app.server.problems import not_found
from pulsar_app.server.roles import CurrentUser, Role, has, requires
from pulsar_app.server.workers import in_worker


def router() -> APIRouter:
    """Users see, stop and get the results of their own jobs; admins those of all."""
    routes = APIRouter(route_class=GuardedRoute, prefix="/jobs", dependencies=[requires(Role.USER)])

    @routes.get("/")
    def listing(request: Request, user: CurrentUser) -> list[dict[str, Any]]:
        jobs = [job for job in app_instance().jobs.all() if _may_see(user, job)]
        request.state.images = [job.image for job in jobs]
        return [job.told() for job in jobs]

    @routes.get("/{job}")
    def status(request: Request, user: CurrentUser, job: str) -> dict[str, Any]:
        return _find(request, user, job).told()

    @routes.get("/{job}/result")
    async def result(request: Request, user: CurrentUser, job: str, output: Output = Output.ALL) -> Response:
        found = _find(request, user, job)
        return await in_worker(partial(_result, found, output))

    @routes.delete("/{job}")
    def cancel(request: Request, user: CurrentUser, job: str) -> dict[str, Any]:
        found = _find(request, user, job)
        app_instance().jobs.cancel(found)
        return found.told()

    return routes


def _find(request: Request, user: Any, job_id: str) -> CaseJob:
    """A job of the user; the audit log gets its image."""
    found: CaseJob = app_instance().jobs.find(ids.job(job_id))
    if not _may_see(user, found):
        raise not_found("job", "there is none of this id (any more)", "ask again for what it was to answer")
    request.state.images = [found.image]
    return found


def _may_see(user: Any, job: CaseJob) -> bool:
    return bool(job.user == user.username) or has(user, Role.ADMIN)


def _result(job: CaseJob, output: Output) -> Response:
    answered, written = app_instance().jobs.result(job)
    return answer_as(answered, written, output)
