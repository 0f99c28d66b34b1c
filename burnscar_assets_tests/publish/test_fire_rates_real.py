"""Areas of real fires, each corrected by the others: California's of 2024 and 2025, mapped by two simple thresholds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize

from burnscar_assets.evaluation.rules import FrameErrors
from burnscar_assets.publish.area import FireRates, rates_of_fires

Teller = Callable[[Path, NDArray[np.float64]], NDArray[np.float64] | None]


def nbr(image: Path) -> NDArray[np.float64]:
    """NaN without data; of B02, B03, B04, B08 and B12 the last two."""
    with rasterio.open(image) as source:
        bands = source.read().astype(float)
    if len(bands) < 5:
        return np.full((0, 0), np.nan)
    known = (bands > 0).all(axis=0)
    return np.divide(bands[3] - bands[4], bands[3] + bands[4], out=np.full(known.shape, np.nan), where=known)


def after(folder: Path, index: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The image after the fire alone, at a threshold that maps far too much."""
    return 0.05 - index


def change(folder: Path, index: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The change of NBR less what the whole frame changed by."""
    if (folder / "pre.tif").exists():
        found = nbr(folder / "pre.tif") - index if nbr(folder / "pre.tif").shape == index.shape else None
    elif (folder / "dnbr.tif").exists():
        with rasterio.open(folder / "dnbr.tif") as source:
            found = source.read(1).astype(float) if source.shape == index.shape else None
    else:
        found = None
    return None if found is None else found - np.nanmedian(found) - 0.1


def frames(fires: Path, teller: Teller) -> Iterator[FrameErrors]:
    """Each chip as mapped: burnt where the teller is above 0."""
    perimeters = gpd.read_file(fires / "perimeters.geojson")
    for folder in sorted(path for path in fires.iterdir() if (path / "post.tif").exists()):
        index = nbr(folder / "post.tif")
        told = teller(folder, index) if index.size else None
        if told is None:
            continue
        with rasterio.open(folder / "post.tif") as source:
            own = perimeters[perimeters["chip"] == folder.name].to_crs(source.crs)
            truth = rasterize(own.geometry, source.shape, transform=source.transform).astype(bool)
        known = np.isfinite(index) & np.isfinite(told)
        burnt = told > 0
        cells = (burnt & truth, burnt & ~truth, ~burnt & truth, ~burnt & ~truth)
        yield FrameErrors(folder.name, folder.name, *(float((cell & known).sum() * 0.04) for cell in cells))


@pytest.mark.parametrize(("teller", "least"), [(after, 25), (change, 10)])
def test_a_fire_s_area_is_nearer_corrected_by_the_others_than_counted(
    teller: Teller, least: int, real_data: Path
) -> None:
    errors = list(frames(real_data / "imagery" / "california_fires", teller))
    assert len(errors) >= least
    held, corrected, counted = [], [], []
    for place, fire in enumerate(errors):
        found = rates_of_fires(errors[:place] + errors[place + 1 :])
        assert isinstance(found, FireRates)
        burned, mapped = fire.hits_ha + fire.missed_ha, fire.hits_ha + fire.false_ha
        area = found.area(mapped, mapped + fire.missed_ha + fire.right_ha, 0.95)
        held.append(area.low <= burned <= area.high)
        corrected.append(abs(area.best / burned - 1))
        counted.append(abs(mapped / burned - 1))
    assert np.mean(held) >= 0.9
    assert np.median(corrected) < np.median(counted)
