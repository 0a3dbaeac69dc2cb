"""The arrows of docs/explanation/architecture.md: which room may import what."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "bundle" / "treatment_response"
APP = PACKAGE.parent.parent / "apps" / "pulsar_response"
OWN = "treatment_response"

FORBIDDEN = {
    # No room may reach into the program that serves it.
    "": {"apps", "scripts", "monailabel"},
    # Tensors only: no files, no tables, no DICOM.
    "networks": {"pydicom", "highdicom", "pandas", "nibabel", "SimpleITK", f"{OWN}.dicom", f"{OWN}.cohort"},
    "losses": {"pydicom", "highdicom", "pandas", "nibabel", "SimpleITK", f"{OWN}.dicom", f"{OWN}.cohort"},
    "explain": {"pydicom", "highdicom", "pandas", "nibabel", "SimpleITK", f"{OWN}.dicom", f"{OWN}.cohort"},
    # Numbers and geometry that must run without torch.
    "cohort": {"torch", "monai", f"{OWN}.networks", f"{OWN}.training", f"{OWN}.transforms"},
    "features": {"torch", "monai", f"{OWN}.networks", f"{OWN}.training", f"{OWN}.transforms"},
    "geometry": {"torch", "monai", "pydicom", f"{OWN}.cohort", f"{OWN}.dicom"},
    # Files only.
    "report": {
        "torch",
        "monai",
        *(
            f"{OWN}.{room}"
            for room in ("dicom", "explain", "inference", "losses", "networks", "training", "transforms")
        ),
    },
}
DICOM_LIBRARIES = {"pydicom", "highdicom", "pynetdicom"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(module: Path) -> set[str]:
    """Every dotted name that a module imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def reaches(names: set[str], target: str) -> bool:
    return any(name == target or name.startswith(target + ".") for name in names)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_room_may(module: Path) -> None:
    room = module.relative_to(PACKAGE).parts[0] if len(module.relative_to(PACKAGE).parts) > 1 else ""
    names = imports(module)
    forbidden = FORBIDDEN[""] | FORBIDDEN.get(room, set())
    assert not [target for target in forbidden if reaches(names, target)]
    if room != "dicom":
        assert not [library for library in DICOM_LIBRARIES if reaches(names, library)]


@pytest.mark.parametrize("module", sorted(APP.rglob("*.py")), ids=lambda path: str(path.relative_to(APP)))
def test_the_app_leaves_files_and_tensors_to_the_package(module: Path) -> None:
    # What reads DICOM, draws on grids or explains a network is logic, and lives where it can be used without a server.
    names = imports(module)
    assert not [library for library in (*DICOM_LIBRARIES, "scripts", "skimage", "nibabel") if reaches(names, library)]


def test_no_served_package_has_a_name_that_the_server_unloads() -> None:
    # MONAI Label unloads every module called scripts, lib or utils on each request.
    names = {"scripts", "lib", "utils"}
    served = (PACKAGE, APP / "pulsar_app")
    assert not [path for root in served for path in root.rglob("*") if path.is_dir() and path.name in names]
