"""Which ROIs are lesions by their names, and which names mean the same lesion in another session."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from treatment_response.dicom.ingest.name_facts import name_facts, numbers, without_amounts
from treatment_response.dicom.plain_text import LONGEST_NAME, without_accents
from treatment_response.dicom.roi_kinds import (
    SURGERY,
    RoiKind,
    is_background,
    kind_of,
    known_word,
    without_words_of,
)

__all__ = [
    "RoiKind",
    "is_background",
    "kind_of",
    "known_word",
    "match_names",
    "normalise",
    "resected_names",
    "select_targets",
    "surgery_words",
]

_SURGERY = re.compile(SURGERY, re.IGNORECASE)
_NO_SURGERY = re.compile(
    r"(?<![a-z])(?:no|not|ohne|sans|without|w/o|vor|before|avant|pre|prior to|for|fur|zur|keine?|planned|geplante?)"
    rf"[-_ ]+(?:{SURGERY})|(?:{SURGERY})[-_ ]+(?:planning|planung|planned|geplant)",
    re.IGNORECASE,
)


def select_targets(names: Iterable[str], pattern: str | None = None) -> tuple[list[str], dict[str, int]]:
    """Split ROI names into lesions and others.

    Args:
        names: ROI names of one structure set.
        pattern: the user's regular expression; it alone decides then. ``None``: names of kind
            :attr:`RoiKind.TARGET <treatment_response.dicom.roi_kinds.RoiKind.TARGET>`.

    Returns:
        The names of lesions in their order, and how many others there are by fixed word (``ptv``, ``other``, …).
    """
    chosen = re.compile(unicodedata.normalize("NFC", pattern), re.IGNORECASE) if pattern else None
    targets: list[str] = []
    others: Counter[str] = Counter()
    for name in names:
        if chosen.search(unicodedata.normalize("NFC", name)) if chosen else kind_of(name) is RoiKind.TARGET:
            targets.append(name)
        else:
            others[known_word(name)] += 1
    return targets, dict(sorted(others.items()))


def resected_names(names: Iterable[str]) -> set[str]:
    """Normalised names of lesions that an ROI calls a resection cavity (``GTV 1 cavity`` → ``gtv1``)."""
    rests = (without_words_of(RoiKind.CAVITY, name) for name in names)
    lesions = {normalise(rest) for rest in rests if rest is not None}
    return {name for name in lesions if any(letter.isalpha() for letter in name)}


def surgery_words(text: str) -> bool:
    """Whether a description, or a ROI's name, says that an operation took place: ``T1 post-op``, ``resection cavity``.

    A planned operation, radiosurgery and a biopsy are none.
    """
    return bool(_SURGERY.search(_NO_SURGERY.sub(" ", without_accents(text[:LONGEST_NAME]))))


def normalise(name: str) -> str:
    """One spelling for one lesion: ``GTV_01 L frontal`` and ``gtv1 L-frontal`` are both ``gtv1lfrontal``.

    Accents go (``Läsion 2``: ``lasion2``). Doses and sizes go where another number tells the lesions apart
    (``Lesion1_20Gy``: ``lesion1``); else they may be all that does, and stay (``frontal 5mm``: ``frontal5mm``).
    """
    text = without_accents(name).lower().replace("_", " ")
    if (shorter := without_amounts(text)) != text and re.search(r"\d", shorter):
        text = shorter
    tokens = re.findall(r"[^\W\d_]+|\d+", text)
    plain = [token.lstrip("0") or "0" if token.isdigit() else token for token in tokens]
    # Neighbouring numbers stay apart: "GTV 1 1" is not "GTV 11".
    return re.sub(r"(?<=\d) (?=\d)", ".", " ".join(plain)).replace(" ", "")


def match_names(first: Sequence[str], other: Sequence[str]) -> dict[str, str]:
    """Pair the lesions of two sessions by name: by normalised name, and what is left by a number that only they carry.

    A number does not pair names that state different sides or sites.

    Args:
        first: normalised names in the first session, each once.
        other: normalised names in the other session, each once.

    Returns:
        Name in the other session → name in the first.
    """
    pairs = {name: name for name in other if name in set(first)}
    left_first = _by_numbers([name for name in first if name not in pairs])
    left_other = _by_numbers([name for name in other if name not in pairs])
    for number, name in left_other.items():
        partner = left_first.get(number)
        if partner is not None and not name_facts(name).contradicts(name_facts(partner)):
            pairs[name] = partner
    return pairs


def _by_numbers(names: Iterable[str]) -> Mapping[tuple[str, ...], str]:
    """Names by their numbers, where only one name has them."""
    numbered = [(found, name) for name in names if (found := numbers(name))]
    counts = Counter(found for found, _ in numbered)
    return {found: name for found, name in numbered if counts[found] == 1}
