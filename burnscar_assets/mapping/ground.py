"""Ground that a map must not be judged on: what its checkpoint was trained on, and what other fires burned."""

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import BurnscarError, InputError
from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import TABLE_CRS, read_years
from burnscar_assets.training.manifest import CheckpointManifest
from burnscar_assets.training.plan import seen_windows, windows_of

SEEN, OTHER_FIRE = 1, 2
"""Codes of `Ground.codes`; 0 is neither."""


@dataclass(frozen=True)
class Ground:
    """What is known beforehand of a map's ground; geometries in EPSG:4326.

    Attributes:
        seen: where the checkpoint was trained, or its best epoch chosen.
        other_fires: where other fires of the map's fire year burned.
    """

    seen: shapely.Geometry
    other_fires: shapely.Geometry

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return bool(self.seen.is_empty and self.other_fires.is_empty)

    def codes(self, frame: Frame, box: Box) -> npt.NDArray[np.uint8]:
        """Of a box's pixels: `SEEN` for all that what was seen touches, `OTHER_FIRE`, or 0."""
        codes = np.zeros((box.height, box.width), np.uint8)
        codes[frame.covers(self.other_fires, box)] = OTHER_FIRE
        codes[frame.covers(self.seen, box, touched=True)] = SEEN
        return codes


@dataclass(frozen=True)
class KnownGround:
    """The ground that a checkpoint has seen, and the fires of a year.

    Attributes:
        seen: windows that training or the choice of the best epoch used, contract WINDOWS.
        fires: perimeters of fires, contract FIRE_PERIMETERS.
    """

    seen: gpd.GeoDataFrame
    fires: gpd.GeoDataFrame

    @classmethod
    def of(cls, root: DataRoot, manifest: CheckpointManifest, layer: str, fire_years: Sequence[int]) -> "KnownGround":
        """What a checkpoint has seen, and the fires of some years.

        Args:
            root: with the set-up's part.
            manifest: of the checkpoint.
            layer: raster layer that it reads.
            fire_years: whose fires are known.

        Raises:
            MissingDataError: windows or tiles of a year that it has seen are missing.
        """
        seen = seen_windows(windows_of(root, manifest, layer))
        return cls(seen, read_years(root, FIRE_PERIMETERS, fire_years))

    def check_unseen(self, fire_id: str) -> None:
        """Check that a fire is held out.

        Raises:
            InputError: the checkpoint was trained on it.
        """
        if (self.seen["fire_id"] == fire_id).any():
            raise InputError(
                f"the checkpoint was trained on fire {fire_id}, so its map would prove nothing: map it by that of "
                "an earlier year, with burnscar map --year"
            )

    def under(self, frame: Frame, fire_id: str | None) -> Ground:
        """What is known of a map's ground; without a fire, fires are not told apart."""
        place = gpd.GeoSeries([frame.footprint], crs=GEOGRAPHIC_CRS).to_crs(TABLE_CRS).iloc[0]
        others = self.fires[self.fires["fire_id"] != fire_id] if fire_id is not None else self.fires[:0]
        return Ground(_near(self.seen, place), _near(others, place))


def _near(rows: gpd.GeoDataFrame, place: shapely.Geometry) -> shapely.Geometry:
    """What of some rows lies about a place, EPSG:4326."""
    near = rows[rows.geometry.intersects(place)]
    return near.to_crs(GEOGRAPHIC_CRS).geometry.union_all() if len(near) else shapely.Polygon()


def known_or_nothing(root: DataRoot, manifest: CheckpointManifest, layer: str) -> KnownGround | None:
    """The ground that a checkpoint has seen; None where its tables are not there, as with one that was fetched."""
    try:
        return KnownGround.of(root, manifest, layer, ())
    except BurnscarError:
        return None
