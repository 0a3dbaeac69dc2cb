"""Make the page: everything it shows in one mapping, every figure embedded, no request to anywhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup, escape


def render_page(content: Mapping[str, Any], figures: Mapping[str, tuple[bytes, str]]) -> str:
    """Render ``template.html``.

    Args:
        content: the template's values; a value that it names and does not get is an error.
        figures: id → (PNG, caption in plain words); a section whose figure is absent shows nothing.

    Returns:
        A self-contained HTML page.
    """
    template = resources.files("treatment_response.evaluation.report").joinpath("template.html")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    numbers = {name: number for number, name in enumerate(figures, start=1)}

    def picture(name: str) -> Markup:
        if name not in figures:
            return Markup("")
        png, caption = figures[name]
        uri = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
        return Markup(
            '<figure id="figure-{0}"><div class="scroll"><img src="{1}" alt="{3}"></div>'
            "<figcaption><b>Figure {2}.</b> {3}</figcaption></figure>"
        ).format(name, uri, numbers[name], caption)

    page = environment.from_string(template.read_text(encoding="utf-8"))
    return page.render(**content, picture=picture, table=_table)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """An HTML table that scrolls sideways on a narrow screen; its first column heads the rows."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(column) for column in columns)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                Markup('<th scope="row">{}</th>' if column == 0 else "<td>{}</td>").format(escape(cell))
                for column, cell in enumerate(row)
            )
        )
        for row in rows
    )
    header = Markup("<thead><tr>{}</tr></thead>").format(head) if any(columns) else Markup("")
    return Markup('<div class="wide"><table>{}<tbody>{}</tbody></table></div>').format(header, body)
