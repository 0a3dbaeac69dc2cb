"""Where a bundle lies: where its config lies, whatever the working directory and wherever this package lies."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from weakref import WeakKeyDictionary

from monai.bundle import ConfigParser, ConfigWorkflow

from treatment_response.problems import DataProblem, Problem

_roots: WeakKeyDictionary[ConfigParser, str] = WeakKeyDictionary()


def bundle_root() -> str:
    """The root of the bundle that this package is part of: it holds ``configs/``, ``models/`` and the package."""
    return str(Path(__file__).resolve().parent.parent)


def root_of_config(config: str | Path) -> str:
    """The root of the bundle that a config is part of: the folder above ``configs/``, else the config's own folder."""
    folder = Path(config).resolve().parent
    return str(folder.parent if folder.name == "configs" else folder)


def config_root() -> str:
    """The root of the bundle whose config is being read; configs call it for their ``bundle_root``.

    A config is not told where it lies. MONAI's `ConfigWorkflow` knows, so this finds the workflow that owns the parser
    that calls, and notes it, because a parser can outlive its workflow. A `ConfigParser` that never had a workflow does
    not know; who uses one sets ``bundle_root`` in it.

    Raises:
        DataProblem: no workflow owns the parser.
    """
    parser = _calling_parser()
    root = None if parser is None else _roots.get(parser) or _root_of_workflow(parser)
    if parser is None or root is None:
        what = "MONAI's parser does not tell in which folder the config lies"
        raise DataProblem(Problem("bundle_root", what, "say it: --bundle_root FOLDER, or parser['bundle_root'] = …"))
    _roots[parser] = root
    return root


def _root_of_workflow(parser: ConfigParser) -> str | None:
    for held in gc.get_objects():
        # Not `isinstance`: an abstract class looks at every type that there is, one by one.
        if ConfigWorkflow in type(held).__mro__ and vars(held).get("parser") is parser:
            return root_of_config(held.config_root_path / "config")
    return None


def _calling_parser() -> ConfigParser | None:
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        caller = frame.f_locals.get("self")
        if isinstance(caller, ConfigParser):
            return caller
    return None
