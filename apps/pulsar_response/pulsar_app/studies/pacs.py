"""Questions to a PACS by DICOMweb, each answered or told in one sentence. Nothing about persons is kept or logged."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date as Date
from typing import Any, Generic, TypeVar

import requests
from cachetools import Cache, LRUCache, TTLCache
from dicomweb_client import DICOMwebClient
from requests.adapters import HTTPAdapter
from treatment_response.dicom.headers import dicom_date, header_from_json
from treatment_response.dicom.outline_references import listed_series
from treatment_response.dicom.results.model import is_own_series
from treatment_response.problems import Problem

from pulsar_app.server.problems import NotFound, Unavailable

_OUTLINES = ("RTSTRUCT", "SEG")
_TREATMENT = ("RTPLAN", "RTDOSE", "RTRECORD", "RTSTRUCT")
_FIELDS = ("SeriesDate", "StudyDate", "PatientID", "SeriesDescription", "NumberOfSeriesRelatedInstances")
_INSTANCE_FIELDS = ("InstanceCreationDate", "InstanceCreationTime")
_OF_INSTANCE = ("00080018", "00080012", "00080013")  # SOP Instance UID, and the two fields
_RESERVED = re.compile(r"[^A-Za-z0-9._~-]")
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 60.0
_MOST_STUDIES = 16

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """The values that were used last; safe in threads.

    Args:
        size: how much is kept at most.
        weigh: how much of ``size`` a value takes; None is 1. What is larger than ``size`` is not kept.
        seconds: how long a value is good; None: always.
    """

    def __init__(self, size: int, weigh: Callable[[Value], int] | None = None, seconds: float | None = None) -> None:
        self._values: Cache[Hashable, Value] = (
            LRUCache(size, weigh) if seconds is None else TTLCache(size, seconds, getsizeof=weigh)
        )
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key; ``make`` is called, outside the lock, if it is not there."""
        with self._lock, suppress(KeyError):
            return self._values[key]
        value = make()
        with self._lock, suppress(ValueError):  # larger than all that may be kept
            self._values[key] = value
        return value


@dataclass(frozen=True)
class SeriesFacts:
    """What a search tells of a series.

    Attributes:
        instances: how many it has; None if the PACS does not say.
        patient: the PACS's patient id, for asking about the same patient; never shown.
    """

    study_uid: str
    series_uid: str
    modality: str
    description: str
    instances: int | None
    date: Date | None
    patient: str = field(repr=False, default="")

    @property
    def ours(self) -> bool:
        """Whether this software wrote it."""
        return is_own_series(self.description)

    @property
    def has_outlines(self) -> bool:
        """Whether it is of a kind that outlines lesions."""
        return self.modality in _OUTLINES

    @property
    def tells_of_treatment(self) -> bool:
        """Whether it is of a kind that there is when a patient is treated."""
        return self.modality in _TREATMENT


@dataclass(frozen=True)
class StudyFacts:
    """What a search tells of another study of the patient.

    Attributes:
        modalities: of its series; empty if the PACS does not say.
    """

    study_uid: str
    modalities: frozenset[str]
    date: Date | None

    @property
    def treatment_dates(self) -> tuple[tuple[str, Date], ...]:
        """Modality and date of its plans, doses, treatment records and structure sets."""
        return tuple((kind, self.date) for kind in _TREATMENT if kind in self.modalities and self.date)

    @property
    def may_hold_outlines(self) -> bool:
        """Whether there is a structure set or segmentation in it, as far as the PACS says."""
        return not self.modalities or not self.modalities.isdisjoint(_OUTLINES)


class Pacs:
    """Reads from a DICOMweb server.

    Args:
        client: of the server; its session gets time limits and its retries are shortened, so that a server that is
            down is told within seconds.
    """

    def __init__(self, client: DICOMwebClient) -> None:
        self.client = client
        client.set_http_retry_params(retry=True, max_attempts=2, wait_exponential_multiplier=100)
        session = client._session
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Limited())
        self._studies: Recent[str] = Recent(4096)
        self._objects: Recent[tuple[Any, ...]] = Recent(16)
        self._other_objects: Recent[tuple[Any, ...]] = Recent(256)

    def list_series(self, filters: dict[str, Any]) -> list[SeriesFacts]:
        """Series that match a filter, without those that this software wrote."""
        return [facts for facts in self._search_series(search_filters=filters, fields=_FIELDS) if not facts.ours]

    def list_treatment(self) -> list[SeriesFacts]:
        """Plans, doses, treatment records, structure sets and segmentations of all patients, without our own."""
        kinds = dict.fromkeys((*_TREATMENT, *_OUTLINES))
        return [facts for modality in kinds for facts in self.list_series({"Modality": modality})]

    def study_of(self, series_uid: str) -> list[SeriesFacts]:
        """All series of the study that a series belongs to.

        Raises:
            NotFound: the PACS does not know the series.
        """
        listed = self._study(self._studies.get(series_uid, lambda: self._study_uid(series_uid)))
        if not any(facts.series_uid == series_uid for facts in listed):
            # Moved to another study, or deleted: the short way is no longer right.
            listed = self._study(self._study_uid(series_uid))
        return listed

    def outlines(self, study: list[SeriesFacts]) -> tuple[Any, ...]:
        """Structure sets and segmentations of a study as data sets, except those that this software wrote."""
        objects: list[Any] = []
        for facts in study:
            if facts.has_outlines and not facts.ours:
                key = self._version(facts)
                objects += self._objects.get(key, lambda facts=facts: tuple(self.retrieve(facts)))  # type: ignore[misc]
        return tuple(objects)

    def named_series(self, outlines: SeriesFacts) -> set[str]:
        """The series that the structure sets or segmentations of a series list; none if one of them lists none."""
        named = [listed_series(dataset)[0] for dataset in self.outlines([outlines])]
        return {uid for uids in named for uid in uids} if all(named) else set()

    def other_studies(self, of: SeriesFacts) -> tuple[StudyFacts, ...]:
        """The other studies of a series' patient, newest first; none where the series has no patient id."""
        if not of.patient:
            return ()
        listed = self._ask(lambda: self._search_studies(of.patient))
        found = [_study_facts(one) for one in listed if _value(one, "00100020") == of.patient]
        others = [one for one in found if one.study_uid and one.study_uid != of.study_uid]
        return tuple(sorted(others, key=lambda one: one.date or Date.min, reverse=True))

    def series_of(self, study_uid: str, filters: dict[str, Any] | None = None) -> list[SeriesFacts]:
        """The series of a study, without those that this software wrote; none if the PACS holds no such study.

        Args:
            filters: that they match; None: all of them.
        """
        with suppress(NotFound):
            return [one for one in self._study(study_uid, search_filters=filters) if not one.ours]
        return []

    def header(self, facts: SeriesFacts) -> Any:
        """The headers of a series' first instance as a data set without pixels.

        Raises:
            Unavailable: the PACS does not give them.
        """
        found = self._ask(lambda: self.client.retrieve_series_metadata(facts.study_uid, facts.series_uid))
        if not found:
            raise _no_dicomweb()
        return self._ask(lambda: header_from_json(found[0]))

    def outlines_elsewhere(
        self, of: SeriesFacts, others: Sequence[StudyFacts], refers: Callable[[Any], bool]
    ) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        """Structure sets and segmentations of other studies that refer to a series.

        Args:
            of: the series.
            others: the patient's other studies, newest first; the first 16 that hold outlines are looked through.
            refers: whether a data set refers to the series.

        Returns:
            The data sets, and why some could not be looked at, one sentence each.
        """
        studies = [study for study in others if study.may_hold_outlines]
        objects: list[Any] = []
        unread: list[str] = []
        for study in studies[:_MOST_STUDIES]:
            try:
                for facts in self._outline_series(study):
                    key = (of.series_uid, of.instances, *self._version(facts))
                    objects += self._other_objects.get(key, lambda facts=facts: self._referring(facts, refers))  # type: ignore[misc]
            except NotFound:  # removed meanwhile
                continue
            except Unavailable as problem:
                unread.append(f"they could not be fetched ({problem})")
        if len(studies) > _MOST_STUDIES:
            unread.append(f"{len(studies) - _MOST_STUDIES} older studies with outlines were not looked through")
        return tuple(objects), tuple(unread)

    def _outline_series(self, study: StudyFacts) -> list[SeriesFacts]:
        return [one for one in self._study(study.study_uid) if one.has_outlines and not one.ours]

    def _version(self, facts: SeriesFacts) -> tuple[Hashable, ...]:
        """What changes with a series' objects, also where as many others have taken their place."""
        held = self._ask(
            lambda: self.client.search_for_instances(facts.study_uid, facts.series_uid, fields=_INSTANCE_FIELDS)
        )
        objects = sorted(tuple(_value(one, tag) for tag in _OF_INSTANCE) for one in held)
        return facts.series_uid, facts.instances, *objects

    def _referring(self, facts: SeriesFacts, refers: Callable[[Any], bool]) -> tuple[Any, ...]:
        return tuple(dataset for dataset in self.retrieve(facts) if refers(dataset))

    def retrieve(self, facts: SeriesFacts) -> list[Any]:
        """All instances of a series as data sets."""
        # As they are stored: Orthanc cannot decode JPEG 2000 without a plugin, and we can.
        as_stored = (("application/dicom", "*"),)
        found = self._ask(lambda: self.client.retrieve_series(facts.study_uid, facts.series_uid, media_types=as_stored))
        if facts.instances is not None and len(found) < facts.instances:
            what = f"sent {len(found)} of a series' {facts.instances} objects"
            raise Unavailable(Problem("PACS", what, "try again"))
        return list(found)

    def store(self, dataset: Any) -> None:
        """Send one object.

        Raises:
            Unavailable: the PACS does not answer, or refuses it.
        """
        answer = self._ask(lambda: self.client.store_instances([dataset]))
        if answer.get("FailedSOPSequence"):
            raise Unavailable(Problem("PACS", "it refused the object, so nothing was stored", "look at its log"))

    def _study_uid(self, series_uid: str) -> str:
        for facts in self._search_series(search_filters={"SeriesInstanceUID": series_uid}):
            if facts.series_uid == series_uid and facts.study_uid:
                return facts.study_uid
        raise unknown_series()

    def _study(self, study_uid: str, **query: Any) -> list[SeriesFacts]:
        return self._search_series(study_instance_uid=study_uid, fields=_FIELDS, **query)

    def _search_series(self, **query: Any) -> list[SeriesFacts]:
        return list(self._ask(lambda: [_facts(one) for one in self.client.search_for_series(**query)]))

    def _search_studies(self, patient: str) -> list[dict[str, Any]]:
        """Studies of a patient, perhaps with others': the caller compares the id.

        Orthanc takes query values as they come and decodes no %20, so what would have to be encoded is asked for by
        DICOM's wildcard, which the client's own search would encode too.
        """
        parts = (self.client.base_url, self.client.qido_url_prefix, "studies")
        fields = ["StudyDate", "ModalitiesInStudy"]
        asked = "&includefield=".join([f"PatientID={_RESERVED.sub('?', patient)}", *fields])
        url = f"{'/'.join(part.strip('/') for part in parts if part)}?{asked}"
        answer = self.client._session.get(url, headers={"Accept": "application/dicom+json"})
        answer.raise_for_status()
        return list(answer.json()) if answer.content else []

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except requests.exceptions.HTTPError as error:
            status = error.response.status_code if error.response is not None else "an error"
            if status == 404:
                raise unknown_series() from None
            raise Unavailable(Problem("PACS", f"it answered with {status}", "look at its log")) from None
        except requests.exceptions.JSONDecodeError:
            raise _no_dicomweb() from None
        except requests.exceptions.RequestException as error:
            what = f"it does not answer ({type(error).__name__})"
            remedy = "check that it is running and its address, then try again"
            raise Unavailable(Problem("PACS", what, remedy)) from None
        except Exception:  # what is no DICOM or JSON can fail anywhere inside the parsers
            raise _no_dicomweb() from None


def _no_dicomweb() -> Unavailable:
    remedy = "check its address, and whether the object can be opened elsewhere"
    return Unavailable(Problem("PACS", "its answer cannot be read as DICOMweb", remedy))


def unknown_series() -> NotFound:
    """What is answered for a series that the PACS does not hold."""
    return NotFound(Problem("image", "the PACS holds no series of this UID", "choose a series of the list"))


class _Limited(HTTPAdapter):
    """Requests with time limits: the client sets none, and one that never ends would hold a worker for ever."""

    def send(self, request: Any, *args: Any, **more: Any) -> Any:
        if more.get("timeout") is None:
            more["timeout"] = (_CONNECT_SECONDS, _READ_SECONDS)
        return super().send(request, *args, **more)


def _facts(found: dict[str, Any]) -> SeriesFacts:
    count = _value(found, "00201209")
    return SeriesFacts(
        study_uid=_value(found, "0020000D"),
        series_uid=_value(found, "0020000E"),
        modality=_value(found, "00080060"),
        description=_value(found, "0008103E"),
        instances=int(count) if count.isdecimal() else None,
        date=dicom_date(_value(found, "00080021")) or dicom_date(_value(found, "00080020")),
        patient=_value(found, "00100020"),
    )


def _study_facts(found: dict[str, Any]) -> StudyFacts:
    modalities = (found.get("00080061") or {}).get("Value") or []
    return StudyFacts(
        study_uid=_value(found, "0020000D"),
        modalities=frozenset(str(one) for one in modalities if one),
        date=dicom_date(_value(found, "00080020")),
    )


def _value(found: dict[str, Any], tag: str) -> str:
    values = (found.get(tag) or {}).get("Value") or [""]
    return str(values[0] or "")
