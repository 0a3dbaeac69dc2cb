"""What the name of an MR series says: its weighting, and whether a contrast agent was given.

Names are free text in English, German, French, Spanish or Italian. A name that says nothing, or two things, gives None.
"""

from __future__ import annotations

import re

from treatment_response.dicom.plain_text import LONGEST_NAME, without_accents

# Scanners glue the plane, or one letter for the technique, to the weighting: "AxT1", "sT1W_3D_TFE".
_GLUED = re.compile(
    r"(?<![a-z0-9])(3d|2d|axi?|axial|sag|cor|tra|iso|ce|gd|gad|km|post|pre|fs|ir|[a-z](?=t[12]w))(?=t[12])"
)


def _words(*patterns: str) -> re.Pattern[str]:
    """An expression for words: no letter stands before or after a match."""
    return re.compile(rf"(?<![a-z])(?:{'|'.join(patterns)})(?![a-z])")


# Difference images. "sub-01" and "sub 2" number a subject.
_SUBTRACTION = _words(r"sub(?:s|tract\w*|traktion\w*)?(?![ -]?\d)", "soustraction", r"sottrazion\w*")
# No anatomical image, whatever weighting the name gives: maps, projections, other techniques, images to plan with.
_NO_ANATOMY = _words(
    *(r"map(?:s|ping|pe|it)?", r"t1 ?images", "molli", "t1rho", "qt1", r"relaxo\w*", r"b[01] ?map", r"field ?map"),
    *("mips?", r"min ?ip", "dwi", r"diff(?:us\w*)?", "adc", r"trace\w?", "dti", "swi", "swan", "tof", "mra", "mrv"),
    *(r"angio\w*", r"veno\w*", r"phase ?-?contrast", r"perf\w*", "dsc", "dce", "p?c?asl", r"[rn]?cb[fv]", "mtt", "ttp"),
    *("tmax", "ktrans", "bold", "fmri", r"spectro\w*", "mrs", "csi", r"inv[ -]?[12]", r"locali[sz]er\w*", "loc"),
    *("scout", "survey", "pilot", r"calib\w*", r"3 ?plane"),
)
_T1 = re.compile(r"(?<![a-z0-9])t1(?!\d(?!d))")
_OTHER_WEIGHTING = re.compile(r"(?<![a-z0-9])t2(?!\d(?!d))|(?<![a-z])pdw?(?![a-z])|proton ?density")
# Techniques that are T1 where the name says so ("T1 FLAIR"), and else are not.
_NO_T1_TECHNIQUE = re.compile(
    r"flair|dark ?-?fluid|(?<![a-z])(?:t?irm|stir|ciss|fiesta|haste|b-?[ft]fe|hemo|epi)(?![a-z])"
)
# "MPR" is a reformat of any weighting; it is no MPRAGE.
_T1_TECHNIQUE = re.compile(r"mp ?-?2?rage|bravo|spgr|(?<![a-z])tfl|vibe|thrive|mdeft|(?<![a-z])3d[ -]?[ft]fe(?![a-z])")

_FLAIR = re.compile(r"flair|dark ?-?fluid")
_T2 = re.compile(r"(?<![a-z0-9])t2(?!\d(?!d))")
_PROTON_DENSITY = re.compile(r"(?<![a-z])pdw?(?![a-z])|proton ?density")
# T2* and the weighting of diffusion and of steady states are none of the brain tumour protocol's T2.
_NO_T2 = re.compile(
    r"t2w? ?(?:\*|star)|fl[23]d|(?<![a-z])(?:t?irm|stir|ciss|fiesta|hemo|swi|epi|ep2d|gre|medic|merge)(?![a-z])"
)

_WITHOUT = r"(?<![a-z])(?:without|w/?o(?:ut)?|ohne|o\.|sans|ss|s/|sin|senza|keine?|no|not|non|un|minus)"
_WITH = r"(?<![a-z0-9])(?:with|w/?|mit|m\.|avec|con)"
_BEFORE = r"(?<![a-z])(?:pre|before|vor|avant|antes|prima)"
_AFTER = r"(?<![a-z])(?:post|after|nach|apres|despues|dopo)"
# Words that stand for the contrast agent by themselves.
_AGENT = (
    r"(?:cont?rast\w*|kontrast\w*|km|gad(?:o\w*|a\w*)?|gd|dotarem|magnevist|prohance|multihance|omniscan|clariscan|"
    r"elucirem|vueway|primovist|eovist|mdc|pdc|ce|enh\w*)(?![a-z])"
)
# Words that do so after "with", "without", "before" or "after", and what goes on from there: "injection de gado".
_WORD_FOR_AGENT = rf"(?:{_AGENT}|(?:i\.?v\.?|c|inj\w*|gabe|agent|medi\w*|mezzo|produit)(?![a-z]))"
_OF = r"(?:(?:de|del|della|di|la|of|the)[ -]+)*"
_OBJECT = rf"[ -]?{_OF}{_WORD_FOR_AGENT}(?:[ -]+{_OF}{_WORD_FOR_AGENT})*"
# "w/o FS" is without fat saturation.
_TECHNIQUE = (
    r"(?:fs|fat|fett\w*|fatsat|sat\w*|supp\w*|mtc?|nav\w*|dis\w*|dixon|norm\w*|filt\w*|motion|art[ie]fa\w*|gating)"
    r"(?![a-z])"
)
_DURATION = r"\d+ ?-?(?:d|days?|w|wks?|weeks?|mos?|mths?|months?|y|yrs?|years?|tage?|wochen?|monate?)"
_TREATMENT = (
    r"(?:(?:1st|2nd|first|second) )?"
    r"(?:ops?|oper\w*|surg\w*|chir\w*|rese[ck]\w*|[ck]rani\w*|bx|biops\w*|embol\w*|proc\w*|"
    r"rt|srs|srt|sbrt|wbrt|gk\w*|gamma\w*|cyber\w*|radi\w*|bestrahl\w*|chemo\w*|therap\w*|treat\w*|tx|plan\w*|"
    rf"{_DURATION})(?![a-z])"
)
_NOT_ABOUT_CONTRAST = re.compile(
    rf"(?:{_WITHOUT}|{_WITH})[ -]?{_TECHNIQUE}(?:[ -]?{_TECHNIQUE})*|"
    rf"(?:{_BEFORE}|{_AFTER})[ -]?{_OF}{_TREATMENT}|"
    r"(?<![a-z])(?:srs|srt|rt|op|gk|tx|treatment|planning)[ -]?(?:post|pre)(?![a-z])|phase ?-?contrast"
)
# One series of both, or the name of an examination that has both: it does not say which of both this is.
_JOIN = r" ?(?:and|&|/|\+|-|,|und|et|u\.|y|vs)? ?"
_BOTH = re.compile(
    rf"{_WITHOUT}(?: ?{_AGENT})?{_JOIN}{_WITH}(?![a-z/])|{_WITH}(?: ?{_AGENT})?{_JOIN}{_WITHOUT}(?![a-z])|"
    rf"w/w/?o(?![a-z])|{_BEFORE}{_JOIN}{_AFTER}(?![a-z])|{_AFTER}{_JOIN}{_BEFORE}(?![a-z])|\+ ?/ ?-{_OBJECT}"
)
# "Without" alone counts where nothing follows it that could be meant: the end, a sign, a plane, a part of the body.
_PLANE_OR_PLACE = r"(?:ax|axial|sag|sagittal|cor|coronal|tra|3d|2d|iso|brain|head|kopf|mpr|mprage|bravo|t1)(?![a-z])"
_NOTHING_MEANT = rf"(?=\s*(?:$|[()/,;]|{_PLANE_OR_PLACE}))"
_NOT_GIVEN = re.compile(
    rf"{_WITHOUT}{_OBJECT}|{_BEFORE}{_OBJECT}|{_AGENT}(?: ?[:=] ?|[ -])(?:none|no|not|nein|free|frei)(?![a-z])|"
    r"(?<![a-z])nativ[eo]?(?![a-z])|(?<![a-z])okm(?![a-z])|"
    r"(?<=\s)-(?:c|km|gd|gado?|ce)(?![\w-])|(?<![a-z])(?:c|km|gd|gado?|ce|inj|iv)-(?!\w)|"
    rf"(?<![a-z])(?:without|w/?o(?:ut)?|ohne|sans){_NOTHING_MEANT}"
)
_GIVEN = re.compile(
    rf"(?<![a-z]){_AGENT}|(?:{_WITH}|{_AFTER}){_OBJECT}|\+ ?c(?![a-z])|(?<![a-z])(?:c ?|iv)\+|"
    r"(?<![a-z])t1w?-?ce?(?![a-z])|(?<![a-z])mkm(?![a-z])|(?<![a-z])inj(?:ect\w*|\+)?(?![a-z])"
)
_ONLY_BEFORE, _ONLY_AFTER = _words("pre"), _words("post")


def t1_by_name(name: str) -> bool | None:
    """Whether a series of this name is a T1-weighted anatomical image.

    Maps, subtractions, projections and perfusion series are none, whatever weighting they name.
    """
    text = _spelled(name)
    if _NO_ANATOMY.search(text) or _SUBTRACTION.search(text):
        return False
    for yes, no in ((_T1, _OTHER_WEIGHTING), (_T1_TECHNIQUE, _NO_T1_TECHNIQUE)):
        is_t1, is_other = bool(yes.search(text)), bool(no.search(text))
        if is_t1 or is_other:
            return None if is_t1 and is_other else is_t1
    return None


def sequence_by_name(name: str) -> str:
    """The BIDS suffix of a series that is no T1: ``FLAIR``, ``T2w`` or ``PDw``; empty if its name says none, or two.

    A FLAIR is called T2 too. Maps, diffusion, T2* and the like are none of them.
    """
    text = _spelled(name)
    if _NO_ANATOMY.search(text) or _SUBTRACTION.search(text):
        return ""
    if _FLAIR.search(text):
        return "FLAIR"
    if _NO_T2.search(text):
        return ""
    found = [suffix for words, suffix in ((_T2, "T2w"), (_PROTON_DENSITY, "PDw")) if words.search(text)]
    return found[0] if len(found) == 1 else ""


def contrast_by_name(name: str) -> bool | None:
    """Whether a contrast agent was given before a series of this name.

    A phrase that names the agent counts before a bare ``pre`` or ``post``. "With and without", ``pre/post`` and
    subtractions give None: they do not say which of both the series is. What happened before or after an operation or
    radiotherapy is no statement.
    """
    text = _NOT_ABOUT_CONTRAST.sub(" ", _spelled(name))
    if _SUBTRACTION.search(text) or _BOTH.search(text):
        return None
    rest = _NOT_GIVEN.sub(" ", text)
    given, not_given = bool(_GIVEN.search(rest)), rest != text
    if not given and not not_given:
        given, not_given = bool(_ONLY_AFTER.search(text)), bool(_ONLY_BEFORE.search(text))
    return None if given == not_given else given


def _spelled(name: str) -> str:
    """Lower case, no accents, words apart: ``AxT1_POST`` becomes ``ax t1 post``."""
    text = re.sub(r"[_\s]+", " ", without_accents(name[:LONGEST_NAME]).casefold()).strip()
    text = re.sub(r"t([12])-w(?![a-z/])", r"t\1w", text)
    return _GLUED.sub(r"\1 ", text)
