"""What a person says became of a lesion by the follow-up, where an outline cannot say it."""

from __future__ import annotations

import difflib
import re

from treatment_response.text_enum import TextEnum


class FollowUpState(TextEnum):
    """What became of a lesion."""

    RESOLVED = "resolved"
    """Looked for, and gone: volume 0."""
    RESECTED = "resected"
    PRESENT = "present"
    """Still there."""
    NOT_IMAGED = "not imaged"
    """Not looked for, or outside the image."""


FOLLOW_UP_REMEDY = f"write one of {', '.join(FollowUpState)}, or leave the cell empty"
_SYNONYMS = {
    FollowUpState.RESOLVED: ("gone", "vanished", "disappeared", "complete response", "complete remission", "cr"),
    FollowUpState.RESECTED: ("removed", "excised", "operated"),
    FollowUpState.PRESENT: ("visible", "still there", "still present"),
    FollowUpState.NOT_IMAGED: ("outside the image", "not in the image", "not covered", "not scanned", "no image"),
}
_STATES = {word: state for state, words in _SYNONYMS.items() for word in (state.value, *words)}


def parse_follow_up(text: str) -> FollowUpState | None:
    """Read a cell.

    Args:
        text: one of the states or a synonym, in any case, with ``_`` or ``-`` for spaces.

    Returns:
        The state; ``None`` for an empty cell.

    Raises:
        ValueError: any other text. The sentence goes behind the column's name, and repeats a misspelt state or a short
            code only, because the cell may hold free text.
    """
    word = re.sub(r"[\s_-]+", " ", text).strip().casefold()
    if not word:
        return None
    if word in _STATES:
        return _STATES[word]
    is_code = len(word) <= 3 or bool(difflib.get_close_matches(word, _STATES, n=1, cutoff=0.75))
    raise ValueError(f"is '{text.strip()}', which is not known" if is_code else "holds a text that is not known")
