"""What trees are told of a pixel: its bands and indices, their means and spreads nearby, and what changed since before.

Numbers are whole (indices in ten-thousandths), so that sums are exact and a pixel's features are the same whatever part
of an image they are made from, as long as it reaches `REACH_PX` beyond.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.models.baselines.features import indices_of
from burnscar_assets.sensors.sensor import Sensor

SIDES: Final = (3, 7)
"""Sides of the squares about a pixel that means and spreads are over, in pixels."""

REACH_PX: Final = SIDES[-1] // 2
INDEX_SCALE: Final = 10_000

Mask = NDArray[np.bool_]
_Planes = NDArray[np.float64]


def pixel_feature_names(sensor: Sensor, *, change: bool) -> tuple[str, ...]:
    """Names of a pixel's features, in their order.

    Args:
        sensor: whose images.
        change: whether there is an image before the fire.
    """
    planes = (*sensor.names, *indices_of(sensor))
    about = [f"{statistic}{side}" for side in SIDES for statistic in ("mean", "std")]
    names = [*planes, *(f"{plane}_{one}" for one in about for plane in planes)]
    return (*names, *(f"{plane}_before" for plane in planes), *(f"change_{name}" for name in names)) if change else (
        *names,
    )  # fmt: skip


def with_data(*images: NDArray[np.uint16]) -> Mask:
    """(n, height, width) pixels that have every band in each of some images (n, bands, height, width)."""
    return np.logical_and.reduce([(image > 0).all(axis=1) for image in images])


def pixel_features(
    sensor: Sensor, at: Mask, images: NDArray[np.uint16], before: NDArray[np.uint16] | None = None
) -> NDArray[np.float32]:
    """Features of some pixels.

    Args:
        sensor: whose images these are.
        at: (n, height, width) the pixels, all of which have data.
        images: (n, bands, height, width) digital numbers after the fire, 0 = no data.
        before: the same before the fire; None if it isn't read.

    Returns:
        (pixels, features) in the order of `pixel_feature_names`: digital numbers, indices in ten-thousandths. Means and
        spreads are over the pixels nearby that have data.
    """
    valid = with_data(images) if before is None else with_data(images, before)
    counts = {side: _sums(valid.astype(np.float64), side)[at] for side in SIDES}
    after = _planes(images, valid, sensor)
    columns = list(_with_surroundings(after, at, counts))
    if before is not None:
        earlier = _planes(before, valid, sensor)
        columns += [plane[at] for plane in earlier]
        columns += _with_surroundings(after - earlier, at, counts)
    return np.stack(columns, axis=1, dtype=np.float32, casting="same_kind")


def _planes(images: NDArray[np.uint16], valid: Mask, sensor: Sensor) -> _Planes:
    """(bands and indices, n, height, width) whole numbers, 0 where not valid."""
    bands = images.swapaxes(0, 1).astype(np.float64)
    planes = [*bands]
    for first, second in indices_of(sensor).values():
        one, two = bands[sensor.place(first)], bands[sensor.place(second)]
        planes.append(np.rint(INDEX_SCALE * (one - two) / np.maximum(one + two, 1)))
    return np.stack(planes) * valid


def _with_surroundings(
    planes: _Planes, at: Mask, counts: dict[int, NDArray[np.float64]]
) -> Iterator[NDArray[np.float64]]:
    """Values of pixels, then for each side the means and then the spreads of their surroundings, plane by plane."""
    yield from (plane[at] for plane in planes)
    for side in SIDES:
        means = [_sums(plane, side)[at] / counts[side] for plane in planes]
        yield from means
        for plane, mean in zip(planes, means, strict=True):
            yield np.sqrt(np.maximum(_sums(plane * plane, side)[at] / counts[side] - mean * mean, 0))


def _sums(plane: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """(n, height, width) sums over squares about each pixel; beyond the edge is nothing. Exact of whole numbers."""
    for axis in (1, 2):
        around = [(0, 0)] * 3
        around[axis] = (side // 2, side // 2)
        padded = np.moveaxis(np.pad(plane, around), axis, 0)
        total = padded[: plane.shape[axis]].copy()
        for shift in range(1, side):
            total += padded[shift : shift + plane.shape[axis]]
        plane = np.moveaxis(total, 0, axis)
    return plane
