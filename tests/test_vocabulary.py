"""Rooms that serve every system speak of cases and classes; where a file speaks of PULSAR, the list says why.

The app's server part, which may name none at all, is held by tests/app/test_server_words.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_architecture import PACKAGE

ROOMS = {name: PACKAGE / name for name in ("metrics", "explain", "cases", "training", "inference", "report")}
WORDS = re.compile(
    r"pulsar(?!_(?:app|response))|lesion|(?<![a-z])mri[ _]?[12](?!\d)|non[-_ ]?response|two[- ]class(?:es)?"
    r"|p_response|TargetClass\.RESPONSE|\"response\"|'response'|P\(response\)",
    re.IGNORECASE,
)
"""PULSAR's words: its name, its case, its images, its classes."""

KEY = "`lesion_transforms` in configs and `lesion` in data sets are read as they always were"
TABLES = (
    "PULSAR's tables, records and folders say `lesion` and `p_response`; they are read and written as they always were"
)
SCORES = "PULSAR's roles and its scores of P(response); the scores of K classes are in `class_scores`"
DOUBT = "the range of an AUC whose doubtful labels go either way, which only two classes have"
TWO = "an AUC is of two classes, by definition"
ONE_LOGIT = "one logit for two classes is the one exception to a logit per class, and is stated"
SESSIONS = "PULSAR's protocols train on a session and score another; turned copies and doubtful cases are of the first"
SLICES = "PULSAR's samples are slices with the mask in their second channel"
MASKED = "maps of PULSAR's masked network, which has one logit"
FOLDS = "what a model says of its training: `model.json` counts lesions"
PAGES = "chooses between PULSAR's page and the one for any classes"
SHEETS = "the tumour board's sheet is of a lesion after radiotherapy, whichever system asks about it"
CRITERIA = "response criteria follow lesions over time, whichever tumour they are of"
OF_PULSAR = ("inference/lesions/", "report/lesions/", "report/templates/lesions/")
"""PULSAR's own part of a room: its answer from the slices of a lesion, and its page."""
ALLOWED = {
    "metrics/bootstrap.py": TWO,
    "metrics/class_scores.py": TABLES,
    "metrics/doubtful.py": DOUBT,
    "metrics/intervals.py": TWO,
    "metrics/roc.py": TABLES,
    "metrics/scores.py": SCORES,
    "explain/cam.py": MASKED,
    "explain/controls.py": MASKED,
    "explain/integrated_gradients.py": MASKED,
    "explain/target.py": MASKED,
    "cases/areas.py": SLICES,
    "cases/clinical_channels.py": KEY,
    "cases/disk_cache.py": KEY,
    "cases/disk_samples.py": KEY,
    "cases/explanations.py": ONE_LOGIT,
    "cases/lesion_transforms.py": KEY,
    "cases/load_samples.py": SESSIONS,
    "cases/samples.py": SESSIONS,
    "training/handlers/checkpoint.py": TABLES,
    "training/handlers/predictions.py": TABLES,
    "training/handlers/provenance.py": TABLES,
    "training/scoring.py": SESSIONS,
    "inference/case_explainer.py": KEY,
    "inference/case_preprocessing.py": KEY,
    "inference/case_writer.py": KEY,
    "inference/cases.py": KEY,
    "inference/model.py": FOLDS,
    "report/case_pictures.py": KEY,
    "report/from_folders.py": PAGES,
    "report/figures/dvh.py": SHEETS,
    "report/figures/response.py": CRITERIA,
    "report/response_page.py": CRITERIA,
    "report/sheet_section.py": SHEETS,
    "report/sheets.py": SHEETS,
    "report/templates/cases.html": SHEETS,
    "report/templates/response.html": CRITERIA,
}
"""File → why it may speak of PULSAR."""


def files() -> dict[str, Path]:
    """Room and file → path; pages' templates are among them, PULSAR's own parts are not."""
    found = {
        f"{room}/{path.relative_to(folder)}": path
        for room, folder in ROOMS.items()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".html", ".js")
    }
    assert all(any(name.startswith(part) for name in found) for part in OF_PULSAR)
    return {name: path for name, path in found.items() if not name.startswith(OF_PULSAR)}


def spoken(path: Path) -> list[str]:
    """The words of the list in a file, with their lines."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return [f"{number}: {match[0]}" for number, line in lines for match in WORDS.finditer(line)]


def test_a_file_speaks_of_cases_and_classes_or_its_exception_has_a_reason() -> None:
    found = {name: spoken(path) for name, path in files().items()}
    assert {name: words for name, words in found.items() if words and name not in ALLOWED} == {}
    assert [name for name in ALLOWED if not found.get(name)] == []  # an exception that is needed no more goes


@pytest.mark.parametrize(
    "line",
    [
        "PULSAR's",
        "of a lesion",
        "WriteLesions",
        "MRI 1",
        "MRI1",
        "mri_2",
        "non-response",
        "NON_RESPONSE",
        "two classes",
    ],
)
def test_the_words_are_seen(line: str) -> None:
    assert WORDS.search(line)


@pytest.mark.parametrize("line", ["pulsar_app.server", "treatment_response", "response.status_code", "MRI 12"])
def test_other_words_are_not(line: str) -> None:
    assert not WORDS.search(line)
