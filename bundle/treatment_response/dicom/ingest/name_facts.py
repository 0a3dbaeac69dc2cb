"""What a lesion's name states: its side, where in the brain it lies, and its number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from treatment_response.dicom.plain_text import LONGEST_NAME, without_accents

_SIDES = {
    "left": r"left|links|linke[rs]?|gauche|lt|li|l",
    "right": r"right|rechts|rechte[rs]?|droite?|rt|re|r",
    "both": r"bilat(?:eral)?|both|beidseits|bds",
    "middle": r"midline|mittellinie",
}
# Adjectives stand here in full: what is left of a word could otherwise be read as a side ("insula" and "r").
_SITES = {
    "frontal": r"front(?:ale?|o|alis)?|frontopolar",
    "parietal": r"pariet(?:ale?|o)|par",
    "temporal": r"tempor(?:ale?|o)|temp",
    "occipital": r"oc?[ck][zc]?ipit(?:ale?|o)|occip|occ",
    "cerebellum": r"[cz]erebell(?:um|ar|aire|o)|cerebel|cblm?|crbl|kleinhirn|cervelet",
    "vermis": r"vermis|vermian",
    "tonsil": r"tonsil(?:lar)?",
    "brainstem": r"brain ?stem|hirnstamm|stammhirn|tronc",
    "pons": r"pons|pontine",
    "medulla": r"medulla(?:ry|r)?",
    "midbrain": r"midbrain|mesencephal(?:on|ic)|tect(?:um|al)",
    "thalamus": r"thalam(?:us|i|ic)|thal",
    "basal ganglia": r"basal ?ganglia|bg|stammganglien|striatum|lentiform",
    "caudate": r"caudat(?:e|us)",
    "putamen": r"putamen",
    "pallidum": r"(?:globus ?)?pallid(?:um|us)",
    "insula": r"insul(?:ar|a)|insel",
    "callosum": r"(?:corpus ?)?callos(?:um|al)|splenium|genu|balken",
    "cingulate": r"cingul(?:ate|um|ar)|cing",
    "hippocampus": r"hippocamp(?:us|al)",
    "amygdala": r"amygdalar?",
    "uncus": r"uncus|uncal",
    "ventricle": r"(?:peri|intra)?ventric(?:le|ular)|ventrikel",
    "hypothalamus": r"hypothalam(?:us|ic)",
    "pituitary": r"pituitary|(?:supra)?sellar?|hypophyse",
    "precentral": r"precentral|motor",
    "postcentral": r"postcentral|sensory",
    "falx": r"(?:para)?(?:falx|falcine)|parasagittal",
    "tentorium": r"tentori(?:um|al)",
    "cerebellopontine angle": r"cpa",
    "orbit": r"orbit(?:al|a)?",
    "cavernous sinus": r"cavernous",
    "clivus": r"cliv(?:us|al)",
    "capsule": r"capsul(?:ar|e)",
    "vertex": r"vertex",
    "peduncle": r"pedunc(?:le|ular)",
    "pineal": r"pineal",
}
_PART_OF = {
    **{"pons": "brainstem", "medulla": "brainstem", "midbrain": "brainstem", "vermis": "cerebellum"},
    **{"tonsil": "cerebellum", "caudate": "basal ganglia", "putamen": "basal ganglia", "pallidum": "basal ganglia"},
    **{"hippocampus": "temporal", "amygdala": "temporal", "uncus": "temporal"},
    **{"precentral": "frontal", "postcentral": "parietal"},
}
_ASPECTS = {
    **{"anterior": r"ant(?:erior|ero)?", "posterior": r"post(?:erior|ero)?", "superior": r"sup(?:erior|ero)?"},
    **{"inferior": r"inf(?:erior|ero)?", "medial": r"med(?:ial)?|mesial", "lateral": r"lat(?:eral)?"},
}
_OPPOSITE = ({"anterior", "posterior"}, {"superior", "inferior"}, {"medial", "lateral"})
# Words that say nothing of the place; some say that it is no target (see treatment_response.dicom.roi_kinds).
_NEUTRAL = (
    r"gtvs?|p|n|lesions?|les|lasion|mets?|metastas[ei]s|tumou?r|targets?|tgt|bm|lobes?|lobar|gyrus|sulcus|cortex|"
    r"(?:sub)?cortical|deep|superficial|high|low|mid|middle|large|small|new|tx|area|region|brain|cerebral|hemisphere|"
    r"nodule|mass|gk|srs|of|the|and|near|no|nr|white|matter|wm|horn|poles?|polar|convexity|opercul(?:um|ar)|"
    r"paracentral|old|prior|prev|previous|treated|ptv|ctv|ring|shell|cavity|edema|resected|resection|bed|total|minus|"
    r"margin"
)
_TABLES = (("side", _SIDES), ("site", _SITES), ("aspect", _ASPECTS), ("neutral", {"": _NEUTRAL}))
_VOCABULARY = [(kind, meaning, re.compile(pattern)) for kind, table in _TABLES for meaning, pattern in table.items()]
# Words long enough to be found where they run together with unknown ones.
_LONG = re.compile(
    r"(left|right|links|rechts|frontal|parietal|temporal|occipital|cerebell(?:um|ar)|brainstem|thalamus|insula|vermis)"
)
_AMOUNT = re.compile(
    r"(?<![a-z\d.,])(?:(?:\d+ ?[x×*] ?)?\d+(?:[.,]\d+)? ?c?gy|\d+(?:[.,]\d+)? ?(?:mm|cm|cc|ml|cm3)|\d+ ?fx)(?![a-z])"
)
"""Doses, sizes and fractions in lower case: ``20Gy``, ``3x8Gy``, ``5mm``. They change and identify no lesion."""


@dataclass(frozen=True)
class NameFacts:
    """What a name states; empty where it states nothing.

    Attributes:
        side: ``left``, ``right``, ``both`` or ``middle``; ``?`` if words run together so that it cannot be told.
        sites: parts of the brain; several for one lesion that lies in all of them (``frontoparietal``).
        aspects: ``anterior``, ``superior``, …
        number: after ``#``, or the last word; ``?`` if it names two.
        unknown: words that are none of these and do not stand for a lesion.
        words: all words in their order, those that run together apart.
    """

    side: str
    sites: frozenset[str]
    aspects: frozenset[str]
    number: str
    unknown: frozenset[str]
    words: tuple[str, ...]

    def contradicts(self, other: NameFacts) -> bool:
        """Whether two names cannot be of one lesion, by side, site or aspect. Numbers are not compared."""
        if self.side and other.side and self.side != other.side:
            return True
        if any(_one_of(pair, self.aspects) | _one_of(pair, other.aspects) == pair for pair in _OPPOSITE):
            return True
        return bool(self.sites and other.sites) and not self.same_sites(other)

    def same_sites(self, other: NameFacts) -> bool:
        """Whether both state sites, and those of one lie within those of the other: pons is in the brainstem."""
        if not self.sites or not other.sites:
            return False
        return _within(self.sites, other.sites) or _within(other.sites, self.sites)


def name_facts(name: str) -> NameFacts:
    """Read a name, as it stands or normalised: ``Lt Frontal #2``, ``ltfrontal2``."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", without_accents(name[:LONGEST_NAME])).lower().replace("_", " ")
    text = without_amounts(re.sub(r"brain[- ]stem", "brainstem", text))
    parts = re.findall(r"#?\d+|[^\W\d_]+", text)
    runs = [_apart(part) for part in parts if part.isalpha()]
    words = [word for run in runs for word in run]
    stated: dict[str, set[str]] = {kind: set() for kind in ("side", "site", "aspect", "neutral", "unknown")}
    for word in words:
        kind, meaning = _meaning(word)
        stated[kind].add(meaning or word)
    return NameFacts(
        side=_side(stated["side"], runs),
        sites=frozenset(stated["site"]),
        aspects=frozenset(stated["aspect"]),
        number=_number(parts),
        unknown=frozenset(stated["unknown"]),
        words=tuple(words),
    )


def numbers(name: str) -> tuple[str, ...]:
    """All numbers of a name without leading zeros; doses and sizes are none."""
    return tuple(number.lstrip("0") or "0" for number in re.findall(r"\d+", without_amounts(name)))


def without_amounts(text: str) -> str:
    """Lower-case text without doses and sizes; in a normalised name they follow letters directly."""
    return re.sub(r"(?<!\d)(?:\d+x)?\d+(?:\.\d+)?(?:c?gy|mm|cm|cc|ml|fx)(?![a-z])", " ", _AMOUNT.sub(" ", text))


def _side(sides: set[str], runs: list[list[str]]) -> str:
    if sides:
        return "both" if len(sides - {"middle"}) > 1 else min(sides)
    glued = [word for run in runs if len(run) > 1 for word in run if _meaning(word)[0] == "unknown"]
    return "?" if any(word[0] in "lr" or word[-1] in "lr" or word.endswith(("lt", "rt")) for word in glued) else ""


def _one_of(pair: set[str], aspects: frozenset[str]) -> set[str]:
    """The one of two opposite aspects that is stated; none if both are."""
    stated = pair & aspects
    return set() if stated == pair else stated


def _number(parts: list[str]) -> str:
    marked = {part[1:].lstrip("0") or "0" for part in parts if part.startswith("#")}
    if marked:
        return marked.pop() if len(marked) == 1 else "?"
    if not parts or not parts[-1].isdigit():
        return ""
    return "?" if len(parts) > 1 and parts[-2].isdigit() else parts[-1].lstrip("0") or "0"


def _within(inner: Iterable[str], outer: Iterable[str]) -> bool:
    return all(any(one in (two, _PART_OF.get(two)) or _PART_OF.get(one) == two for two in outer) for one in inner)


def _meaning(word: str) -> tuple[str, str]:
    """Kind and meaning of one word."""
    return next(((kind, meaning) for kind, meaning, known in _VOCABULARY if known.fullmatch(word)), ("unknown", ""))


def _apart(run: str) -> list[str]:
    """Letters that may be several words run together (``ltfrontal``), as words; unknown ones stay in one piece."""
    if words := _split(run):
        return list(words)
    pieces = [piece for piece in _LONG.split(run) if piece]
    return [word for piece in pieces for word in (_split(piece) or (piece,))]


@lru_cache(maxsize=4096)
def _split(run: str) -> tuple[str, ...]:
    """Known words that together are the letters, longest first; empty if there are none."""
    if len(run) > 60:
        return ()
    for end in range(len(run), 0, -1):
        if _meaning(run[:end])[0] == "unknown":
            continue
        if end == len(run):
            return (run,)
        if rest := _split(run[end:]):
            return (run[:end], *rest)
    return ()
