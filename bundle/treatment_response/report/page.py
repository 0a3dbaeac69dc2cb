"""Make the page: everything it shows in one mapping, every figure embedded, no request to anywhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup, escape

from treatment_response.report.shown import ShownTable

ALWAYS_SEEN = ("Research use only", "Synthetic data", "Doubtful ")
"""Notes that begin so stand under every table; others fold away where they are said again."""


def render_page(content: Mapping[str, Any], figures: Mapping[str, tuple[bytes, str]], template: str) -> str:
    """Render one of ``templates/``.

    Args:
        content: the template's values; a value that it names and does not get is an error.
        figures: id → (PNG, caption in plain words); a section whose figure is absent shows nothing.

    Returns:
        A self-contained HTML page.
    """
    numbers = {name: number for number, name in enumerate(figures, start=1)}

    def picture(name: str) -> Markup:
        if name not in figures:
            return Markup("")
        png, caption = figures[name]
        return Markup(
            '<figure id="figure-{0}"><div class="scroll"><img src="{1}" alt="{3}"></div>'
            "<figcaption><b>Figure {2}.</b> {3}</figcaption></figure>"
        ).format(name, data_uri(png), numbers[name], caption)

    said: set[str] = set()

    def notes(table: ShownTable) -> Markup:
        new = _notes([note for note in table.notes if note not in said or note.startswith(ALWAYS_SEEN)])
        again = [note for note in table.notes if note in said and not note.startswith(ALWAYS_SEEN)]
        said.update(table.notes)
        if not again:
            return new
        return new + Markup('<details class="small"><summary>Notes as above</summary>{}</details>').format(
            _notes(again)
        )

    def whole_table(table: ShownTable) -> Markup:
        return _table(table) + notes(table)

    return template_of(template).render(**content, picture=picture, table=whole_table, notes=notes)


def template_of(name: str) -> jinja2.Template:
    """A file of ``templates/``; a value that it names and does not get is an error."""
    loader = jinja2.PackageLoader("treatment_response.report")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.get_template(name)


def data_uri(png: bytes) -> str:
    """A picture inside the page, which asks nobody for anything."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _table(table: ShownTable) -> Markup:
    """An HTML table that scrolls sideways on a narrow screen; its first column heads the rows."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(column) for column in table.columns)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                Markup('<th scope="row">{}</th>' if column == 0 else "<td>{}</td>").format(escape(cell))
                for column, cell in enumerate(row)
            )
        )
        for row in table.rows
    )
    return Markup(
        '<div class="wide"><table id="table-{}"><caption>{}</caption>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(table.id, table.caption, head, body)


def _notes(notes: Sequence[str]) -> Markup:
    lines = Markup("").join(Markup("<li>{}</li>").format(note) for note in notes)
    return Markup('<ul class="small">{}</ul>').format(lines) if notes else Markup("")
