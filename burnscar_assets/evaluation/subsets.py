"""Parts of the windows that metrics are reported for: by fire size, days, ecoregion, stratum, and certain labels."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.classes import BURNT, CLASS_NAMES, Stratum
from burnscar_assets.crs import usable_crs
from burnscar_assets.errors import InputError
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.tables import table_crs

if TYPE_CHECKING:
    import geopandas as gpd

FIRE_SIZE: Final = "fire_size"
DAYS: Final = "days_since_containment"
ECOREGION: Final = "ecoregion"
STRATUM: Final = "stratum"
LABEL: Final = "label"
CERTAIN: Final = "certain"
SCOPES: Final = (FIRE_SIZE, DAYS, ECOREGION, STRATUM, LABEL)


def subsets(predictions: pd.DataFrame, settings: EvaluationSettings) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Every scope and subset that has windows, with (n,) which of the windows are in it.

    Fires' own negatives are in the size and days classes of their fires; land without fire is in none. Strata are
    those of negatives. Windows whose label is certain are a subset of their own, where that is known.

    Args:
        predictions: contract PREDICTIONS.
        settings: bounds of the classes.
    """
    of_fire = (predictions["fire_id"].fillna("") != "").to_numpy(dtype=bool)
    negative = (predictions["category"] != CLASS_NAMES[BURNT]).to_numpy(dtype=bool)
    sizes, days = predictions["fire_area_ha"], predictions[DAYS].astype("Float64")
    named = {
        FIRE_SIZE: classes_of(sizes.where(of_fire), settings.size_classes_ha, "ha"),
        DAYS: classes_of(days.where(of_fire), settings.days_classes, "days"),
        ECOREGION: _names(predictions[ECOREGION], sorted(set(predictions[ECOREGION].dropna().astype(str)) - {""})),
        STRATUM: [
            (name, inside & negative) for name, inside in _names(predictions[STRATUM], [s.value for s in Stratum])
        ],
        LABEL: [(CERTAIN, predictions["label_certain"].fillna(False).to_numpy(dtype=bool))],
    }
    for scope in SCOPES:
        yield from ((scope, name, inside) for name, inside in named[scope] if inside.any())


def classes_of(values: pd.Series, bounds: Sequence[float], unit: str) -> list[tuple[str, NDArray[np.bool_]]]:
    """Every class by its name, with (n,) which of the values are in it; one that isn't known is in none."""
    plain = values.to_numpy(dtype=np.float64, na_value=np.nan)
    number = np.where(np.isnan(plain), -1, np.searchsorted(np.asarray(bounds, dtype=float), plain, side="right"))
    return [(name, number == place) for place, name in enumerate(class_names(bounds, unit))]


def class_names(bounds: Sequence[float], unit: str) -> list[str]:
    """Classes in words: `below 100 ha`, `100 to 1,000 ha`, `1,000 ha and more`."""
    if not bounds:
        return [f"all {unit}"]
    between = [f"{low:,g} to {high:,g} {unit}" for low, high in pairwise(bounds)]
    return [f"below {bounds[0]:,g} {unit}", *between, f"{bounds[-1]:,g} {unit} and more"]


def read_ecoregions(path: Path, field: str) -> "gpd.GeoDataFrame":
    """Ecoregions by name, in the region's CRS.

    Raises:
        InputError: the file can't be read, has no CRS that can be used, or no such field.
    """
    from burnscar_assets.vectors import read_first_layer

    try:
        regions = read_first_layer(path)
    except (InputError, OSError) as error:
        raise InputError(f"evaluation.ecoregions: {path} can't be read ({error}): give a vector file") from error
    usable_crs(regions.crs, f"evaluation.ecoregions: {path}")
    if field not in regions:
        known = ", ".join(map(str, regions.columns.drop("geometry")))
        raise InputError(f"evaluation.ecoregion_field: {path} has no field {field!r}, but {known}")
    return regions[[field, "geometry"]].to_crs(table_crs()).rename(columns={field: ECOREGION})


def ecoregion_of(windows: "gpd.GeoDataFrame", regions: "gpd.GeoDataFrame") -> list[str]:
    """The ecoregion of each window's centre; empty where there is none. Where two overlap, the first by name."""
    import geopandas as gpd

    centres = gpd.GeoDataFrame({"place": range(len(windows))}, geometry=windows.geometry.centroid.to_numpy())
    joined = gpd.sjoin(centres.set_crs(table_crs()), regions, how="left", predicate="within")
    first = joined.sort_values(["place", ECOREGION], kind="stable").drop_duplicates("place")
    return first[ECOREGION].fillna("").astype(str).to_list()


def _names(values: pd.Series, names: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    plain = values.fillna("").astype(str).to_numpy()
    return [(name, plain == name) for name in names]
