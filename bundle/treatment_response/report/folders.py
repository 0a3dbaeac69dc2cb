"""Folders that a report is made from: the run with the weights, and links to what lies in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote


def trained_run(run_dir: Path) -> Path:
    """`run_dir` itself, or the first of a cross-validation's folds that holds a model."""
    if (run_dir / "models" / "model.pt").is_file():
        return run_dir
    folds = [weights.parent.parent for weights in sorted(run_dir.glob("fold_*/models/model.pt"))]
    return next(iter(folds), run_dir)


def links(out: Path, files: Sequence[tuple[str, Path]], folders: Sequence[Path]) -> list[tuple[str, str]]:
    """(name, link relative to the report) of those that are there.

    Args:
        out: the report's folder. files: (name, path). folders: named by their own names, after the files.
    """
    everything = [*files, *((f"everything of {folder.resolve().name}", folder) for folder in folders)]
    # Quoted, because a folder's name may hold what means something else in a link.
    return [(name, quote(Path(os.path.relpath(path, out)).as_posix())) for name, path in everything if path.exists()]
