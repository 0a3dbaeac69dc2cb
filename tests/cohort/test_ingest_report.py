"""The readable report of an ingest."""

from __future__ import annotations

from treatment_response.cohort.report import _joined


def test_lesions_with_the_same_note_share_a_line_and_no_note_is_lost() -> None:
    notes = ["taken without MRI 2", "L01: not drawn (day 21: empty)", "L02: not drawn (day 21: empty)", "L03: resolved"]
    assert _joined(notes) == ["taken without MRI 2", "L01, L02: not drawn (day 21: empty)", "L03: resolved"]
