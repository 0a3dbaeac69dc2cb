"""The arrows of docs/explanation/architecture.md: which room may import what."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "bundle" / "treatment_response"
APP = PACKAGE.parent.parent / "apps" / "pulsar_response"
OWN = "treatment_response"
BENCHMARKS = PACKAGE.parent.parent / "benchmarks"
RESEARCH = {"benchmarks", *(path.parent.name for path in BENCHMARKS.glob("*/__init__.py"))}

DICOM_LIBRARIES = {"pydicom", "highdicom", "pynetdicom"}
FILES_AND_TABLES = {"highdicom", "pydicom", "pandas", "nibabel", "SimpleITK"}
TENSORS = {"torch", "monai"}


# From the top down: a room imports rooms of lower floors, no neighbour of its own floor, and nothing above.
FLOORS = (
    ("report",),
    ("evaluation",),
    ("training", "inference", "dicom"),
    ("longitudinal",),
    ("cases", "features", "metrics", "criteria"),
    ("explain", "transforms", "cohort"),
    ("networks", "losses"),
    ("geometry",),
    ("",),
)
# Libraries that a room does without.
WITHOUT = {
    "networks": FILES_AND_TABLES,
    "losses": FILES_AND_TABLES,
    "explain": FILES_AND_TABLES,
    "cohort": TENSORS,
    "features": TENSORS,
    "geometry": TENSORS,
    "metrics": TENSORS,
    "criteria": TENSORS,
    "longitudinal": TENSORS,
    "report": TENSORS
    | {f"{OWN}.{room}" for room in ("networks", "losses", "explain", "training", "inference", "dicom")},
}


def out_of_reach(room: str) -> set[str]:
    """Dotted names of the rooms on this room's floor, but itself, and on all floors above."""
    floor = next(number for number, names in enumerate(FLOORS) if room in names)
    return {f"{OWN}.{name}" for names in FLOORS[: floor + 1] for name in names if name and name != room}


MODULES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted({path.relative_to(PACKAGE).parts[0] for path in MODULES if path.parent != PACKAGE})


def imports(module: Path) -> set[str]:
    """Every dotted name that a module imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def reached(names: set[str], targets: set[str]) -> list[str]:
    """Those of the targets that one of the names is, or lies in."""
    return sorted(target for target in targets if any((name + ".").startswith(target + ".") for name in names))


def trespasses(modules: list[Path], forbidden: set[str], root: Path) -> dict[str, list[str]]:
    """Module → what it imports and must not."""
    found = {str(module.relative_to(root)): reached(imports(module), forbidden) for module in modules}
    return {module: names for module, names in found.items() if names}


def test_every_room_has_a_floor() -> None:
    assert sorted(name for names in FLOORS for name in names if name) == ROOMS


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_a_room_imports_only_what_it_may(room: str) -> None:
    modules = sorted((PACKAGE / room).rglob("*.py")) if room else sorted(PACKAGE.glob("*.py"))
    # No room may reach into the program that serves it or into research that is done with it; DICOM has one room.
    forbidden = {"apps", "scripts", "monailabel"} | RESEARCH | WITHOUT.get(room, set()) | out_of_reach(room)
    if room != "dicom":
        forbidden |= DICOM_LIBRARIES
    assert not trespasses(modules, forbidden, PACKAGE)


def test_what_serves_every_system_does_without_the_part_of_one() -> None:
    # PULSAR's own part of a room uses what is common, never the reverse; one module chooses between the two pages.
    parts = {f"{OWN}.{room}.lesions" for room in ("inference", "report")}
    common = [path for path in MODULES if path.parent.name != "lesions" and path.parent.parent.name != "lesions"]
    assert list(trespasses(common, parts, PACKAGE)) == ["report/from_folders.py"]


@pytest.mark.parametrize("root", [PACKAGE, APP / "pulsar_app"], ids=["package", "app"])
def test_there_is_no_circle(root: Path) -> None:
    dotted = {path: ".".join(path.relative_to(root.parent).with_suffix("").parts) for path in root.rglob("*.py")}
    names = {name.removesuffix(".__init__"): path for path, name in dotted.items()}
    arrows = {name: (imports(path) & names.keys()) - {name} for name, path in names.items()}
    try:
        list(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' imports '.join(reversed(error.args[1]))}")


def test_the_app_leaves_files_and_tensors_to_the_package() -> None:
    # What reads DICOM, draws on grids or explains a network is logic, and lives where it can be used without a server.
    forbidden = DICOM_LIBRARIES | RESEARCH | {"scripts", "skimage", "nibabel"}
    assert not trespasses(sorted(APP.rglob("*.py")), forbidden, APP)


def test_no_command_takes_anything_from_the_benchmarks() -> None:
    scripts = PACKAGE.parent.parent / "scripts"
    assert {"synthetic", "fuzzing"} <= RESEARCH
    assert not trespasses(sorted(scripts.glob("*.py")), RESEARCH, scripts)


def test_no_served_package_has_a_name_that_the_server_unloads() -> None:
    # MONAI Label unloads every module called scripts, lib or utils on each request.
    names = {"scripts", "lib", "utils"}
    served = (PACKAGE, APP / "pulsar_app")
    assert not [path for root in served for path in root.rglob("*") if path.is_dir() and path.name in names]
