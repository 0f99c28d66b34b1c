"""Pixels come back as they were, whatever their type and shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from burnscar_assets.dataset.packed.codec import checksum, decode, encode

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "bool", ">u2"]


@given(st.data())
def test_round_trip(data: st.DataObject) -> None:
    dtype = np.dtype(data.draw(st.sampled_from(TYPES)))
    pixels = data.draw(stn.arrays(dtype, stn.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9)))
    codec, blob = encode(pixels)
    out = np.empty(pixels.shape, pixels.dtype.newbyteorder("<"))
    decode(codec, blob, out)
    assert np.array_equal(out, pixels, equal_nan=dtype.kind == "f")


def test_views_are_stored_as_they_look() -> None:
    pixels = np.arange(240, dtype="uint16").reshape(4, 6, 10)[::-1, :, ::2].transpose(1, 0, 2)
    codec, blob = encode(pixels)
    out = np.empty(pixels.shape, "uint16")
    decode(codec, blob, out)
    assert np.array_equal(out, pixels)
    assert checksum(out) == checksum(pixels)


def test_smooth_pixels_become_small() -> None:
    pixels = (
        np.add.outer(np.arange(32), np.arange(32)).astype("uint16")[None] + np.arange(12, dtype="uint16")[:, None, None]
    )
    assert len(encode(pixels)[1]) < pixels.nbytes / 20


def test_cut_bytes_are_noticed() -> None:
    codec, blob = encode(np.arange(1000, dtype="uint16"))
    with pytest.raises(ValueError, match="ZSTD"):
        decode(codec, blob[:-10], np.empty(1000, "uint16"))


def test_types_without_a_codec_are_named() -> None:
    with pytest.raises(TypeError, match="complex64"):
        encode(np.zeros(3, "complex64"))
