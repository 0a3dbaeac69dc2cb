"""Which ROIs are lesions by their names, and which names mean the same lesion in another session."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

DEFAULT_ROI = r"(?<![a-z])(gtvs?|les(ions?)?|mets?|metast\w*|targets?|tumou?rs?|tm|brainmets?|bm)(?![a-z])"
"""Names that clinics give to a lesion's outline."""

# ROIs that carry such a word and are no lesion.
NOT_A_LESION = re.compile(
    r"(?<![a-z])([pci]tv|ring|shell|o?edema|cavity|margin|minus|isodose|avoid|help|dummy)(?![a-z])|resect|post[-_ ]?op|"
    r"brain[-_ ]+gtv",
    re.IGNORECASE,
)
# The report shows one of these words and never a ROI's name, which is free text and may hold a person's name.
_WORDS = re.compile(
    r"ptv|ctv|itv|ring|shell|edema|cavity|margin|minus|isodose|resect|skull|brain ?stem|brain|optic|chiasm|eye|lens|"
    r"cochlea|hippocamp|body|external",
    re.IGNORECASE,
)
_RESECTED = re.compile(r"cavity|resect\w*|post[-_ ]?op\w*", re.IGNORECASE)


def select_targets(names: Iterable[str], pattern: str | None = None) -> tuple[list[str], dict[str, int]]:
    """Split ROI names into lesions and others.

    Args:
        names: ROI names of one structure set.
        pattern: the user's regular expression; it alone decides then. ``None``: :data:`DEFAULT_ROI` without
            :data:`NOT_A_LESION`.

    Returns:
        The names of lesions in their order, and how many others there are by fixed word (``ptv``, ``other``, …).
    """
    chosen = re.compile(pattern or DEFAULT_ROI, re.IGNORECASE)
    targets: list[str] = []
    others: Counter[str] = Counter()
    for name in names:
        excluded = NOT_A_LESION.search(name) if pattern is None else None
        if chosen.search(name) and not excluded:
            targets.append(name)
        else:
            others[known_word(name)] += 1
    return targets, dict(sorted(others.items()))


def resected_names(names: Iterable[str]) -> set[str]:
    """Normalised names of lesions that an ROI calls a resection cavity (``GTV 1 cavity`` → ``gtv1``)."""
    found = {normalise(_RESECTED.sub("", name)) for name in names if _RESECTED.search(name)}
    return {name for name in found if name}


def normalise(name: str) -> str:
    """One spelling for one lesion: ``GTV_01 L frontal`` and ``gtv1 L-frontal`` are both ``gtv1lfrontal``."""
    tokens = re.findall(r"[^\W\d_]+|\d+", name.lower())
    plain = [token.lstrip("0") or "0" if token.isdigit() else token for token in tokens]
    # Neighbouring numbers stay apart: "GTV 1 1" is not "GTV 11".
    return re.sub(r"(?<=\d) (?=\d)", ".", " ".join(plain)).replace(" ", "")


def match_names(first: Sequence[str], other: Sequence[str]) -> dict[str, str]:
    """Pair the lesions of two sessions by name: by normalised name, and what is left by a number that only they carry.

    Args:
        first: normalised names in the first session, each once.
        other: normalised names in the other session, each once.

    Returns:
        Name in the other session → name in the first.
    """
    pairs = {name: name for name in other if name in set(first)}
    left_first = _by_number([name for name in first if name not in pairs])
    left_other = _by_number([name for name in other if name not in pairs])
    pairs |= {left_other[number]: left_first[number] for number in left_other if number in left_first}
    return pairs


def _by_number(names: Iterable[str]) -> Mapping[str, str]:
    """Names by their first number, where only one name has it."""
    numbered = [(match.group(), name) for name in names if (match := re.search(r"\d+", name))]
    counts = Counter(number for number, _ in numbered)
    return {number: name for number, name in numbered if counts[number] == 1}


def known_word(name: str) -> str:
    """What kind of structure a name that is no lesion's stands for; ``other`` if it says nothing known."""
    match = _WORDS.search(name)
    return re.sub("[^a-z]", "", match.group().lower()) if match else "other"


def is_background(name: str) -> bool:
    return (
        re.fullmatch(r"(?i)\s*(brain|skull|body|external|brain ?stem|eye.*|lens.*|.*optic.*|chiasm)\s*", name)
        is not None
    )


def surgery_words(text: str) -> bool:
    return re.search(r"(?i)post[-_ ]?op|cavity|resect", text) is not None
