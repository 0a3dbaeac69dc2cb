"""What kind of structure a ROI's name stands for, in the words of clinics and of TG-263.

One table of words decides for the ingest and for the server. Names are English, German or French; a name that says
nothing of the table is of kind ``other``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from treatment_response.dicom.plain_text import LONGEST_NAME, without_accents
from treatment_response.text_enum import TextEnum


class RoiKind(TextEnum):
    """What a ROI's name stands for."""

    TARGET = "target"
    MARGIN = "margin"
    """PTV, CTV, ITV, or a target widened by a margin."""
    CAVITY = "cavity"
    """The cavity or the bed of a tumour that was operated on."""
    EDEMA = "edema"
    UNION = "union"
    """Several targets in one outline."""
    EARLIER = "earlier"
    """A target of an earlier course or of before an operation."""
    OPTIMISATION = "optimisation"
    """Helps of planning: rings, isodoses, differences, devices; in TG-263 a leading ``z`` or ``_``."""
    ORGAN = "organ"
    BODY = "body"
    """The outline of the body, the skull or the brain."""
    OTHER = "other"


@dataclass(frozen=True)
class _Row:
    """A kind, the fixed word that reports show for it, and the expression that finds it in a name."""

    kind: RoiKind
    word: str
    pattern: re.Pattern[str]


def _row(kind: RoiKind, word: str, *words: str, parts: tuple[str, ...] = ()) -> _Row:
    """A row of the table.

    Args:
        words: expressions with no letter before or after them.
        parts: expressions that count inside of words too.
    """
    whole = [rf"(?<![a-z])(?:{'|'.join(words)})(?![a-z])"] if words else []
    return _Row(kind, word, re.compile("|".join([*whole, *parts]), re.IGNORECASE))


_GAP = "[-_. ]*"
_SOME_TARGET = r"(?:[gpci]tv|les(?:ions?)?|mets?|metast|tumou?r|targets?)"
_SOME_BODY = (
    r"(?:brain(?:[-_ ]?stem)?|(?:ge)?hirn(?:stamm)?|cerveau|tronc|cerebr\w+|cerebell\w+|kleinhirn|body|external|skull|"
    r"head|kopf|normal|eyes?|chiasm\w*)"
)
SURGERY = (
    r"post[-_ ]?op(?:s|erat\w*)?(?![a-z])|post[-_ ]?(?:surg|chir|quir)\w*|intra[-_ ]?op(?:erat\w*)?(?![a-z])|"
    r"(?<!un)(?<!non)(?<!ir)(?<!non[-_ ])rese[ck](?!tab)[a-z]*|debulk\w*|[ck]rani(?:ot|ect|ekt)om\w*|"
    r"(?:lob|tumou?r|metast[a-z]*)e[ck]tom\w*|exeres\w*|excis(?:ion|ed)|exzision|entfern(?:t|ung)|asportazion\w*|"
    r"(?<!oral[-_ ])(?<!nasal[-_ ])cavit(?:y|ies)(?![-_ ](?:oral|nasal))|"
    r"(?:op|resektions)[-_ ]?(?:hoe?hle|bett|defekt)|tumou?r[-_ ]?(?:bed|bett)(?![a-z])|lit[-_ ]tumoral|"
    r"surgical[-_ ](?:bed|site)|(?<![a-z])(?:operiert|operated)(?![a-z])|"
    r"(?<![a-z])(?:s/p|status post|after|nach|n\.|z\.? ?n\.?|apres)[-_ ]*"
    r"(?:op|operation|surgery|chirurgie|crani)(?![a-z])"
)
"""Words that say that an operation took place."""

# The first row that fits decides.
_TABLE = (
    _row(
        RoiKind.OPTIMISATION,
        "optimisation",
        r"optimi[sz]\w*",
        parts=(
            rf"^\s*(?:_|z(?=[-_ ])|z(?={_SOME_TARGET}|ring|opt))",
            rf"(?<=tv)[-_ \w]*?(?<![a-z])opti?m?(?![a-z])(?!{_GAP}(?:n|ch|tr|ra))",
        ),
    ),
    _row(
        RoiKind.OPTIMISATION,
        "minus",
        "minus",
        rf"(?:ohne|sans|without|w/?o|excl\w*|except|sub|not?|nicht|kein\w*){_GAP}{_SOME_TARGET}",
        # "Brain-GTV" is a difference, "Brain GTV 1" a lesion named by its organ.
        rf"{_SOME_BODY}(?:-| +- *)[gpci]tv",
        rf"{_SOME_BODY} +- +{_SOME_TARGET}",
        parts=(r"(?<![a-z])(?:brain|(?:ge)?hirn|cerveau|body|external|skull|normal)[-_ ]+gtv(?: s)?\s*$",),
    ),
    _row(RoiKind.OPTIMISATION, "ring", rf"(?:ring|rind)s?(?!{_GAP}(?:enh|anreich|form))"),
    _row(RoiKind.OPTIMISATION, "shell", "shells?"),
    _row(
        RoiKind.OPTIMISATION, "isodose", r"isodos\w*", "doses?", parts=(r"\d ?%", r"^\s*[vd]?\d+(?:[.,]\d+)? ?gy\s*$")
    ),
    _row(
        RoiKind.OPTIMISATION, "help", r"avoid\w*", r"help\w*", r"hilfs?\w*", "dummy", "nto", r"(?:hot|cold)[-_ ]?spots?"
    ),
    _row(
        RoiKind.OPTIMISATION,
        "device",
        *(
            r"iso(?:[-_ ]?cent\w*)?",
            "couch",
            "bolus",
            r"markers?",
            r"fiducials?",
            r"applicators?",
            r"art[ie]fa[ck]ts?",
            "frame",
        ),
    ),
    _row(RoiKind.MARGIN, "ptv", parts=(r"(?<![a-z])ptv|ptv(?![a-z])|zielvolumen|planning[-_ ]target",)),
    _row(RoiKind.MARGIN, "ctv", parts=(r"(?<![a-z])ctv|ctv(?![a-z])|clinical[-_ ]target",)),
    _row(RoiKind.MARGIN, "itv", parts=(r"(?<![a-z])itv|itv(?![a-z])",)),
    _row(
        RoiKind.MARGIN,
        "margin",
        *("margins?", "marge", "saum", "exp", r"expan\w*"),
        # "GTV 3 mm" is a GTV widened by 3 mm; "met 5mm" a metastasis of 5 mm.
        parts=(r"\+ ?\d", r"(?<=gtv).*?\d ?mm(?![a-z])", r"\d ?mm(?![a-z])(?=.*gtv)"),
    ),
    _row(RoiKind.EDEMA, "edema", r"o?edem\w*", "flair", parts=(r"o?edema(?![a-z])|odem[ea]?(?![a-z])",)),
    _row(
        RoiKind.CAVITY,
        "cavity",
        *("bed", "bett", r"[ck]avitat", "loge", "crani"),
        parts=(SURGERY, r"hoe?hle(?![a-z])", r"(?<=gtv )sb(?![a-z])"),
    ),
    _row(
        RoiKind.UNION,
        "union",
        parts=(
            rf"(?<![a-z])(?:total|tot|sum|summe|somme|all|alle|gesamt|ges|union|combined|merged|tous|toutes)(?![a-z])"
            rf"(?=.*(?<![a-z]){_SOME_TARGET})",
            rf"(?<![a-z]){_SOME_TARGET}.*(?<![a-z])(?:total|tot|sum|summe|somme|all|alle|gesamt|ges|union|combined|merged)(?![a-z])",
            rf"(?<![a-z]){_SOME_TARGET}{_GAP}\d+{_GAP}(?:[+&,/]|and|und|et)?{_GAP}{_SOME_TARGET}{_GAP}\d",
            rf"(?<![a-z]){_SOME_TARGET}{_GAP}\d+ *(?:&|and|und|et) *\d",
        ),
    ),
    _row(
        RoiKind.EARLIER,
        "earlier",
        *("old", "prior", r"prev(?:ious(?:ly)?)?", "earlier", r"former(?:ly)?", r"pre[-_ ]?treated", r"alte?[rs]?"),
        *(r"ancien\w*", r"fruher\w*", r"(?:vor)?bestrahlt\w*", r"(?:pre|prae?)[-_ ]?op(?:erat\w*)?"),
        r"(?<!not[-_ ])(?<!non[-_ ])(?<!be[-_ ])(?:treated|irradiated)",
    ),
    # Functional and vascular targets are no tumours.
    _row(
        RoiKind.OTHER,
        "other",
        parts=(
            r"^(?!.*(?:gtv|tumou?r|(?<![a-z])met)).*(?<![a-z])(?:avm|nidus|cavernom\w*|trigemin\w*|thalamotomy|vim)(?![a-z])",
        ),
    ),
    _row(
        RoiKind.TARGET,
        "target",
        *(
            "gtv",
            r"les(?:ions?|ion[ei]|iones)?",
            r"lae?sion(?:en)?",
            "mets?",
            r"[a-z]*metast\w*",
            r"(?:brain|hirn)[-_ ]?mets?",
        ),
        *(
            "bms?",
            "filiae?",
            "filien",
            "targets?",
            "tgts?",
            r"(?:hirn|brain)?tumou?r(?:s|en|e|i)?",
            "tumeurs?",
            r"(?<!joint[-_ ])tm",
        ),
        r"tu(?=[-_ ]?\d)",
    ),
    _row(RoiKind.ORGAN, "brainstem", r"brain[-_ ]?stem", "hirnstamm", "stammhirn", r"tronc(?:[-_ ]cerebral)?"),
    _row(RoiKind.ORGAN, "chiasm", r"(?:optic[-_ ]*)?chiasm[ae]?(?:[-_ ]opti(?:cum|que))?", r"opt[-_ ]*chiasm[ae]?"),
    _row(
        RoiKind.ORGAN,
        "optic",
        r"opt(?:ic(?:us|al)?|ik)?[-_ ]*(?:nerves?|nrvs?|n|tracts?|trct|radiations?|pathways?|apparatus)",
        *(
            r"(?:nervus|nerve|nrv|n)[-_. ]*opt(?:ic(?:us)?)?",
            r"sehnerv(?:en)?",
            r"nerfs?[-_ ]optiques?",
            "optics?",
            "sehbahn",
        ),
    ),
    _row(
        RoiKind.ORGAN,
        "eye",
        *(
            r"eyes?(?:[-_ ]?balls?)?",
            r"aug(?:e|en|apfel)",
            "oeil",
            "yeux",
            r"bulbus(?:[-_ ]oculi)?",
            "globes?",
            r"orbit(?:s|ae?)?",
        ),
    ),
    _row(RoiKind.ORGAN, "lens", r"lens(?:es)?", "linsen?", "cristallins?"),
    _row(
        RoiKind.ORGAN,
        "cochlea",
        "cochleae?",
        "cochlees?",
        "innenohr",
        r"inner[-_ ]?ears?",
        r"ears?[-_ ]in(?:ner|ternal)",
    ),
    _row(RoiKind.ORGAN, "hippocampus", r"hippocamp(?:us|i|e)?", r"hippokamp(?:us|i)?"),
    _row(RoiKind.ORGAN, "pituitary", r"pituitary(?:[-_ ]gland)?", r"hypophys[ei]s?", r"hypothalamus"),
    _row(RoiKind.ORGAN, "ventricle", r"ventric(?:les?|ules?|ulus)", r"ventrikel"),
    _row(RoiKind.ORGAN, "cerebellum", "[cz]erebellum", "kleinhirn", "cervelet"),
    _row(
        RoiKind.ORGAN,
        "gland",
        r"(?:glnd|gland|gl)[-_ ]*(?:lacrimal|parotid|submand\w*|thyroid)",
        *(
            r"parotids?(?:[-_ ]gland)?",
            "parotis",
            "parotides?",
            r"la[ck]r[iy]mal(?:[-_ ]gland)?",
            r"tranendrusen?",
            "thyroid",
        ),
    ),
    _row(RoiKind.ORGAN, "cord", r"spinal[-_ ]?cord", "cord", "myelon", r"ruckenmark", r"moelle(?:[-_ ]epiniere)?"),
    _row(
        RoiKind.ORGAN,
        "organ",
        *(
            r"mandib(?:le|ula)",
            "unterkiefer",
            "tongue",
            "zunge",
            "larynx",
            "pharynx",
            "retinae?",
            "corneae?",
            "maculae?",
        ),
        *(
            r"(?:oral|nasal)[-_ ]cavity",
            r"cavity[-_ ](?:oral|nasal)",
            r"lobe[-_ ]temporal",
            r"temporal[-_ ]bone",
            r"bone[-_ ]\w+",
        ),
        *(r"(?:a[-_ ])?carotid\w*", "tmj", r"joint[-_ ]tm"),
    ),
    _row(
        RoiKind.BODY,
        "skull",
        "skull",
        "schadel",
        "crane",
        "cranium",
        r"calvari(?:a|um)",
        "kalotte",
    ),
    _row(RoiKind.BODY, "brain", r"(?:ge|ganz|gesamt|gross)?hirn", "brain", "cerveau", "encephale", "cerebrum"),
    _row(
        RoiKind.BODY,
        "external",
        r"extern(?:al|e)?",
        "aussenkontur",
        r"outer[-_ ]contour",
        "skin",
        "haut",
        "peau",
        "scalp",
    ),
    _row(RoiKind.BODY, "body", "body", r"koe?rper", "corps", "head", "kopf", "tete"),
)
_UNKNOWN = _row(RoiKind.OTHER, "other", "")
# Words that may stand beside an organ's name: its side, its part, who drew it on what.
_QUALIFIER = re.compile(
    r"(?<![a-z])(?:l|r|g|d|lt|rt|left|right|li|re|links|rechts|gauche|droite?|od|os|bilat(?:eral)?|both|total|whole|norm|normal|ns|healthy|"
    r"gesund\w*|sain|auto(?:seg)?|ai|seg|final|mri?|ct|oar|contour|kontur|outline|surface|masks?|maske|tissue|parenchyma?|approved|ant|"
    r"anterior|post|posterior|lat|lateral|third|fourth|3rd|4th|prv[-_ ]*(?:\d+(?: ?mm)?)?)(?![a-z\d])",
    re.IGNORECASE,
)


def kind_of(name: str) -> RoiKind:
    """The kind of structure that a ROI's name stands for."""
    return kind_and_words(name)[0]


def kind_and_words(name: str) -> tuple[RoiKind, str]:
    """The kind of structure, and the words of the name that say so; no words for ``other``."""
    row, words = _first_row(name)
    return row.kind, words


def known_word(name: str) -> str:
    """A fixed word for a structure that is no target; ``other`` if its name says nothing known, or is a target's.

    A ROI's name is free text and may hold a person's name, so reports show this word instead.
    """
    row, _ = _first_row(name)
    return "other" if row.kind is RoiKind.TARGET else row.word


def is_background(name: str) -> bool:
    """Whether a name is that of an organ, the brain, the skull or the body, and says nothing else.

    A target, a margin or any other word makes it a structure of its own: ``Brain GTV 1``, ``PTV brainstem`` and
    ``Brainstem mass`` are none, nor is ``Brain 2``; ``Eye_L`` and ``BrainStem_PRV03`` are.
    """
    if kind_of(name) not in (RoiKind.ORGAN, RoiKind.BODY):
        return False
    rest = spelled(name)
    for row in _TABLE:
        if row.kind in (RoiKind.ORGAN, RoiKind.BODY):
            rest = row.pattern.sub(" ", rest)
    return not re.search(r"\w", _QUALIFIER.sub(" ", rest).replace("_", " "))


def spelled(name: str) -> str:
    """A name without accents and with its words apart: ``GTVp1`` becomes ``GTV p1``, ``BrainStem`` ``Brain Stem``."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", without_accents(name[:LONGEST_NAME]))
    text = re.sub(r"(?<=[a-z])(?=gtv)", " ", text, flags=re.IGNORECASE)
    return re.sub(r"(?<![a-z])([gpci]tv)(?=[a-z])", r"\1 ", text, flags=re.IGNORECASE)


def without_words_of(kind: RoiKind, name: str) -> str | None:
    """A name without its words for a kind; None if it has none."""
    text = rest = spelled(name)
    for row in _TABLE:
        if row.kind is kind:
            rest = row.pattern.sub(" ", rest)
    return None if rest == text else rest


def _first_row(name: str) -> tuple[_Row, str]:
    """The first row of the table that fits, and the words of the name that it found."""
    text = spelled(name)
    for row in _TABLE:
        if match := row.pattern.search(text):
            return row, match.group().strip("-_ ") or match.group()
    return _UNKNOWN, ""
