"""The classes of a lesion, by their number: in labels, in weights, on screens and in every file."""

from __future__ import annotations

CLASS_NAMES = ("non-response", "response")
