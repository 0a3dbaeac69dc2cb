"""Pixels are values without stray bits, or refused by a sentence before they cost memory."""

from __future__ import annotations

import resource
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_case import assert_same_place, volume, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian
from treatment_response.dicom.pixels import PixelsUnusable, decoded
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.series import read_series
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem


def words_dataset(words: np.ndarray, stored: int, high: int, signed: bool) -> FileDataset:
    """An uncompressed image of one row."""
    dataset = FileDataset(None, {}, file_meta=FileMetaDataset())
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 1, len(words), 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", int(signed)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = words.itemsize * 8, stored, high
    dataset.PixelData = words.tobytes() + b"\0" * (words.nbytes % 2)
    return dataset


@settings(max_examples=60, deadline=None)
@given(data=st.data(), stored=st.integers(1, 16), signed=st.booleans(), left=st.booleans())
def test_unused_bits_are_never_part_of_a_value(data: st.DataObject, stored: int, signed: bool, left: bool) -> None:
    """Values, with noise in all other bits (overlays, leftovers), come back as they were."""
    low, high = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
    values = np.array(data.draw(st.lists(st.integers(low, high), min_size=4, max_size=9)))
    shift = 16 - stored if left else 0
    mask = ((1 << stored) - 1) << shift
    noise = np.array(data.draw(st.lists(st.integers(0, 0xFFFF), min_size=len(values), max_size=len(values))))
    words = ((values << shift) & mask | noise & ~mask & 0xFFFF).astype(np.uint16)
    found = decoded(words_dataset(words, stored, stored - 1 + shift, signed))
    np.testing.assert_array_equal(found[0, 0], values)


@pytest.mark.parametrize("signed", [False, True])
def test_a_series_with_used_high_bits_comes_back(tmp_path: Path, signed: bool) -> None:
    def with_overlay(_: int, dataset: Dataset) -> None:
        words = np.frombuffer(dataset.PixelData, np.uint16).copy() & 0x0FFF
        words[::7] |= 0xF000
        dataset.BitsStored, dataset.HighBit, dataset.PixelData = 12, 11, words.tobytes()

    image = volume(low=-900) if signed else volume()
    image.array[image.array > 2047] = 2000  # 12 bits with a sign
    write(image, tmp_path, signed=signed, changes=with_overlay)
    found = read_series(scan_folder(tmp_path).series[0])
    assert found.array.dtype == np.int16
    assert_same_place(found, image)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1, expected MONOCHROME2"),
        ({"BitsStored": 17}, "17 stored bits"),
        ({"BitsStored": 8}, "8 stored bits and high bit 11"),
        ({"BitsAllocated": 24}, "24 bits per pixel"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"Rows": 60000, "Columns": 60000}, "60000 × 60000 pixels"),
        ({"NumberOfFrames": 900, "Rows": 4096, "Columns": 4096}, "900 frame"),
    ],
)
def test_descriptions_that_cannot_be_used_are_refused(changes: dict[str, object], message: str) -> None:
    dataset = words_dataset(np.arange(8, dtype=np.uint16), 12, 11, False)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    with pytest.raises(PixelsUnusable, match=message):
        decoded(dataset)


def rle(rows: int, columns: int, runs: int) -> FileDataset:
    """An RLE image whose two segments expand to 128 bytes per run."""
    dataset = words_dataset(np.zeros(4, np.uint16), 16, 15, False)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.5"
    dataset.Rows, dataset.Columns = rows, columns
    segment = b"\x81\x00" * runs
    head = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13)
    dataset.PixelData = encapsulate([head + segment + segment])
    return dataset


def test_compressed_images_that_would_not_fit_are_refused_before_decoding() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for dataset in (rle(64, 64, 2_000_000), rle(65535, 65535, 2_000_000), rle(4096, 4096, 10)):
        with pytest.raises(PixelsUnusable):
            decoded(dataset)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
    assert decoded(rle(64, 64, 32)).shape == (1, 64, 64)


@pytest.mark.parametrize(
    "header",
    [
        b"\xff\xd8\xff\xc3\x00\x0b\x10\xff\xff\xff\xff\x01\x01\x11\x00",
        b"\xff\xd8\xff\xf7\x00\x0b\x10\xff\xff\xff\xff\x01\x01\x11\x00",
        b"\xff\x4f\xff\x51\x00\x29" + struct.pack(">H8IH", 0, 65535, 65535, 0, 0, 65535, 65535, 0, 0, 1),
    ],
    ids=["JPEG", "JPEG-LS", "JPEG 2000"],
)
def test_a_compressed_header_with_another_size_is_refused(header: bytes) -> None:
    dataset = rle(64, 64, 1)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
    dataset.PixelData = encapsulate([header + bytes(200)])
    with pytest.raises(PixelsUnusable, match="65535 × 65535 pixels and 1 samples"):
        decoded(dataset)


def test_damaged_rle_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """The decoder is written in Rust, and panics: no exception that ``except Exception`` would see."""
    with pytest.raises(PixelsUnusable, match="cannot be decoded"):
        decoded(rle(64, 64, 33))


def constant(dataset: Dataset) -> None:
    dataset.PixelData = b"\7\0" * (len(dataset.PixelData) // 2)


def no_slope(dataset: Dataset) -> None:
    dataset.RescaleSlope, dataset.RescaleIntercept = "0", "0"


def overflow(dataset: Dataset) -> None:
    dataset.RescaleSlope, dataset.RescaleIntercept = "1e38", "0"


@pytest.mark.parametrize(
    ("change", "message"),
    [(constant, "holds the value 7 only"), (no_slope, "rescale slope 0"), (overflow, "too large")],
)
def test_images_without_content_are_refused(tmp_path: Path, change: Callable[[Dataset], None], message: str) -> None:
    write(volume(), tmp_path, changes=lambda _, dataset: change(dataset))
    with pytest.raises(DataProblem, match=message):
        read_series(tmp_path)


def test_signed_and_unsigned_slices_are_not_mixed(tmp_path: Path) -> None:
    def sign(index: int, dataset: Dataset) -> None:
        dataset.PixelRepresentation = int(index > 4)

    write(volume(), tmp_path, changes=sign)
    with pytest.raises(DataProblem, match="signed and unsigned"):
        read_series(tmp_path)


def test_slices_with_different_bits_keep_their_values(tmp_path: Path) -> None:
    def fewer(index: int, dataset: Dataset) -> None:
        stored = 12 if index % 2 else 16
        dataset.BitsStored, dataset.HighBit = stored, stored - 1

    image = volume()
    write(image, tmp_path, changes=fewer)
    assert_same_place(read_series(tmp_path), Volume(image.array, image.affine))
    assert dcmread(tmp_path / "IM0001.dcm").BitsStored == 16
