"""Free text in one spelling, without accents or control characters, whichever Unicode form a system writes."""

from __future__ import annotations

import re
import unicodedata

LONGEST_NAME = 256
"""Names and descriptions are read up to here; DICOM allows 64 characters."""
_LIGATURES = str.maketrans({"ß": "ss", "œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O"})
# Only on Latin letters: elsewhere a mark can be what tells two letters apart.
_ACCENTS = re.compile(r"(?<=[A-Za-z])[\u0300-\u036f]+")


def without_accents(text: str) -> str:
    """The text in plain Latin letters; composed and decomposed spellings of one text give the same.

    Case stays. ``Läsion`` becomes ``Lasion``, ``œdème`` becomes ``oedeme``.
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(_LIGATURES))
    return unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed))


def printable(text: str) -> str:
    """The text with a space for each character that cannot be shown, such as the escape of a terminal's codes."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
