"""NRRD files as ITK writes them are read exactly; what points elsewhere, lies or is damaged is one sentence."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from treatment_response.cohort.nrrd_file import read_nrrd
from treatment_response.geometry import Volume
from treatment_response.geometry.itk import from_itk, to_itk
from treatment_response.problems import DataProblem

SHAPE = (4, 3, 2)
VALUES = np.arange(24, dtype=np.int16).reshape(SHAPE, order="F")
AFFINE = np.array([[-0.8, 0.28, 0, 11], [0.24, 0.96, 0, -7], [0, 0, 2, 3], [0, 0, 0, 1]])
FIELDS = {
    "type": "int16",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 3 2",
    "space directions": "(0.8,-0.24,0) (-0.28,-0.96,0) (0,0,2)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-11,7,3)",
}
VOXELS = VALUES.astype("<i2").tobytes(order="F")


def nrrd(extra: str = "", voxels: bytes = VOXELS, end: str = "\n", **changes: str | None) -> bytes:
    """A file of `FIELDS` with some of them changed (``space_origin``) or left out (None)."""
    fields = {**FIELDS, **{name.replace("_", " "): value for name, value in changes.items()}}
    lines = ["NRRD0004", *[f"{name}: {value}" for name, value in fields.items() if value is not None]]
    return end.join([*lines, *([extra] if extra else []), "", ""]).encode() + voxels


def read(folder: Path, content: bytes) -> Volume:
    path = folder / "a.nrrd"
    path.write_bytes(content)
    return read_nrrd(path, "file")


def is_read(volume: Volume) -> bool:
    return np.array_equal(volume.array, VALUES) and np.allclose(volume.affine, AFFINE)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("packed", [True, False])
def test_what_itk_writes_is_read_as_itk_reads_it(tmp_path: Path, dtype: type, packed: bool) -> None:
    path = tmp_path / "a.nrrd"
    turned = AFFINE @ np.diag([1.0, 1.0, -1.0, 1.0])
    turned[:3, :2] = [[-0.8, 0.3], [0.6, 0.4], [0, 0]]
    image = to_itk(Volume(VALUES.astype(dtype), turned))
    image.SetMetaData("a key", "a value: of any = kind")
    sitk.WriteImage(image, str(path), useCompression=packed)
    expected, found = from_itk(sitk.ReadImage(str(path))), read_nrrd(path, "file")
    assert found.array.dtype == dtype
    np.testing.assert_array_equal(found.array, expected.array)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-12)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("extra", ["", "# " + "c" * 70_000, "key:=" + "v" * 70_000, "content: a: b"])
def test_any_line_end_and_comments_of_any_length_are_read(tmp_path: Path, end: str, extra: str) -> None:
    assert is_read(read(tmp_path, nrrd(extra, end=end)))


def test_voxels_that_begin_like_a_line_end_are_voxels(tmp_path: Path) -> None:
    values = np.full(SHAPE, 0x0D0A, np.int16)
    for end in ("\n", "\r\n", "\r"):
        found = read(tmp_path, nrrd(voxels=values.astype("<i2").tobytes(), end=end))
        np.testing.assert_array_equal(found.array, values)


def test_spaces_byte_orders_and_an_axis_of_one_layer(tmp_path: Path) -> None:
    layered = {
        "dimension": "4",
        "sizes": "1 4 3 2",
        "kinds": "list domain domain domain",
        "space directions": "none " + FIELDS["space directions"],
    }
    assert is_read(read(tmp_path, nrrd(**layered)))
    big = VALUES.astype(">i2").tobytes(order="F")
    assert is_read(read(tmp_path, nrrd(voxels=gzip.compress(big), endian="big", encoding="gzip")))
    ras = {"space": "RAS", "space directions": "(-0.8,0.24,0) (0.28,0.96,0) (0,0,2)", "space origin": "(11,-7,3)"}
    assert is_read(read(tmp_path, nrrd(**ras, spacings="nan nan 2", byte_skip="0")))


POINTERS = [
    "data file: x.raw",
    "datafile: x.raw",
    "DATA FILE:x.raw",
    "Data\tFile: LIST\nx.raw",
    "data  file: x%d.raw 1 9",
]


@pytest.mark.parametrize("pointer", [*POINTERS, "data-file: /dev/zero", "data file:=/dev/zero", "data file: pipe"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("before", ["", "# " + "c" * 70_000], ids=["plain", "70 kB before"])
def test_no_header_leads_to_another_file(tmp_path: Path, pointer: str, end: str, before: str) -> None:
    (tmp_path / "x.raw").write_bytes(VOXELS)
    os.mkfifo(tmp_path / "pipe")  # who opens it waits for ever
    extra = end.join([*([before] if before else []), pointer.replace("\n", end)])
    with pytest.raises(DataProblem, match="points to another file"):
        read(tmp_path, nrrd(extra, voxels=b"", end=end))


ANSWERS = {
    "text": (b"no image", "no NRRD header"),
    "empty": (b"", "it is empty"),
    "endless-header": (b"NRRD0004\n# no end", "does not end"),
    "mixed": (nrrd("labels: a\rdata file: x", voxels=b""), "points to another file"),
    "nul": (nrrd("data\0file: x"), "no field of a volume"),
    "unknown": (nrrd("patient: A"), "line 11 of its header is no field"),
    "twice": (nrrd("sizes: 2 3 4"), "says again"),
    "no-colon": (nrrd("sizes"), "no field"),
    "line-skip": (nrrd("line skip: 1"), "skips"),
    "byte-skip": (nrrd("byte skip: -1"), "skips"),
    "hex": (nrrd(encoding="hex"), "encoding that is not read"),
    "block": (nrrd(type="block"), "type that is not read"),
    "no-type": (nrrd(type=None), "says no type"),
    "no-endian": (nrrd(endian=None), "order of bytes"),
    "no-place": (nrrd(space_directions=None, spacings="1 1 2"), "does not say how it lies"),
    "no-space": (nrrd(space=None), "does not say how it lies"),
    "scanner-xyz": (nrrd(space="scanner-xyz"), "does not say how it lies"),
    "no-origin": (nrrd(space_origin=None), "does not say how it lies"),
    "sizes": (nrrd(sizes="4 3 -2"), "numbers of voxels make no sense"),
    "many-digits": (nrrd(sizes="4 3 " + "9" * 400), "numbers of voxels make no sense"),
    "huge": (nrrd(sizes="30000 30000 30000"), "more than any MR"),
    "2d": (nrrd(dimension="2", sizes="4 6", kinds=None, space_directions=None), "2 dimensions instead of 3"),
    "colours": (nrrd(sizes="3 4 2", kinds="RGB-color domain domain"), "holds colours"),
    "complex": (nrrd(sizes="2 4 3", kinds="complex domain domain"), "holds complex numbers"),
    "layers": (
        nrrd(
            dimension="4",
            sizes="2 4 3 1",
            kinds="list domain domain domain",
            space_directions="none " + FIELDS["space directions"],
        ),
        "several layers of segments",
    ),
    "zero-spacing": (nrrd(space_directions="(1,0,0) (0,1,0) (0,0,0)"), "1 × 1 × 0 mm, which no MR has"),
    "huge-spacing": (nrrd(space_directions="(1e6,0,0) (0,1,0) (0,0,1)"), r"1e\+06 × 1 × 1 mm, which no MR has"),
    "nan-spacing": (nrrd(space_directions="(nan,0,0) (0,1,0) (0,0,1)"), "not finite"),
    "beyond-float": (nrrd(space_origin="(1e999,0,0)"), "not finite"),
    "far": (nrrd(space_origin="(1e9,0,0)"), r"1e\+09 mm from"),
    "flat": (nrrd(space_directions="(1,0,0) (1,0,0) (0,0,1)"), "singular"),
    "two-sizes": (nrrd(spacings="1 1 3"), "two sizes of a voxel"),
    "metres": (nrrd('space units: "m" "m" "m"'), "millimetres"),
    "half": (nrrd(voxels=VOXELS[:-1]), "cut off: it holds 47 of the 48"),
    "longer": (nrrd(voxels=VOXELS + b"1"), "more voxels than its header announces"),
    "half-gzip": (nrrd(voxels=gzip.compress(VOXELS)[:-3], encoding="gzip"), "cut off"),
    "changed-gzip": (nrrd(voxels=gzip.compress(VOXELS)[:-8] + bytes(8), encoding="gzip"), "cannot be inflated"),
    "two-members": (nrrd(voxels=gzip.compress(VOXELS) * 2, encoding="gzip"), "more voxels"),
    "short-gzip": (nrrd(voxels=gzip.compress(VOXELS[:9]), encoding="gzip"), "holds 9 of the 48"),
    "nan": (nrrd(voxels=np.full(24, np.nan, "<f4").tobytes(), type="float"), "NaN"),
}


@pytest.mark.parametrize("fault", ANSWERS)
def test_a_faulty_file_is_one_sentence(tmp_path: Path, fault: str) -> None:
    content, sentence = ANSWERS[fault]
    with pytest.raises(DataProblem, match=rf"^file: .*{sentence}"):
        read(tmp_path, content)


def test_more_bytes_than_may_be_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(nrrd(sizes="512 512 4", voxels=b""))
    with pytest.raises(DataProblem, match="more than 1 MiB"):
        read_nrrd(tmp_path / "a.nrrd", "file", 2**20)


def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    content = nrrd(voxels=gzip.compress(bytes(200_000_000), compresslevel=1), encoding="gzip")
    tracemalloc.start()
    try:
        with pytest.raises(DataProblem, match="more voxels"):
            read(tmp_path, content)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nrrd")
    for path, sentence in ((tmp_path / "pipe.nrrd", "no regular"), (tmp_path / "none.nrrd", "missing")):
        with pytest.raises(DataProblem, match=sentence):
            read_nrrd(path, "file")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 220), st.integers(0, 255))
def test_any_changed_byte_of_a_header_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    content = bytearray(nrrd())
    content[place] = byte
    try:
        volume = read(tmp_path_factory.mktemp("n"), bytes(content))
    except DataProblem:
        return
    assert volume.array.ndim == 3
    assert np.isfinite(volume.affine).all()
