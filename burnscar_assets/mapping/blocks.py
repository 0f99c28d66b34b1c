"""Finished blocks of a map in the making, each a file of its own: what a killed mapper finds when it goes on."""

import shutil
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from burnscar_assets.mapping.frame import Box
from burnscar_assets.mapping.inference import NO_ANSWER
from burnscar_assets.mapping.mosaic import NO_SCENE, Validity
from burnscar_assets.storage.atomic import atomic_file, storage_errors

SHOWN: Final = 3
"""Bands of the images that a map shows."""


@dataclass(frozen=True)
class MadeBlock:
    """A block's pixels, (height, width) each.

    Attributes:
        probability: of burnt as the model has it, not calibrated, 0–1; -1 without an answer.
        scene: number of the scene after the fire; -1 without data.
        validity: a `mosaic.Validity` each.
        after: (bands, height, width) digital numbers of the bands shown.
        before: the same of the image before the fire; of height and width 0 if there is none.
        before_clear: whether the image before the fire shows the ground; as `before`.
    """

    probability: npt.NDArray[np.float32]
    scene: npt.NDArray[np.int16]
    validity: npt.NDArray[np.uint8]
    after: npt.NDArray[np.uint16]
    before: npt.NDArray[np.uint16]
    before_clear: npt.NDArray[np.bool_]


def empty_block(box: Box) -> MadeBlock:
    """A block that shows nothing."""
    shape = (box.height, box.width)
    return MadeBlock(
        probability=np.full(shape, NO_ANSWER, np.float32),
        scene=np.full(shape, NO_SCENE, np.int16),
        validity=np.full(shape, Validity.NO_DATA, np.uint8),
        after=np.zeros((SHOWN, *shape), np.uint16),
        before=np.zeros((SHOWN, 0, 0), np.uint16),
        before_clear=np.zeros((0, 0), bool),
    )


class BlockStore:
    """The finished blocks of one map.

    Args:
        folder: where they lie; blocks of other inputs beside them are removed.
        inputs_hash: hash of everything that they follow from.
    """

    def __init__(self, folder: Path, inputs_hash: str) -> None:
        self._folder = folder / inputs_hash[:16]
        with storage_errors(folder):
            for other in folder.glob("*") if folder.exists() else ():
                if other != self._folder:
                    shutil.rmtree(other)

    def read(self, box: Box) -> MadeBlock | None:
        """A finished block; none if it isn't there, or is damaged."""
        try:
            with np.load(self._path(box), allow_pickle=False) as stored:
                block = MadeBlock(**{field.name: stored[field.name] for field in fields(MadeBlock)})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return block if block.probability.shape == (box.height, box.width) else None

    def write(self, box: Box, block: MadeBlock) -> None:
        """Keep a block, whole or not at all."""
        with atomic_file(self._path(box)) as temporary, temporary.open("wb") as sink:
            np.savez(sink, **{field.name: getattr(block, field.name) for field in fields(MadeBlock)})

    def remove(self) -> None:
        """Forget all blocks: the map is whole."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, box: Box) -> Path:
        return self._folder / f"{'_'.join(map(str, box.bounds))}.npz"
