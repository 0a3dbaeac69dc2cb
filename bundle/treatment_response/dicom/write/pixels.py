"""Pixel data: stored integers from values, and their encoding in a lossless transfer syntax."""

from __future__ import annotations

import numpy as np
import openjpeg.utils
import rle.utils
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from treatment_response.text_enum import TextEnum


class TransferSyntax(TextEnum):
    """The lossless transfer syntaxes that can be written."""

    EXPLICIT = "ExplicitVRLittleEndian"
    DEFLATED = "DeflatedExplicitVRLittleEndian"
    RLE = "RLELossless"
    JPEG2000 = "JPEG2000Lossless"

    @property
    def uid(self) -> UID:
        """Its DICOM UID."""
        return {
            TransferSyntax.EXPLICIT: ExplicitVRLittleEndian,
            TransferSyntax.DEFLATED: DeflatedExplicitVRLittleEndian,
            TransferSyntax.RLE: RLELossless,
            TransferSyntax.JPEG2000: JPEG2000Lossless,
        }[self]


def stored_values(array: np.ndarray, slope: float, intercept: float, signed: bool) -> np.ndarray:
    """The 16-bit integers that stand for ``array``: value = stored · slope + intercept, rounded to the nearest.

    Raises:
        ValueError: a value does not fit into 16 bits.
    """
    kind = np.int16 if signed else np.uint16
    stored = np.rint((array - intercept) / slope) if (slope, intercept) != (1.0, 0.0) else np.rint(array)
    limits = np.iinfo(kind)
    low, high = float(stored.min()), float(stored.max())
    if low < limits.min or high > limits.max:
        raise ValueError(
            f"stored values {low:g} to {high:g} do not fit into {limits.min} to {limits.max}; "
            "choose slope and intercept"
        )
    return stored.astype(kind)


def describe_pixels(dataset: Dataset, rows: int, columns: int, signed: bool, bits: int = 16) -> None:
    """Fill the attributes of the image pixel module that say how to read the pixel data."""
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(signed)


def set_pixels(dataset: Dataset, frames: np.ndarray, syntax: TransferSyntax) -> None:
    """Encode ``frames`` ``(F, rows, columns)`` of 16-bit integers as the data set's pixel data."""
    if syntax is TransferSyntax.RLE:
        rows, columns = frames.shape[1:]
        encoded = [
            rle.utils.encode_pixel_data(
                np.ascontiguousarray(frame).tobytes(),
                rows=rows,
                columns=columns,
                samples_per_pixel=1,
                bits_allocated=16,
                byteorder="<",
            )
            for frame in frames
        ]
    elif syntax is TransferSyntax.JPEG2000:
        encoded = [openjpeg.utils.encode_array(np.ascontiguousarray(frame), bits_stored=16) for frame in frames]
    else:
        dataset.PixelData = np.ascontiguousarray(frames).tobytes()
        dataset["PixelData"].VR = "OW"
        return
    dataset.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2) for frame in encoded])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
