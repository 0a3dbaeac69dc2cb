"""A table as the page shows it, with the numbers behind it; and how numbers are written everywhere on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from treatment_response.metrics.intervals import ends_text

Row = tuple[str, ...]
Figures = dict[str, tuple[Figure, str]]
"""Id (also the PNG's name) → figure and its caption in plain words, in the order of the page."""
NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class ShownTable:
    """A table of the page. It becomes HTML, a CSV of its own and an entry of ``report.json``.

    Attributes:
        id: file name of the CSV, without suffix.
        caption: what it shows, in words that stand alone.
        columns: heads. rows: cells as text; the first cell heads its row.
        notes: what must be said under it.
        data: the numbers for the CSV where cells hold several; else the CSV holds the rows.
    """

    id: str
    caption: str
    columns: Row
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    data: pd.DataFrame | None = None

    def csv_text(self) -> str:
        """The CSV; the notes are comment lines that start with ``#``."""
        table = self.data
        if table is None:
            cells = [[cell.replace("\n", " ") for cell in row] for row in self.rows]
            table = pd.DataFrame(cells, columns=list(self.columns))
        text = str(table.to_csv(index=False, float_format="%.6g"))
        return text + "".join(f"# {note}\n" for note in self.notes)

    def as_dict(self) -> dict[str, Any]:
        """Everything shown, for JSON."""
        rows = [list(row) for row in self.rows]
        shown = {"caption": self.caption, "columns": list(self.columns), "rows": rows, "notes": list(self.notes)}
        return shown | {"file": f"tables/{self.id}.csv"}


def known(value: Any) -> bool:
    """Whether there is a number."""
    return value is not None and not pd.isna(value)


def number(value: Any, digits: int = 2) -> str:
    """A number, or “undefined”."""
    return f"{value:.{digits}f}" if known(value) else "undefined"


def spread(mean: Any, sd: Any) -> str:
    """Mean ± SD over splits, as the paper prints it."""
    if not known(mean):
        return "undefined"
    return f"{mean:.3f}{NO_BREAK}±{NO_BREAK}{sd:.3f}" if known(sd) else f"{mean:.3f}"


def mean_and_sd(row: Mapping[Any, Any]) -> str:
    """``0.57 ± 0.10`` from a mapping with ``mean`` and ``sd``."""
    return f"{number(row['mean'])}{NO_BREAK}±{NO_BREAK}{number(row['sd'])}"


def interval(row: Mapping[Any, Any], digits: int = 2, centre: str = "estimate", sign: bool = False) -> str:
    """``0.57 [0.43, 0.71]`` from a mapping with `centre`, ``low`` and ``high``."""
    if not known(row[centre]):
        return "undefined"
    form = f"{'+' if sign else ''}.{digits}f"
    middle = format(row[centre], form)
    if not known(row["low"]) or not known(row["high"]):
        return middle
    return f"{middle} [{ends_text(row['low'], row['high'], form, f',{NO_BREAK}')}]"
