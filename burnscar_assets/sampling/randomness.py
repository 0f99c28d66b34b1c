"""Random choices that depend on names and numbers alone: not on row order, the hash seed, or other choices.

A choice about a thing is a hash of the seed and the thing's identity, so that taking one thing away
leaves the choices about all others as they are.
"""

import hashlib
import json

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def key_of(*parts: str | int) -> np.uint64:
    """A 64-bit key of names and numbers."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def mix(key: np.uint64 | Hashes, *numbers: npt.ArrayLike) -> Hashes:
    """Hash integers with a key, element by element (the finalizer of SplitMix64, Steele et al. 2014).

    The numbers broadcast against each other and the key, or keys.
    """
    state = np.asarray(key, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for number in numbers:
            word = np.asarray(number, dtype=np.int64).astype(np.uint64)
            state = _finalize(state ^ _finalize(word + _GOLDEN))
    return state


def uniform(hashes: Hashes) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) from hashes, by their upper 53 bits."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _finalize(value: Hashes) -> Hashes:
    value = value + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))
