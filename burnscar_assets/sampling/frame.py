"""The sampling frame: the fires to sample, and what says where their windows may be."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd

from burnscar_assets.sampling.clusters import fire_clusters, fire_splits
from burnscar_assets.sampling.lattice import Cells, Lattice
from burnscar_assets.sampling.randomness import Hashes, key_of, mix
from burnscar_assets.sampling.selection import select_fires
from burnscar_assets.sampling.splits import GroundMap, SplitMap
from burnscar_assets.settings import SamplingSettings


@dataclass(frozen=True)
class SamplingFrame:
    """What points are drawn from.

    Fires are ordered by fire_id, with index 0…n-1 (their numbers), the columns of table `fire_perimeters` and
    cluster_id and split, in the region's CRS.
    """

    fires: gpd.GeoDataFrame
    lattice: Lattice
    split_map: GroundMap
    settings: SamplingSettings

    @classmethod
    def of(
        cls,
        perimeters: gpd.GeoDataFrame,
        settings: SamplingSettings,
        side_m: float,
        ground: GroundMap | None = None,
    ) -> Self:
        """The frame of a fire year: its selected fires, each with the cluster and split that all fires give it."""
        split_map = ground or SplitMap(settings.splits)
        clusters = fire_clusters(perimeters, settings)
        selected = select_fires(perimeters, settings)
        fires = selected.assign(
            cluster_id=clusters.loc[selected["fire_id"]].to_numpy(),
            split=fire_splits(perimeters, clusters, split_map).loc[selected["fire_id"]].to_numpy(dtype=str),
        )
        return cls(fires, Lattice(side_m), split_map, settings)

    @property
    def least_m(self) -> float:
        """Least distance between points, metres."""
        return self.settings.spacing_windows * self.lattice.side_m

    @cached_property
    def splits(self) -> npt.NDArray[np.str_]:
        """Split of each fire."""
        return self.fires["split"].to_numpy(dtype=str)

    def keys(self, purpose: str) -> Hashes:
        """One key a fire for a random choice, named by its purpose."""
        seed = self.settings.seed
        return np.array([key_of(purpose, seed, str(fire_id)) for fire_id in self.fires["fire_id"]], dtype=np.uint64)

    def chances(self, purpose: str, fire: npt.NDArray[np.int64], cells: Cells) -> Hashes:
        """One hash for each pair of fire number and cell."""
        return mix(self.keys(purpose)[fire], cells.utm_epsg, cells.col, cells.row)

    def complexes(self) -> npt.NDArray[np.object_]:
        """Complex of each fire; empty if it is in none."""
        return pd.Series(self.fires["complex_id"]).fillna("").astype(str).str.strip().to_numpy(dtype=object)
