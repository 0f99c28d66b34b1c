"""Fires drawn again: how often each cluster of fires, or block of ground, is in each resample.

Fire clusters are drawn among fire clusters and blocks among blocks, so that every resample has as many of each as the
evaluation has.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.evaluation.intervals import clusters_by_kind


def draw_weights(
    clusters: Sequence[str], has_fire: NDArray[np.bool_], samples: int, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """How often each cluster is drawn in each resample.

    Args:
        clusters: (n,) cluster of each window.
        has_fire: (n,) whether the window belongs to a fire.
        samples: number of resamples.
        seed: seed; the draws depend on it and on the set of clusters, not on the order of the windows.

    Returns:
        (n,) index of each window's cluster, and (samples, number of clusters) draws.
    """
    index, of_fires = clusters_by_kind(clusters, has_fire)
    generator = np.random.default_rng(seed)
    draws = np.zeros((samples, len(of_fires)), dtype=np.int64)
    for members in (np.flatnonzero(of_fires), np.flatnonzero(~of_fires)):
        if len(members):
            draws[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), samples)
    return index, draws
