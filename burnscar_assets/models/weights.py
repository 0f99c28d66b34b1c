"""The weights of a checkpoint on disk, and their identity.

They are a plain state dict written by torch and only ever read with `weights_only=True`, which runs no code.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from burnscar_assets.errors import CheckpointError
from burnscar_assets.storage.atomic import atomic_file

if TYPE_CHECKING:
    from torch import Tensor


def hash_weights(state: "dict[str, Tensor]") -> str:
    """SHA-256 of the tensors in order of their names: name, type, shape and little-endian values.

    It does not depend on the file, on the version of torch that wrote it, or on the order of the names.
    """
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_weights(path: Path, state: "dict[str, Tensor]") -> None:
    """Write a state dict, whole or not at all; the same state gives the same bytes."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.save({name: state[name].detach().cpu().contiguous() for name in sorted(state)}, buffer)
    with atomic_file(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_state(path: Path) -> "dict[str, Tensor]":
    """Read a state dict, or what else torch can read without running code.

    Raises:
        CheckpointError: the file is missing, cut short, or holds more than tensors and plain values.
    """
    import pickle  # noqa: TID251 - for the name of the error only

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} cannot be read as weights ({type(error).__name__}): fetch or train it anew"
        ) from error
