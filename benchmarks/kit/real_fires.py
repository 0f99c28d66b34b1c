"""Images before real fires of which the dNBR alone could be had: two bands whose NBR is that of before the fire.

`python benchmarks/kit/real_fires.py california_fires OUT` writes a folder that

    burnscar study --bands B08,B12 --change --images OUT --perimeters OUT/perimeters.geojson --data ROOT

takes. dNBR and the image after give the NBR before; how bright the ground was then they don't. Here B08 and B12 before
have the sum that they have after, so only the NBR of these images is real: indices of change are what they were, and
what a model may learn beside them of the image before is made up. All images before are made so, also where the real
one is there, since a model could tell the two kinds apart.
"""

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.vrt import WarpedVRT

from burnscar_assets.errors import InputError
from burnscar_assets.sensors.indices import nbr

BANDS = ("B08", "B12")
NOTE = (
    "made of the image after and dNBR: only the NBR of this image is real, how bright it is is that of after the fire"
)
PERIMETERS = "perimeters.geojson"

Pixels = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Written:
    """What was written for one fire.

    Attributes:
        fire: its folder.
        pixels: with data in both images.
        clipped: of them, those whose NBR before would be beyond what two positive numbers of this sum have.
        error: greatest difference of the NBR written and the one meant, of the others.
        same_grid: whether image and dNBR were on one grid; else dNBR was brought onto the image's by nearest pixel.
    """

    fire: str
    pixels: int
    clipped: int
    error: float
    same_grid: bool


def write_images_before(folder: Path, out: Path) -> list[Written]:
    """Write image after and image before of each fire that has a dNBR, and its perimeter.

    Args:
        folder: a folder a fire, with post.tif (bands described as B08 and B12, and others) and maybe dnbr.tif; and
            perimeters.geojson, whose `chip` is the fire's folder.
        out: is made; what is there under these names is written anew.

    Raises:
        InputError: an image lacks a band, or no fire has a dNBR.
    """
    places = sorted(path.parent for path in folder.glob("*/dnbr.tif") if (path.parent / "post.tif").exists())
    if not places:
        raise InputError(f"{folder} has no fire with post.tif and dnbr.tif: give the folder above those of the fires")
    out.mkdir(parents=True, exist_ok=True)
    fires = gpd.read_file(folder / PERIMETERS)
    fires = fires[fires["chip"].isin([place.name for place in places])]  # others would take a place in a fold
    (out / PERIMETERS).write_text(json.dumps(fires.__geo_interface__, default=str), encoding="utf-8")
    return [_write(place, out / place.name) for place in places]


def image_before(after: Pixels, dnbr: Floats) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """Two bands before a fire, with the sum of those after it.

    Args:
        after: (2, height, width) near and short-wave infrared, digital numbers, 0 without data.
        dnbr: (height, width) NBR before − NBR after; NaN without data.

    Returns:
        The same bands before, 0 where either has no data; and where the NBR was clipped to what is possible.
    """
    wanted = nbr(*after).astype(np.float64) + dnbr
    known = np.isfinite(wanted)
    total = after.sum(axis=0, dtype=np.int64)
    near = np.rint(total * (1 + np.where(known, wanted, 0)) / 2)
    possible = np.clip(near, 1, np.maximum(total - 1, 1))
    before = np.stack([possible, total - possible]) * known
    return before.astype(np.uint16), known & (near != possible)


def _write(place: Path, out: Path) -> Written:
    out.mkdir(exist_ok=True)
    shutil.copyfile(place / "post.tif", out / "post.tif")
    with rasterio.open(place / "post.tif") as source, rasterio.open(place / "dnbr.tif") as change:
        lacking = [band for band in BANDS if band not in source.descriptions]
        if lacking:
            raise InputError(f"{place / 'post.tif'} has no band described as {', '.join(lacking)}")
        after = source.read([source.descriptions.index(band) + 1 for band in BANDS])
        same_grid = change.shape == source.shape and change.transform.almost_equals(source.transform, 1e-9)
        onto = {"crs": source.crs, "transform": source.transform, "height": source.height, "width": source.width}
        with WarpedVRT(change, **onto, nodata=np.nan) as aligned:
            dnbr = aligned.read(1)
        profile = source.profile | {"count": len(BANDS), "dtype": "uint16", "nodata": 0}
    before, clipped = image_before(after, dnbr)
    with rasterio.open(out / "pre.tif", "w", **profile) as target:
        target.write(before)
        target.descriptions = BANDS
        target.update_tags(NOTE=NOTE)
    error = np.abs(nbr(*before) - nbr(*after) - dnbr)[(before[0] > 0) & ~clipped]
    return Written(place.name, int((before[0] > 0).sum()), int(clipped.sum()), float(error.max(initial=0)), same_grid)


def main() -> None:
    """Write the folder, and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of real fires, a folder each")
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    written = write_images_before(given.folder, given.out)
    for one in written:
        print(
            f"{one.fire}: {one.pixels} pixels, {one.clipped} clipped, NBR within {one.error:.5f}"
            f"{'' if one.same_grid else ', dNBR on another grid'}"
        )
    print(f"{len(written)} fires in {given.out}; images before are {NOTE}")


if __name__ == "__main__":
    main()
