"""An answer of the server with made-up numbers: three lesions that the panel has to show in three ways."""

from __future__ import annotations

from typing import Any

_CERTAINTY = {"calibrated": True, "level": 0.9, "in_calibrated_range": True, "agrees_with_slices": True}
_LONG = (
    "This warning is as long as a warning may get: the slices disagree, 6 of 9 would be response, and the outline is "
    "larger than the field of 32 mm, so its pixels are coarser than those that the network was trained on."
)
THREE_LESIONS: dict[str, Any] = {
    "model": {"name": "example", "sha256": "0123456789abcdef"},
    "cam": {
        "variant": "pixelwise",
        "shown": "predicted",
        "colours": {"non-response": "#D55E00", "response": "#0072B2"},
        "bands": {name: [f"{name} {step}" for step in range(1, 6)] for name in ("non-response", "response")},
        "band_colours": {
            "non-response": ["#BC9A56", "#FC7A76", "#EC624E", "#DC4A26", "#CE3503"],
            "response": ["#18A4BC", "#6699FF", "#5C8AE6", "#527BCD", "#486CB4"],
        },
    },
    "notice": "RESEARCH ONLY. An example: the numbers are made up.",
    "warnings": [_LONG],
    "lesions": [
        {
            "roi": "sure",
            "p_response": 0.00001,
            "p_non_response": 0.99999,
            "class": "non-response",
            "threshold": 0.5,
            "shown_class": "non-response",
            "volume_mm3": 1450.0,
            "source": "RTSTRUCT",
            "warnings": [_LONG],
            "certainty": {**_CERTAINTY, "set_text": "non-response", "emphasise": True, "why_not": ""},
        },
        {
            "roi": "undecided",
            "p_response": 0.01,
            "p_non_response": 0.99,
            "class": "non-response",
            "threshold": 0.5,
            "shown_class": "non-response",
            "volume_mm3": 310.0,
            "source": "RTSTRUCT",
            "certainty": {
                **_CERTAINTY,
                "set_text": "undecided",
                "agrees_with_slices": False,
                "emphasise": False,
                "why_not": "Most of the lesion's slices would be of the other class.",
            },
        },
        {
            "roi": "not calibrated",
            "p_response": 0.4,
            "p_non_response": 0.6,
            "class": "non-response",
            "threshold": 0.5,
            "shown_class": "response",
            "volume_mm3": 2600.0,
            "source": "click",
        },
    ],
}
