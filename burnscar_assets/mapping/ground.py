"""Ground that a map must not be judged on: what its checkpoint was trained on, and what else burned lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import CheckpointError, InputError
from burnscar_assets.evaluation.champion_record import windows_seen
from burnscar_assets.mapping.frame import Box, Frame, project
from burnscar_assets.mapping.spec import MapTask
from burnscar_assets.regions.load import working_region
from burnscar_assets.storage.contracts import BURN_HISTORY, IN_SEASON_BURNS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_years, table_crs

SEEN, OTHER_BURN, OLD_SCAR = 1, 2, 3
"""Codes of `Ground.codes`; 0 is none of these."""

REFUSED_SCAR: Final = 4
"""In a map's raster of ground: what the model calls burnt, and the image before shows as an old scar."""

WITHOUT_ANSWER: Final = (SEEN, OTHER_BURN)
"""Ground that a fire's map isn't judged on; older scars are, since a map that takes them for burnt is wrong."""


@dataclass(frozen=True)
class Ground:
    """What is known beforehand of a map's ground; geometries in EPSG:4326.

    Attributes:
        seen: where the checkpoint was trained, or its best epoch chosen.
        other_burns: where something else burned between the map's two images, or in the fire's season.
        old_scars: where something burned before that, and could still show.
        own: the fire's own perimeter, inside of which the ground burned whatever else burned there.
    """

    seen: shapely.Geometry
    other_burns: shapely.Geometry
    old_scars: shapely.Geometry
    own: shapely.Geometry

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return bool(self.seen.is_empty and self.other_burns.is_empty and self.old_scars.is_empty)

    def codes(self, frame: Frame, box: Box) -> npt.NDArray[np.uint8]:
        """Of a box's pixels: `SEEN` for all that what was seen touches, else `OTHER_BURN`, else `OLD_SCAR`, or 0."""
        codes = np.zeros((box.height, box.width), np.uint8)
        outside = ~frame.covers(self.own, box)
        codes[frame.covers(self.old_scars, box) & outside] = OLD_SCAR
        codes[frame.covers(self.other_burns, box) & outside] = OTHER_BURN
        codes[frame.covers(self.seen, box, touched=True)] = SEEN
        return codes


@dataclass(frozen=True)
class KnownGround:
    """The ground that a checkpoint has seen, and the burns of some years.

    Attributes:
        seen: windows that training or the choice of the best epoch used, with fire_id.
        burns: burns that could show: columns burn_id, burn_year, alarm_date, containment_date and geometry of
            contract BURN_HISTORY.
    """

    seen: gpd.GeoDataFrame
    burns: gpd.GeoDataFrame

    @classmethod
    def of(
        cls, root: DataRoot, checkpoint_year: int, fire_years: Sequence[int], *, in_season: bool = False
    ) -> "KnownGround":
        """What the champion of a year has seen, and the burns that could show in some fire years.

        In season, burns are those of the season too, contained or not, which the release doesn't have yet; else all of
        its records that could show, labels or not.

        Raises:
            CheckpointError: what it has seen is missing or damaged.
        """
        burns = read_years(root, IN_SEASON_BURNS if in_season else BURN_HISTORY, fire_years)
        return cls(windows_seen(root, checkpoint_year), burns)

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

    def under(self, frame: Frame, task: MapTask, since: datetime | None = None) -> Ground:
        """What is known of a map's ground, as `fresh_and_older`; in an area of interest, burns are not told apart."""
        others = self.burns[self.burns["burn_id"] != task.fire_id] if task.fire_id is not None else self.burns[:0]
        in_season, before = fresh_and_older(others, task, since)
        own = task.geometry if task.fire_id is not None else shapely.Polygon()
        return Ground(near(self.seen, frame), near(others[in_season], frame), near(others[before], frame), own)


def fresh_and_older(
    burns: gpd.GeoDataFrame, task: MapTask, since: datetime | None = None
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(n,) burns that a map's images may show as freshly burned, and (n,) those whose scars are older.

    A burn is fresh if it is of the fire's year, or burned at some time from the first day of the image before the fire
    to the last of the image after it (without an image before, from the start of the fire's year); and if nothing says
    when it burned, since then nothing says that it is older. What burned after the image is neither. Burns have the
    columns of `KnownGround.burns`. `since` is when the image before was taken, if that was before the days that it was
    first looked for in.
    """
    start = burns["alarm_date"].fillna(burns["containment_date"])
    end = burns["containment_date"].fillna(start)
    year = burns["burn_year"].to_numpy(dtype=float, na_value=np.nan)
    season = np.nan if task.fire_year is None else float(task.fire_year)
    region = working_region()
    first = since or task.before_start or region.first_day(task.fire_year or region.fire_year(task.start))
    between = ((start < task.end) & (end >= first)).to_numpy(dtype=bool)
    undated = start.isna().to_numpy() & np.isnan(year)
    fresh = (year == season) | between | undated
    later = np.where(np.isnan(year), (start >= task.end).to_numpy(dtype=bool), year > season)
    return fresh, ~fresh & ~later


def near(rows: gpd.GeoDataFrame, frame: Frame) -> shapely.Geometry:
    """What of some rows (in table_crs()) lies in a frame, EPSG:4326."""
    place = project(frame.footprint, GEOGRAPHIC_CRS, table_crs())
    found = rows[rows.geometry.intersects(place)]
    return found.to_crs(GEOGRAPHIC_CRS).geometry.union_all() if len(found) else shapely.Polygon()


def known_or_nothing(root: DataRoot, checkpoint_year: int, fire_years: Sequence[int]) -> KnownGround | None:
    """`KnownGround.of` in season; None where what a champion has seen can't be read."""
    try:
        return KnownGround.of(root, checkpoint_year, fire_years, in_season=True)
    except CheckpointError:
        return None
