"""What a bundle's configs name runs on Python 3.10 too: packed bundles meet other interpreters than this one."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_architecture import MODULES, OWN, PACKAGE, imports

CONFIGS = PACKAGE.parent / "configs"
LATER = {
    "asyncio.Runner",
    "asyncio.TaskGroup",
    "asyncio.timeout",
    "builtins.BaseExceptionGroup",
    "builtins.ExceptionGroup",
    "contextlib.chdir",
    "datetime.UTC",
    "enum.EnumCheck",
    "enum.FlagBoundary",
    "enum.ReprEnum",
    "enum.StrEnum",
    "enum.verify",
    "hashlib.file_digest",
    "itertools.batched",
    "math.cbrt",
    "math.exp2",
    "operator.call",
    "tomllib",
    "typing.LiteralString",
    "typing.Never",
    "typing.NotRequired",
    "typing.Required",
    "typing.Self",
    "typing.TypeVarTuple",
    "typing.Unpack",
    "typing.assert_never",
    "typing.assert_type",
    "typing.override",
    "typing.reveal_type",
}
"""Names of the standard library that Python 3.10 does not have."""
# For Python 3.10: compiles files, and prints the names that its standard library does not have.
CHECK = """
import json, pkgutil, sys
work = json.load(sys.stdin)
for path in work["files"]:
    compile(open(path, encoding="utf-8").read(), path, "exec")
for name in work["names"]:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        print(name)
"""


def named_by_configs() -> list[Path]:
    """The modules of the package that a config names, and those that they import in turn."""
    dotted = {path: ".".join((OWN, *path.relative_to(PACKAGE).with_suffix("").parts)) for path in MODULES}
    paths = {name.removesuffix(".__init__"): path for path, name in dotted.items()}
    texts = [path.read_text() for path in sorted(CONFIGS.glob("*.json"))]
    waiting = {name for text in texts for name in re.findall(rf"{OWN}(?:\.\w+)+", text)}
    reached: set[str] = set()
    while waiting:
        parts = waiting.pop().split(".")
        modules = {".".join(parts[: end + 1]) for end in range(len(parts))} & paths.keys() - reached
        reached |= modules
        waiting |= {name for module in modules for name in imports(paths[module]) if name.startswith(OWN)}
    return sorted(paths[name] for name in reached)


def standard_names(source: str) -> set[str]:
    """Dotted names of the standard library that a module imports or reads; bare names are of ``builtins``."""
    tree = ast.parse(source, feature_version=(3, 10))
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    names = set(modules.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            names.add(f"{modules[node.value.id]}.{node.attr}")
        elif isinstance(node, ast.Name):
            names.add(f"builtins.{node.id}")
    return {name for name in names if name.split(".")[0] in sys.stdlib_module_names}


def python310() -> str | None:
    """A Python 3.10 of this machine, its libraries aside."""
    for name in ("python3.10", *sorted(map(str, Path.home().glob(".pyenv/versions/3.10*/bin/python")))):
        try:
            if not subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode:
                return name
        except OSError:
            continue
    return None


def test_the_walk_reaches_the_rooms_that_configs_use() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0] for path in named_by_configs()}
    assert {"cases", "cohort", "explain", "inference", "losses", "metrics", "networks", "training"} <= rooms


@pytest.mark.parametrize("path", named_by_configs(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_that_configs_need_has_nothing_newer(path: Path) -> None:
    source = path.read_text()
    assert sorted(standard_names(source) & LATER) == []
    assert not [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.TryStar)]


@pytest.mark.parametrize(
    "source",
    [
        "from enum import StrEnum",
        "import datetime as d\nd.UTC",
        "import hashlib\nhashlib.file_digest",
        "raise ExceptionGroup('', [])",
        "import tomllib",
    ],
)
def test_what_is_newer_is_seen(source: str) -> None:
    assert standard_names(source) & LATER


def test_a_python_310_compiles_it_and_has_all_that_is_used() -> None:
    if (python := python310()) is None:
        pytest.skip("no Python 3.10 here: install one as python3.10")
    files = named_by_configs()
    used = {name for path in files for name in standard_names(path.read_text())}
    work = {
        "files": [str(path) for path in files],
        "names": sorted(name for name in used if not name.startswith("builtins.")),
    }
    run = subprocess.run([python, "-c", CHECK], input=json.dumps(work), capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
