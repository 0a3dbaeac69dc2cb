"""Write the report: the page, and beside it a CSV per table, a PNG per figure and everything shown as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from treatment_response.evaluation.written import read_json
from treatment_response.files import write_whole
from treatment_response.report.figures.style import png_bytes
from treatment_response.report.page import render_page
from treatment_response.report.shown import Figures, ShownTable

PAGE_ONLY = ("pictured_rows", "filters")
"""What only the page needs: the rows with pictures repeat the table."""


def write_report(content: Mapping[str, Any], made: Figures, out: Path, template: str) -> Path:
    """Write ``report.html``, ``report.json``, ``tables/*.csv`` and ``figures/*.png``, each whole or not at all.

    The page is written last, so that what it links to is there. Tables and figures that an earlier report in the same
    folder wrote, and this one has not, are removed.

    Args:
        content: the template's values; ``files`` lists (name, relative link) of what lies beside the page.
        made: the figures.
        out: folder, created if needed.
        template: of the page, a file of ``templates/``.

    Returns:
        The page's path.
    """
    figures = {name: (png_bytes(figure), caption) for name, (figure, caption) in made.items()}
    files = {f"figures/{name}.png": png for name, (png, _) in figures.items()}
    files |= {f"tables/{table.id}.csv": table.csv_text().encode("utf-8") for table in tables_of(content)}
    captions = {name: caption for name, (_, caption) in figures.items()}
    files["report.json"] = _json(content, captions, list(files))
    before = _written_before(out)
    links = {"files": [*content["files"], *((name, name) for name in files)]}
    page = render_page({**content, **links}, figures, template)
    for name, written in files.items():
        write_whole(out / name, written)
    write_whole(out / "report.html", page)
    for old in before - set(files):
        (out / old).unlink(missing_ok=True)
    return out / "report.html"


def tables_of(content: Any) -> Iterator[ShownTable]:
    """Every table in nested content."""
    if isinstance(content, ShownTable):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from tables_of(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from tables_of(value)


def _written_before(out: Path) -> set[str]:
    """Figures and tables of an earlier report in this folder; what others put there is not among them."""
    found = [*(out / "figures").glob("*.png"), *(out / "tables").glob("*.csv")]
    written = read_json(out / "report.json").get("written", [])
    return {name for name in (path.relative_to(out).as_posix() for path in found) if name in written}


def _json(content: Mapping[str, Any], captions: Mapping[str, str], written: list[str]) -> bytes:
    shown = {key: _plain(value) for key, value in content.items() if key not in PAGE_ONLY}
    shown["figures"] = [{"file": f"figures/{name}.png", "caption": caption} for name, caption in captions.items()]
    everything = {"notice": "Research use only.", **shown, "written": written}
    return (json.dumps(everything, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def _plain(value: Any) -> Any:
    """For JSON: tables as mappings, what is undefined as null."""
    if isinstance(value, ShownTable):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
