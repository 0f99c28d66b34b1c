"""What grows on frames, for statistics alone: a raster of classes that a person names, and maps' areas by class."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.crs import usable_crs
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.map_scores import Mask, ScoredGround
from burnscar_assets.gdal_drivers import open_raster
from burnscar_assets.mapping.frame import Frame

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

NO_COVER: Final = -1
"""In place of a class: none is known."""

AREAS: Final = {f"cover_{name}": name for name in ("burnt_ha", "mapped_ha", "hits_ha")}
"""Columns of contract MAP_SCORES with areas by class, each with the column of the whole frame's area."""

NO_AREAS: Final[dict[str, Any]] = {"no_cover": None} | dict.fromkeys(("cover", *AREAS), ())
"""Those columns, and the others of land cover, where none is set or no map is judged."""

_UNREAD: Final = np.iinfo(np.int32).min


@dataclass(frozen=True)
class LandCover:
    """A GeoTIFF with one band of whole numbers, in any CRS, and what they mean; those of one name are one class."""

    path: Path
    names: Mapping[int, str]

    def check(self) -> "LandCover":
        """See that the file can be used.

        Raises:
            InputError: it can't be read, has no CRS, or more than one band, or other values than whole numbers.
        """
        with self._opened():
            return self

    def of(self, frame: Frame) -> NDArray[np.int16]:
        """(height, width) place among `cover_names` of what is at each pixel's centre; NO_COVER where nothing is said.

        Raises:
            InputError: the file can't be used, or has a number there that `names` lacks.
        """
        import rasterio
        from rasterio.enums import Resampling
        from rasterio.warp import reproject

        found = np.full(frame.shape, _UNREAD, np.int32)
        with self._opened() as source:
            reproject(
                rasterio.band(source, 1), found, src_nodata=source.nodata, dst_transform=frame.transform,
                dst_crs=frame.crs, resampling=Resampling.nearest, init_dest_nodata=False,
            )  # fmt: skip
        numbers, where = np.unique(found, return_inverse=True)
        if unknown := set(numbers.tolist()) - {_UNREAD} - self.names.keys():
            raise InputError(
                f"evaluation.land_cover: {self.path} has class {min(unknown)}, which evaluation.cover_classes has no "
                "name for: add it"
            )
        place = {name: number for number, name in enumerate(cover_names(self.names))}
        places = [NO_COVER if number == _UNREAD else place[self.names[number]] for number in numbers.tolist()]
        return np.asarray(places, np.int16)[where].reshape(frame.shape)

    @contextmanager
    def _opened(self) -> "Iterator[DatasetReader]":
        from rasterio.errors import RasterioError

        origin = f"evaluation.land_cover: {self.path}"
        try:
            with open_raster(self.path) as source:
                if source.count != 1 or not np.can_cast(source.dtypes[0], np.int32):
                    bands = f"{source.count} bands of {source.dtypes[0]}"
                    raise InputError(f"{origin} has {bands}: give one of whole numbers, a class each")
                usable_crs(source.crs, origin)
                yield source
        except (OSError, RasterioError) as error:
            raise InputError(f"{origin} can't be read ({error}): give a GeoTIFF, or leave the setting empty") from error


def cover_names(names: Mapping[int, str]) -> list[str]:
    """The classes, each once."""
    return list(dict.fromkeys(names.values()))


def areas_by_cover(
    called: Mask, ground: ScoredGround, places: NDArray[np.int16] | None, classes: list[str]
) -> dict[str, Any]:
    """What burned, is called burnt, and both, by class, in columns of contract MAP_SCORES.

    Places are those of `LandCover.of`, None where none is set, among classes of `cover_names`.
    """
    if places is None:
        return dict(NO_AREAS)
    known = ground.judged & (places != NO_COVER)
    judged, *pixels = (
        np.bincount(places[known & mask], minlength=len(classes))
        for mask in (known, ground.burnt, called, ground.burnt & called)
    )
    there = judged > 0
    areas = {name: (counts[there] * ground.pixel_ha).tolist() for name, counts in zip(AREAS, pixels, strict=True)}
    unknown = 1 - known.sum() / ground.judged.sum() if ground.judged.any() else np.nan
    return areas | {"cover": np.array(classes)[there].tolist(), "no_cover": float(unknown)}


def by_class(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each class with the fires (MAP_SCORES) that burned or are mapped on ground of it, and the areas there alone."""
    apart = rows.drop(columns=list(AREAS.values())).explode(["cover", *AREAS]).rename(columns=AREAS)
    apart = apart.astype(dict.fromkeys(AREAS.values(), float))
    yield from apart[apart["burnt_ha"] + apart["mapped_ha"] > 0].groupby("cover")


def dominant_cover(rows: pd.DataFrame) -> NDArray[np.object_]:
    """(n,) the class on which most of each fire burned; None where no class is known."""
    classes, areas = rows["cover"], rows["cover_burnt_ha"]
    most = [c[int(np.argmax(ha))] if any(ha) else None for c, ha in zip(classes, areas, strict=True)]
    return np.array(most, dtype=object)
