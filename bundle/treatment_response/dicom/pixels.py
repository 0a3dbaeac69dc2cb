"""Pixel data as values: checked before they are decoded, and free of the bits that are not theirs."""

from __future__ import annotations

import struct

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_pixel_data_fragment, get_frame_offsets
from pydicom.filebase import DicomBytesIO
from pydicom.uid import RLELossless

from treatment_response.dicom.headers import state_transfer_syntax

MAX_FRAME_PIXELS = 4096 * 4096
"""Pixels of one frame that are decoded."""
MAX_BYTES = 512 << 20
"""Decoded bytes of one object."""
_RLE_EXPANSION = 64  # two bytes of RLE stand for 128 at most (PS3.5, annex G)
_EXPANSION = 2000  # of other compressions, beyond what blank images reach …
_EXPANSION_BYTES = 64 << 20  # … and checked where the decoded images are larger than this


class PixelsUnusable(Exception):
    """Why pixel data cannot be used, as (what, remedy)."""


def decoded(dataset: FileDataset) -> np.ndarray:
    """Decode the pixel data of an object.

    Sizes are checked against limits, against the compressed data and against what their headers announce before
    anything is decoded. Bits above High Bit and below the stored ones are removed, and the sign of short signed words
    is extended (PS3.5, 8.1.1).

    Returns:
        ``(frames, rows, columns)`` integers, before rescale.

    Raises:
        PixelsUnusable: colour, inverted brightness, impossible bits or sizes, more than the limits, or data that cannot
            be decoded.
    """
    frames = _check_description(dataset)
    try:
        state_transfer_syntax(dataset)
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax.is_compressed and not syntax.is_deflated:
            _check_compressed(dataset, frames)
        else:
            _check_length(dataset, frames)
        pixels = dataset.pixel_array.reshape(frames, int(dataset.Rows), int(dataset.Columns))
    except PixelsUnusable:
        raise
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # damaged data and missing decoders fail anywhere inside the libraries; Rust panics
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        what = f"has pixel data that cannot be decoded ({reason})"
        raise PixelsUnusable(what, "export it again, uncompressed") from None
    return _stored_bits(pixels, dataset)


def _check_description(dataset: Dataset) -> int:
    """Refuse what the image pixel module says, if it cannot be right or is not known here. Returns the frames."""
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        frames = int(dataset.get("NumberOfFrames") or 1)
        samples = int(dataset.get("SamplesPerPixel") or 1)
        allocated = int(dataset.BitsAllocated)
        stored = int(dataset.get("BitsStored") or allocated)
        high = int(dataset.get("HighBit") or stored - 1)
        signed = int(dataset.get("PixelRepresentation") or 0)
    except Exception:  # missing, or no number
        what = "has pixel data that cannot be decoded (its size or its bits are not stated)"
        raise PixelsUnusable(what, "export it again") from None
    if samples != 1:
        raise PixelsUnusable("holds colour images, expected one value per pixel", "leave out screenshots and overlays")
    photometric = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2").strip()
    label_map = dataset.get("SegmentationType") == "LABELMAP" and photometric == "PALETTE COLOR"
    if photometric != "MONOCHROME2" and not label_map:
        what = f"has photometric interpretation {photometric[:16]}, expected MONOCHROME2 (bright is high)"
        raise PixelsUnusable(what, "export the original images")
    if allocated not in (1, 8, 16, 32):
        raise PixelsUnusable(f"has {allocated} bits per pixel, expected 8, 16 or 32", "export it again")
    if not (0 < stored <= allocated and high in (stored - 1, allocated - 1) and signed in (0, 1)):
        what = f"has {stored} stored bits and high bit {high} in words of {allocated} bits, which cannot be"
        raise PixelsUnusable(what, "export it again")
    if min(rows, columns, frames) < 1:
        raise PixelsUnusable(f"has {frames} frames of {rows} × {columns} pixels", "export it again")
    size = frames * rows * columns * allocated // 8
    if rows * columns > MAX_FRAME_PIXELS or size > MAX_BYTES:
        what = f"announces {frames} frame(s) of {rows} × {columns} pixels ({size >> 20} MB)"
        what += f", more than 4096 × 4096 or {MAX_BYTES >> 20} MB, so it was not decoded"
        raise PixelsUnusable(what, "export it again, or leave it out")
    return frames


def _check_length(dataset: Dataset, frames: int) -> None:
    bits = frames * int(dataset.Rows) * int(dataset.Columns) * int(dataset.BitsAllocated)
    expected, length = (bits + 7) // 8, len(dataset.PixelData)
    if length not in (expected, expected + expected % 2):
        what = f"has pixel data that cannot be decoded ({length} bytes, expected {expected})"
        raise PixelsUnusable(what, "export it again")


def _check_compressed(dataset: FileDataset, frames: int) -> None:
    """Refuse compressed data that would decode to another size than the object says."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    expected = frames * rows * columns * int(dataset.BitsAllocated) // 8
    data = dataset.PixelData
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        # RLE never needs much more room than the pixels; so much more is made to expand.
        if expected > _RLE_EXPANSION * len(data) or len(data) > 2 * expected + 1024 * (frames + 1):
            what = f"holds {len(data)} bytes of RLE for {expected} bytes of pixels, which cannot be"
            raise PixelsUnusable(what, "export it again, uncompressed")
        return
    if expected > _EXPANSION_BYTES and expected > _EXPANSION * len(data):
        what = f"holds {len(data)} bytes of compressed images that announce {expected >> 20} MB of pixels"
        raise PixelsUnusable(what, "export it again, uncompressed")
    buffer = DicomBytesIO(data)
    buffer.is_little_endian = True
    get_frame_offsets(buffer)  # steps over the offset table
    for fragment in generate_pixel_data_fragment(buffer):
        size = _announced_size(fragment)
        if size is not None and size != (rows, columns, 1):
            what = f"has compressed images of {size[0]} × {size[1]} pixels and {size[2]} samples"
            what += f", where its header says {rows} × {columns} and 1"
            raise PixelsUnusable(what, "export it again, uncompressed")


def _announced_size(fragment: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples in the header of a JPEG or JPEG 2000 stream; None if none begins here."""
    jpeg_2000 = fragment.find(b"\xff\x4f\xff\x51", 0, 4096)
    if jpeg_2000 >= 0:
        right, bottom, left, top = struct.unpack_from(">4I", fragment, jpeg_2000 + 8)
        return bottom - top, right - left, struct.unpack_from(">H", fragment, jpeg_2000 + 40)[0]
    if fragment[:2] != b"\xff\xd8":
        return None
    place = 2
    while place + 10 <= len(fragment) and fragment[place] == 0xFF:
        marker = fragment[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        # Start of frame, also of JPEG-LS (F7); C4, C8 and CC are tables and extensions.
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return struct.unpack_from(">HHB", fragment, place + 5)
        place += 2 + struct.unpack_from(">H", fragment, place + 2)[0]
    return None


def _stored_bits(pixels: np.ndarray, dataset: Dataset) -> np.ndarray:
    allocated = int(dataset.BitsAllocated)
    stored = int(dataset.get("BitsStored") or allocated)
    if stored == allocated or allocated == 1:
        return pixels
    lowest = int(dataset.get("HighBit") or stored - 1) + 1 - stored
    # Shifted up, the unused high bits fall off; shifted down, the sign of a signed word fills them.
    kind = np.dtype(f"{'i' if dataset.get('PixelRepresentation') else 'u'}{allocated // 8}")
    words = pixels.astype(kind, copy=False)
    spare = allocated - stored
    return (words << (spare - lowest)) >> spare
