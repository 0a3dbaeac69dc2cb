"""`/train`, `/batch/infer` and `/activelearning`: jobs on the whole datastore, started with checked parameters."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any

import psutil
from fastapi import APIRouter, Body
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.async_tasks.task import AsyncTask
from pydantic import AfterValidator
from treatment_response.problems import Problem

from pulsar_app.server.datastore_routes import without_paths
from pulsar_app.server.guarded_route import GuardedRoute
from pulsar_app.server.infer import check_model
from pulsar_app.server.parameters import plain, refuse_paths, without_identity
from pulsar_app.server.problems import Busy, not_found
from pulsar_app.server.roles import CurrentUser, Role, requires
from pulsar_app.server.workers import in_worker

Params = Annotated[dict[str, Any] | None, Body(), AfterValidator(lambda found: found and plain(found))]


def router() -> APIRouter:
    """Status for users, start and stop for admins; the next sample for users."""
    routes = APIRouter(route_class=GuardedRoute, dependencies=[requires(Role.USER)])
    _add_train_routes(routes)
    _add_batch_routes(routes)

    @routes.post("/activelearning/{strategy}")
    async def next_sample(user: CurrentUser, strategy: str, params: Params = None) -> dict[str, Any]:
        return await in_worker(partial(_next_sample, strategy, params or {}, user.username))

    return routes


def _add_train_routes(routes: APIRouter) -> None:
    admin = [requires(Role.ADMIN)]

    @routes.get("/train/")
    def status(all: bool = False, check_if_running: bool = False) -> Any:
        return _status("train", all, check_if_running)

    @routes.post("/train/", dependencies=admin)
    async def train_all(params: Params = None, run_sync: bool = False) -> dict[str, Any]:
        trainers = app_instance()._trainers
        asked = params or {}
        shared = {key: value for key, value in asked.items() if key not in trainers}
        answers = {}
        for model in trainers:
            own = asked.get(model)
            wanted = {**shared, **own} if isinstance(own, dict) else shared
            answers[model] = {"result": await in_worker(partial(_train, model, wanted, run_sync, True)), "detail": None}
        return answers

    @routes.post("/train/{model}", dependencies=admin)
    async def train(model: str, params: Params = None, run_sync: bool = False, enqueue: bool = False) -> Any:
        return await in_worker(partial(_train, model, params or {}, run_sync, enqueue))

    @routes.delete("/train/", dependencies=admin)
    def stop() -> Any:
        return _stop("train")


def _add_batch_routes(routes: APIRouter) -> None:
    admin = [requires(Role.ADMIN)]

    @routes.get("/batch/infer")
    def status(all: bool = False, check_if_running: bool = False) -> Any:
        return _status("batch_infer", all, check_if_running)

    @routes.post("/batch/infer/{model}", dependencies=admin)
    async def batch(
        model: str,
        images: BatchInferImageType = BatchInferImageType.IMAGES_ALL,
        params: Params = None,
        run_sync: bool = False,
    ) -> Any:
        return await in_worker(partial(_batch, model, images, params or {}, run_sync))

    @routes.delete("/batch/infer", dependencies=admin)
    def stop() -> Any:
        return _stop("batch_infer")


def _status(method: str, every: bool, check_if_running: bool) -> Any:
    found, _ = AsyncTask.status(method, every, check_if_running)
    if found is None:
        job = "training" if method == "train" else "batch inference"
        raise not_found(
            "server", f"no {job} {'is running' if check_if_running else 'was started'}", "start one by POST"
        )
    return found


def _stop(method: str) -> Any:
    try:
        return AsyncTask.stop(method)
    except psutil.NoSuchProcess:  # it ended by itself in this moment
        return None


def _run(method: str, request: dict[str, Any], params: dict[str, Any], run_sync: bool, enqueue: bool) -> Any:
    found, detail = AsyncTask.run(method, request=request, params=params, force_sync=run_sync, enqueue=enqueue)
    if found is None and detail:
        raise Busy(Problem("server", "a job of this kind is running already", "wait for it, or stop it by DELETE"))
    return found


def _train(model: str, params: dict[str, Any], run_sync: bool, enqueue: bool) -> Any:
    trainers = app_instance()._trainers
    if model not in trainers:
        raise not_found("model", "none of this name can be trained", f"choose {' or '.join(trainers) or 'none'}")
    refuse_paths(params)
    asked = without_identity(params, model=model)
    request: dict[str, Any] = {"model": model}
    trainers[model].check({**asked, **request})
    return _run("train", request, asked, run_sync, enqueue)


def _batch(model: str, images: BatchInferImageType, params: dict[str, Any], run_sync: bool) -> Any:
    instance: Any = app_instance()
    check_model(instance, model)
    refuse_paths({key: value for key, value in params.items() if key != "rois"})
    saving = {key: params.pop(key) for key in ("save_label", "label_tag") if key in params}
    asked = without_identity(params, model=model) | saving
    request: dict[str, Any] = {"model": model, "images": images.value}
    instance._batch_infer.check({**asked, **request})
    return _run("batch_infer", request, asked, run_sync, False)


def _next_sample(strategy: str, params: dict[str, Any], user: str) -> dict[str, Any]:
    instance: MONAILabelApp = app_instance()
    if strategy not in instance._strategies:
        known = " or ".join(instance._strategies)
        raise not_found("strategy", "there is none of this name", f"choose {known}")
    refuse_paths(params)
    datastore: Any = instance.datastore()
    request = {**without_identity(params, strategy=strategy), "strategy": strategy}
    sample = instance._strategies[strategy](request, datastore)
    if "id" not in sample:
        return dict(sample)
    datastore.get_image_uri(sample["id"])  # a series of a PACS is noted in the index, with what viewers open it by
    info = datastore.get_image_info(sample["id"])
    asked = {**info.get("strategy", {}), strategy: {"ts": int(time.time()), "client_id": params.get("client_id", user)}}
    datastore.update_image_info(sample["id"], {"strategy": asked})
    return without_paths({**sample, **info, "strategy": asked})
