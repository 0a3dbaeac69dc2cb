"""What a header says in its own words: date, contrast agent, T1 weighting, the person."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date as Date
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from treatment_response.dicom.plain_text import without_accents
from treatment_response.dicom.sequence_names import contrast_by_name, t1_by_name

_PLACEHOLDER = re.compile(
    r"(de)?ident\w*|anon\w*|unknown|unnamed|noname|none|nn|patient|subject|test\w*|demo|dummy|phantom|pseudo\w*|"
    r"removed|redacted|deleted|hidden|confidential|xx+",
    re.I,
)
_FIRST_BIRTH = Date(1900, 1, 2)  # 1900-01-01 and earlier days stand for no date
_NOT_AN_AGENT = {
    "NONE",
    "NO",
    "N",
    "NOT APPLICABLE",
    "N/A",
    "NA",
    "NIL",
    "NULL",
    "0",
    "-",
    "KEIN",
    "KEINS",
    "KEINE",
    "AUCUN",
}
_NO_STATEMENT = {"", "UNKNOWN", "UNBEKANNT", "?"}


def dicom_date(value: object) -> Date | None:
    """The date at the start of a DICOM DA or DT value; None if it is absent or no date."""
    text = re.sub(r"[^0-9]", "", str(value or ""))[:8]
    try:
        return datetime.strptime(text, "%Y%m%d").date() if len(text) == 8 else None
    except ValueError:
        return None


def state_transfer_syntax(dataset: FileDataset) -> None:
    """Old files without file meta information are uncompressed; say so, because decoding pixels asks for it."""
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit = dataset.is_implicit_VR
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def header_date(dataset: Dataset) -> Date | None:
    """Study date; failing that series, acquisition, content date."""
    keywords = ("StudyDate", "SeriesDate", "AcquisitionDate", "AcquisitionDateTime", "ContentDate", "StructureSetDate")
    for keyword in (*keywords, "RTPlanDate"):
        if (found := dicom_date(dataset.get(keyword))) is not None:
            return found
    return None


def identity(dataset: Dataset) -> tuple[str, str]:
    """Family and given name, and birth date, spelled one way; titles and further names differ between systems.

    Some systems write Müller, others Mueller or Muller.
    """
    name = re.sub(r"(?<=[AOU])E", "", without_accents(str(dataset.get("PatientName") or "").upper()))
    parts = re.split(r"[\^ ,=]+", name.strip("^ "))
    return "^".join(parts[:2]), str(dataset.get("PatientBirthDate") or "").strip()


def fingerprint(name: str, birth_date: str, sex: str = "") -> str:
    """A short hash for telling persons apart without keeping who they are; empty if nothing is known of the person."""
    words = f"{name}|{birth_date}|{sex}" if sex else f"{name}|{birth_date}"
    return hashlib.sha256(words.encode()).hexdigest()[:16] if name or birth_date or sex else ""


def names_a_person(name: str, birth_date: str) -> bool:
    """Whether name and birth date are both given and neither is what anonymisers put there."""
    words = [word for word in re.split(r"[\W\d_]+", name) if word]
    day = dicom_date(birth_date)
    return bool(words) and not any(map(_PLACEHOLDER.fullmatch, words)) and day is not None and day >= _FIRST_BIRTH


def has_contrast(dataset: Dataset) -> bool | None:
    """Whether a contrast agent was given; None if the header does not say, or says two things.

    The agent's attributes count, then the descriptions. Where both speak and disagree the answer is None: scanners keep
    the agent of an examination in the header of its series before the injection too.
    """
    stated = _agent_stated(dataset)
    named = next((said for words in _descriptions(dataset) if (said := contrast_by_name(words)) is not None), None)
    if stated is not None and named is not None and stated is not named:
        return None
    return named if stated is None else stated


def _agent_stated(dataset: Dataset) -> bool | None:
    """What the attributes of the contrast agent say."""
    coded = [str(item.get("CodeMeaning") or "agent") for item in dataset.get("ContrastBolusAgentSequence") or []]
    agent = (coded[0] if coded else str(dataset.get("ContrastBolusAgent") or "")).strip().upper()
    if agent in _NO_STATEMENT:
        return None
    return agent not in _NOT_AN_AGENT and contrast_by_name(agent) is not False


def is_t1(dataset: Dataset) -> bool | None:
    """Whether an MR series is a T1-weighted image of the anatomy; None if the header does not say.

    Acquisition Contrast counts first, then the series' description, then the protocol's name, then the timing.
    """
    if dataset.get("AcquisitionContrast") not in (None, "", "UNKNOWN"):
        return str(dataset.AcquisitionContrast) == "T1"
    for words in _descriptions(dataset):
        if (weighting := t1_by_name(words)) is not None:
            return weighting
    repetition, echo = _number(dataset, "RepetitionTime"), _number(dataset, "EchoTime")
    if repetition is None or echo is None:
        return None
    if echo > 30:
        return False
    # Spin echo: short TR. Gradient echo: spoiled with short TR, or inversion-prepared (MPRAGE) with a long one.
    return repetition < 1000 or _number(dataset, "InversionTime") is not None or None


def _descriptions(dataset: Dataset) -> list[str]:
    """What the series is called, in order of weight: the protocol is often that of the whole examination."""
    return [str(dataset.get(keyword) or "") for keyword in ("SeriesDescription", "ProtocolName")]


def _number(dataset: Dataset, keyword: str) -> float | None:
    try:
        return float(dataset.get(keyword))
    except (TypeError, ValueError):
        return None


def header_from_json(content: Mapping[str, Any]) -> Dataset:
    """The data set of a DICOM JSON object, as DICOMweb answers it, without pixels.

    Raises:
        ValueError, KeyError: it is none.
    """
    return Dataset.from_json({tag: value for tag, value in content.items() if "BulkDataURI" not in value})
