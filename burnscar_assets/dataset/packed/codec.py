"""Pixels as bytes and back: differences of neighbours, byte planes apart, Zstandard.

Measured (docs/decisions): neighbouring digital numbers differ little, so their differences' high bytes are nearly
all the same and compress to nothing, while the low bytes are noise that no compressor shortens.
"""

import functools
import zlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

DELTA: Final = "delta"
PLANES: Final = "planes"
ZSTD: Final = "zstd"
_LEVEL = 1

Pixels = npt.NDArray[Any]


def encode(pixels: Pixels) -> tuple[str, bytes]:
    """Compress an array; returns the codec's name, to be kept beside the bytes."""
    kind, size = pixels.dtype.kind, pixels.dtype.itemsize
    if kind not in "biuf":
        raise TypeError(f"pixels of type {pixels.dtype} can't be stored: use integers, floats or booleans")
    words = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).view(f"<u{size}")
    steps = [ZSTD]
    if kind in "iu" and pixels.ndim:
        steps.insert(0, DELTA)
        words = _differences(words)
    if size > 1:
        steps.insert(-1, PLANES)
        words = _planes(words)
    return "+".join(steps), _zstd().compress(words, asbytes=True)


def decode(codec: str, data: bytes, out: Pixels) -> None:
    """Decompress into a contiguous array of the type and shape that was stored.

    Raises:
        ValueError: the bytes are not what `encode` made of such an array.
    """
    decode_many(codec, [data], out[None])


def decode_many(codec: str, parts: Sequence[bytes], out: Pixels) -> None:
    """Decompress several arrays alike into one contiguous array of them; a step for all costs less than each its own.

    Raises:
        ValueError: the bytes of one of them are not what `encode` made of such an array.
    """
    if not out.size:
        return
    steps, size = codec.split("+"), out.dtype.itemsize
    plain = np.empty((len(parts), out.nbytes // len(parts)), "u1")
    for place, data in zip(plain, parts, strict=True):
        try:
            place[...] = np.frombuffer(_zstd().decompress(data, decompressed_size=place.size), "u1")
        except OSError as error:
            raise ValueError(str(error)) from error
    words = _joined(plain, size) if PLANES in steps else plain.view(f"<u{size}")
    words = words.reshape(out.shape)
    if DELTA in steps:
        np.cumsum(words, axis=-1, dtype=words.dtype, out=out.view(words.dtype))
    else:
        out.view(words.dtype)[...] = words


def checksum(pixels: Pixels) -> int:
    """CRC-32 of the pixels themselves, not of their compressed form."""
    return zlib.crc32(np.ascontiguousarray(pixels).data.cast("B")) if pixels.size else 0


def _differences(words: Pixels) -> Pixels:
    """Each row's first value, then how much each differs from the one before."""
    out = np.empty_like(words)
    out[..., :1] = words[..., :1]
    np.subtract(words[..., 1:], words[..., :-1], out=out[..., 1:])
    return out


def _planes(words: Pixels) -> npt.NDArray[np.uint8]:
    """All lowest bytes, then all next ones: array (bytes of a word, words)."""
    flat = words.reshape(-1)
    out = np.empty((words.dtype.itemsize, flat.size), "u1")
    for plane, target in enumerate(out):
        np.copyto(target, flat >> (8 * plane) if plane else flat, casting="unsafe")
    return out


def _joined(plain: npt.NDArray[np.uint8], size: int) -> Pixels:
    """Put the byte planes of each array together, from the highest to the lowest: array (arrays, words)."""
    planes = plain.reshape(len(plain), size, -1)
    words = planes[:, -1].astype(f"<u{size}")
    for plane in range(size - 2, -1, -1):
        words <<= 8
        words |= planes[:, plane]
    return words


@functools.cache
def _zstd() -> pa.Codec:
    return pa.Codec("zstd", compression_level=_LEVEL)
