"""What a training learned from, what it held out and what it left out: numbers, and images by a hash of their ids."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
from treatment_response.files import write_whole

from pulsar_app.learning.training_data import Gathered


def select(lesions: pd.DataFrame, gathered: Gathered, fold: int) -> dict[str, Any]:
    """Describe the parts of a data set.

    Args:
        lesions: the table of the data set's lesions: ``subject``, ``fold``, ``label``.
        gathered: what it was made from.
        fold: the part that is held out.

    Returns:
        ``trained_on`` and ``held_out``: numbers of ``patients``, ``lesions`` and ``responses``, and their ``images``;
        ``left_out``: reason → the images that were given responses or labels and not used; ``excluded_lesions``, by
        their responses; ``images_without_responses``. An image stands as `image_hash`.
    """
    left_out: dict[str, list[str]] = defaultdict(list)
    for image, reason in sorted(gathered.left_out.items()):
        left_out[str(reason)].append(image_hash(image))
    return {
        "trained_on": _part(lesions[lesions["fold"] != fold], gathered),
        "held_out": _part(lesions[lesions["fold"] == fold], gathered),
        "left_out": dict(left_out),
        "excluded_lesions": gathered.excluded,
        "images_without_responses": gathered.unused_images,
    }


def image_hash(image_id: str) -> str:
    """The first 12 digits of the SHA-256 of an image's id: whoever has the images finds it again, nobody else does."""
    return hashlib.sha256(image_id.encode()).hexdigest()[:12]


def selection_lines(selection: dict[str, Any]) -> list[str]:
    """The selection as lines of a log."""
    lines = [f"{name.replace('_', ' ')}: {_part_text(selection[name])}" for name in ("trained_on", "held_out")]
    for reason, images in selection["left_out"].items():
        lines.append(f"left out: {len(images)} image(s) {reason}: {' '.join(images)}")
    if selection["excluded_lesions"]:
        lines.append(f"left out: {selection['excluded_lesions']} lesion(s) with the response 'exclude'")
    if selection["images_without_responses"]:
        lines.append(f"left out: {selection['images_without_responses']} image(s) without responses or a label")
    return lines


def write_selection(provenance: Path, selection: dict[str, Any]) -> None:
    """Add the selection to a run's ``provenance.json``."""
    content = json.loads(provenance.read_text(encoding="utf-8"))
    write_whole(provenance, json.dumps({**content, "selection": selection}, indent=1) + "\n")


def _part(lesions: pd.DataFrame, gathered: Gathered) -> dict[str, Any]:
    subjects = sorted(set(lesions["subject"]))
    return {
        "patients": len(subjects),
        "lesions": len(lesions),
        "responses": int(lesions["label"].sum()),
        "images": [image_hash(gathered.images[subject]) for subject in subjects],
    }


def _part_text(part: dict[str, Any]) -> str:
    numbers = f"{part['lesions']} lesions of {part['patients']} patients, {part['responses']} of them responses"
    return f"{numbers}; images {' '.join(part['images'])}"
