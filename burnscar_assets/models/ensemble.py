"""Several set-ups as one predictor: the weighted mean of their probabilities.

Its checkpoint's folder holds the checkpoint of each member in a folder of the member's name, and the weights in the
manifest, so that it can be moved, and kept as a champion, whatever becomes of its members.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.errors import CheckpointError
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.predictor import Images, Predictor, Times
from burnscar_assets.storage.hashing import hash_json

_OF: Final = "/"
"""Between a member's name and that of what it prepares."""


class EnsemblePredictor(Predictor):
    """Answers by pixel if one of its members does; those that answer for windows say the same of all their pixels.

    Args:
        predictors: by member, all reading the same images.
        manifest: with the weights of the members.

    Raises:
        CheckpointError: the members are not those that were weighed.
    """

    def __init__(self, predictors: Mapping[str, Predictor], manifest: CheckpointManifest) -> None:
        if manifest.weights_sha256 != ensemble_hash({n: p.manifest for n, p in predictors.items()}, manifest.members):
            raise CheckpointError("the members of the ensemble are not those that were weighed: weigh them anew")
        self.manifest = manifest
        self._predictors = dict(predictors)
        self.members = [(manifest.members[name], predictor) for name, predictor in predictors.items()]
        self.layers = self.members[0][1].layers
        self.per_pixel = any(predictor.per_pixel for predictor in predictors.values())

    def _prepare(self, images: Images) -> dict[str, Any]:
        """What each member prepares, by its name and the member's."""
        return {
            f"{member}{_OF}{name}": image
            for member, predictor in self._predictors.items()
            for name, image in predictor.prepare(images).items()
        }

    def _answer(self, prepared: Mapping[str, Any], times: Times) -> NDArray[np.float64]:
        """See `Predictor.answer`; no answer where one of the members has none."""
        total: Any = 0.0
        for member, predictor in self._predictors.items():
            found = np.asarray(predictor.answer(_own(prepared, member), times), dtype=np.float64)
            spread = found[:, None, None] if self.per_pixel and not predictor.per_pixel else found
            total = total + self.manifest.members[member] * spread
        return np.asarray(total)

    def _answer_windows(self, prepared: Mapping[str, Any], times: Times) -> NDArray[np.float64]:
        """See `Predictor.answer_windows`: the mean of what the members answer for windows, each in its own way."""
        answers = [
            self.manifest.members[member] * predictor.answer_windows(_own(prepared, member), times)
            for member, predictor in self._predictors.items()
        ]
        return np.asarray(np.sum(answers, axis=0))


def ensemble_hash(members: Mapping[str, CheckpointManifest], weights: Mapping[str, float]) -> str:
    """What an ensemble is known by: its members' weights hashes, and its own weights."""
    return hash_json({name: [manifest.weights_sha256, weights.get(name)] for name, manifest in members.items()})


def _own(prepared: Mapping[str, Any], member: str) -> dict[str, Any]:
    start = f"{member}{_OF}"
    return {name.removeprefix(start): image for name, image in prepared.items() if name.startswith(start)}
