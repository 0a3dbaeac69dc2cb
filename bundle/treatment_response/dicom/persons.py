"""Which person each file is of, as a fingerprint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from treatment_response.dicom.headers import fingerprint, identity, names_a_person
from treatment_response.dicom.read_header import Header, text


@dataclass(frozen=True)
class Person:
    """A fingerprint, and whether it rests on a name and a birth date that are no placeholders."""

    mark: str
    is_known: bool


def persons(headers: Sequence[Header]) -> list[Person]:
    """The person of each file.

    A name or birth date that one system leaves out is taken from the patient's other files. The sex tells persons
    apart only where files of one id state both: two persons must not differ because one file does not say.
    """
    stated: dict[tuple[str, str], set[str]] = defaultdict(set)
    for header in headers:
        name, birth = identity(header.dataset)
        for key, value in (("name", name), ("birth", birth), ("sex", _sex(header))):
            stated[header.patient_id, key].update({value} - {""})

    def person(header: Header) -> Person:
        name, birth = identity(header.dataset)
        names, births, sexes = (stated[header.patient_id, key] for key in ("name", "birth", "sex"))
        name, birth = name or _only(names), birth or _only(births)
        sex = _sex(header) if len(sexes) > 1 else ""
        return Person(fingerprint(name, birth, sex), names_a_person(name, birth))

    return [person(header) for header in headers]


def _sex(header: Header) -> str:
    sex = text(header.dataset, "PatientSex").upper()
    return sex if sex in ("M", "F") else ""


def _only(values: set[str]) -> str:
    return next(iter(values)) if len(values) == 1 else ""
