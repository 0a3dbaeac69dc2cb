"""What a header says in its own words: date, contrast agent, T1 weighting, the person."""

from __future__ import annotations

import hashlib
import re
from datetime import date as Date
from datetime import datetime

from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

_NO_CONTRAST = re.compile(
    r"without|w/o|\bpre\b|pre[-_ ]?(contrast|gd|gad|km)|non[-_ ]?contrast|no[-_ ]?contrast|unenhanced|nativ", re.I
)
_CONTRAST = re.compile(
    r"contrast|gadolin|\bgad|(?<![a-z])gd(?![a-z])|\bpost\b|post[-_ ]|enhanced|\+ ?c\b|\bc\+|t1c|(?<![a-z])ce(?![a-z])|"
    r"(?<![a-z])km(?![a-z])",
    re.I,
)
_PLACEHOLDER = re.compile(
    r"(de)?ident\w*|anon\w*|unknown|unnamed|noname|none|nn|patient|subject|test\w*|demo|dummy|phantom|pseudo\w*|"
    r"removed|redacted|deleted|hidden|confidential|xx+",
    re.I,
)
_FIRST_BIRTH = Date(1900, 1, 2)  # 1900-01-01 and earlier days stand for no date
_NOT_AN_AGENT = {"", "NONE", "NO", "N", "NOT APPLICABLE", "N/A", "WITHOUT"}
_T1 = re.compile(
    r"(?<![a-z0-9])t1|mp[-_ ]?rage|bravo|spgr|(?<![a-z])tfl|vibe|(?<![a-z])mpr(?![a-z])|(?<![a-z])3d[-_ ]?ffe", re.I
)
_NOT_T1 = re.compile(
    r"t2|flair|dwi|diff|\badc|swi|dti|bold|tof|perf|dsc|asl|ciss|fiesta|localizer|scout|survey|(?<![a-z])pd(?![a-z])",
    re.I,
)


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
    """Family and given name, and birth date, spelled one way; titles and further names differ between systems."""
    parts = re.split(r"[\^ ,=]+", str(dataset.get("PatientName") or "").upper().strip("^ "))
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
    """Whether a contrast agent was given: from its attributes, else from the descriptions; None if neither says."""
    if dataset.get("ContrastBolusAgentSequence"):
        return True
    if "ContrastBolusAgent" in dataset:
        agent = str(dataset.ContrastBolusAgent or "").strip().upper()
        if agent:
            return agent not in _NOT_AN_AGENT
    words = " ".join(str(dataset.get(keyword) or "") for keyword in ("SeriesDescription", "ProtocolName"))
    if _NO_CONTRAST.search(words):
        return False
    return True if _CONTRAST.search(words) else None


def is_t1(dataset: Dataset) -> bool | None:
    """Whether an MR series is T1-weighted: from its descriptions, else from its timing; None if neither says."""
    if dataset.get("AcquisitionContrast") not in (None, "", "UNKNOWN"):
        return str(dataset.AcquisitionContrast) == "T1"
    for keyword in ("SeriesDescription", "ProtocolName"):
        words = str(dataset.get(keyword) or "")
        if _T1.search(words):
            return True
        if _NOT_T1.search(words):
            return False
    repetition, echo = _number(dataset, "RepetitionTime"), _number(dataset, "EchoTime")
    if repetition is None or echo is None:
        return None
    if echo > 30:
        return False
    # Spin echo: short TR. Gradient echo: spoiled with short TR, or inversion-prepared (MPRAGE) with a long one.
    return repetition < 1000 or _number(dataset, "InversionTime") is not None or None


def _number(dataset: Dataset, keyword: str) -> float | None:
    try:
        return float(dataset.get(keyword))
    except (TypeError, ValueError):
        return None
