"""Results into the PACS by STOW-RS: all checked before the first byte is sent, refusals told by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset

from treatment_response.notice import RESEARCH_ONLY
from treatment_response.problems import DataProblem, Problem

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_TIMEOUT_SECONDS = (10, 300)  # to connect; without any answer: a PACS indexes large objects before it answers
_CHECK_ADDRESS = "check that the address is the root of its DICOMweb services"
_REASONS = {  # PS3.18, table I.2-2
    0x0110: "processing failure",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0xA700: "out of resources",
    0xA900: "object does not match its SOP class",
    0xC000: "cannot understand",
    0xC122: "transfer syntax not supported",
}


def stow(datasets: Sequence[Dataset], url: str, session: requests.Session | None = None) -> None:
    """Store objects in the PACS.

    Nothing goes anywhere but to ``url``: redirections are not followed, and proxies and logins of the environment
    (``HTTP_PROXY``, ``.netrc``) are not used. One request carries all objects. Of a failure in it the message says what
    was stored and what was not, by the answer, or by asking the PACS where the answer does not tell.

    Args:
        datasets: objects of one study with their file meta information, each marked as research.
        url: root of the PACS's DICOMweb services.
        session: login and certificates, where the PACS asks for them.

    Raises:
        DataProblem: nothing was sent (an object cannot be stored, the address is none), the PACS does not answer, or it
            refused some or all of the objects.
    """
    where = _address(url)
    _check(datasets)
    client = DICOMwebClient(url.rstrip("/"), session=_bound(session or requests.Session()))
    # The client would send a body again that it has already read to its end.
    client.set_http_retry_params(retry=False)
    try:
        answer = client.store_instances(datasets)
    except requests.HTTPError as error:
        answer = _refusals(error.response)
        if answer is None:
            raise DataProblem(_http_problem(where, error.response, client, datasets)) from None
    except (requests.JSONDecodeError, ParseError, KeyError, AttributeError, TypeError):
        what = "its answer is not that of a STOW-RS service"
        raise DataProblem(Problem(where, f"{what}, {_held(client, datasets)}", _CHECK_ADDRESS)) from None
    except requests.TooManyRedirects:
        what = "it redirects to another address, and results go to the given one only"
        raise DataProblem(Problem(where, what, "give the final address of its DICOMweb services")) from None
    except requests.ReadTimeout:
        what = "it took the request and gave no answer in time, so it is unknown what it stored"
        raise DataProblem(Problem(where, what, "look into the PACS before storing again")) from None
    except requests.RequestException as error:
        what = f"it cannot be reached ({type(error).__name__})"
        raise DataProblem(Problem(where, what, "check its address and whether it is running")) from None
    _check_answer(answer, where, client, datasets)


def _address(url: str) -> str:
    """How messages call the PACS: host and port, never a login that stands in the address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https"):
        what = "expected an address that starts with http:// or https://"
        raise DataProblem(Problem("PACS", what, "give the root of its DICOMweb services"))
    return f"PACS at {host}:{port}" if port else f"PACS at {host}"


def _bound(session: requests.Session) -> requests.Session:
    """A copy of the session that talks to one address, and not for ever."""
    bound = object.__new__(type(session))
    vars(bound).update(vars(session))  # copy() keeps what requests knows of only, and loses a cloud session's login
    bound.max_redirects, bound.trust_env = 0, False
    bound.request = partial(bound.request, timeout=_TIMEOUT_SECONDS)  # type: ignore[method-assign]
    bound.hooks = {"response": [*session.hooks["response"], _plain_media_type]}
    return bound


def _plain_media_type(response: requests.Response, *_: object, **__: object) -> None:
    """The client overlooks the answer's list of objects where a parameter follows its type (``; charset=utf-8``)."""
    response.headers["Content-Type"] = response.headers.get("Content-Type", "").split(";")[0].strip()


def _name(dataset: Dataset) -> str:
    return f"{dataset.get('Modality') or 'object'} '{dataset.get('SeriesDescription') or ''}'"


def _check(datasets: Sequence[Dataset]) -> None:
    """Report everything at once that would be refused, or that must not be sent."""
    problems = [Problem("results", "there is no object to store", "predict a lesion first")] if not datasets else []
    for dataset in datasets:
        if what := _fault(dataset):
            problems.append(Problem(_name(dataset), f"{what}, so nothing was sent", "make the object again"))
    for keyword, wanted, what in (
        ("StudyInstanceUID", 1, "expected objects of one study"),
        ("PatientID", 1, "expected objects of one patient"),
        ("SOPInstanceUID", len(datasets), "expected objects that differ in their SOP Instance UID"),
    ):
        if datasets and (found := len({str(dataset.get(keyword) or "") for dataset in datasets})) != wanted:
            problems.append(Problem("results", f"{what}, found {found}, so nothing was sent", "make them again"))
    if problems:
        raise DataProblem(*problems)


def _fault(dataset: Dataset) -> str | None:
    if missing := [keyword for keyword in _UIDS if not dataset.get(keyword)]:
        return f"it has no {', '.join(missing)}"
    if not str(dataset.get("SeriesDescription") or "").startswith(RESEARCH_ONLY):
        return f"its series description does not start with {RESEARCH_ONLY}"
    encoded = BytesIO()
    try:
        dcmwrite(encoded, dataset)
        encoded.seek(0)
        meta = dcmread(encoded, stop_before_pixels=True).file_meta
        same = meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID and bool(meta.TransferSyntaxUID)
    except Exception as error:  # a value that does not fit its type can fail anywhere inside the writer
        return f"it cannot be written as DICOM ({type(error).__name__})"
    return None if same else "its file meta information is of another object"


def _refusals(response: requests.Response | None) -> Dataset | None:
    """The list of refused objects that may come with an error status (409)."""
    try:
        content = json.loads(response.content if response is not None else b"")
        answer = Dataset.from_json(content[0] if isinstance(content, list) else content)
    except (ValueError, KeyError, IndexError, AttributeError, TypeError):
        return None
    return answer if answer.get("FailedSOPSequence") else None


def _http_problem(
    where: str, response: requests.Response | None, client: DICOMwebClient, datasets: Sequence[Dataset]
) -> Problem:
    status = 0 if response is None else response.status_code
    if status in (401, 403):
        what, remedy = "it asks for a login, nothing was stored", "give one that may store objects"
    elif status in (404, 405, 501):
        what, remedy = "it has no STOW-RS service at this address, nothing was stored", _CHECK_ADDRESS
    else:
        # Orthanc, for one, answers 500 when its storage is full, having stored the objects before the one that failed.
        what, remedy = f"it broke the request off, {_held(client, datasets)}", "ask its administrator for its log"
    return Problem(where, f"{what} (HTTP {status})", remedy)


def _held(client: DICOMwebClient, datasets: Sequence[Dataset]) -> str:
    """What the PACS has of the objects, by asking it, where its answer does not tell."""
    try:
        missing = [
            dataset
            for dataset in datasets
            if dataset.SOPInstanceUID
            not in {
                found["00080018"]["Value"][0]
                for found in client.search_for_instances(dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
            }
        ]
    except (requests.RequestException, ValueError, KeyError, AttributeError, TypeError):
        return "it is unknown what it stored"
    if not missing:
        return f"it holds all {len(datasets)} objects nevertheless"
    return f"of {len(datasets)} objects it did not store {len(missing)}: {'; '.join(map(_name, missing))}"


def _check_answer(answer: Dataset, where: str, client: DICOMwebClient, datasets: Sequence[Dataset]) -> None:
    if "ReferencedSOPSequence" not in answer and "FailedSOPSequence" not in answer:
        what = f"it did not say what it stored, {_held(client, datasets)}"
        raise DataProblem(Problem(where, what, _CHECK_ADDRESS))
    stored = {str(item.ReferencedSOPInstanceUID) for item in answer.get("ReferencedSOPSequence") or []}
    reasons = {
        str(item.get("ReferencedSOPInstanceUID")): int(item.get("FailureReason") or 0)
        for item in answer.get("FailedSOPSequence") or []
    }
    refused = [dataset for dataset in datasets if dataset.SOPInstanceUID not in stored]
    if not refused:
        return
    named = "; ".join(f"{_name(dataset)}{_reason(reasons.get(dataset.SOPInstanceUID))}" for dataset in refused)
    rest = len(datasets) - len(refused)
    told = {0: "nothing was stored", 1: "the other was stored"}.get(rest, f"the other {rest} were stored")
    what = f"it refused {len(refused)} of {len(datasets)} objects ({named}), {told}"
    raise DataProblem(Problem(where, what, "ask its administrator, its log tells more"))


def _reason(code: int | None) -> str:
    if not code:
        return ""
    meaning = _REASONS.get(code) or _REASONS.get(code & 0xFF00) or _REASONS.get(code & 0xF000)
    return f", {meaning or 'reason'} {code:04X}H"
