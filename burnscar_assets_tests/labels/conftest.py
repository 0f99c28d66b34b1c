"""What tests of the labels share: no waiting between tries, and the attributes of all real fires."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from burnscar_assets.labels import http
from burnscar_assets_tests.labels.label_records import release_records

M2_PER_ACRE = 4046.8564224


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF_S", 0.0)


@pytest.fixture(scope="session")
def statewide_records() -> gpd.GeoDataFrame:
    """The statewide attribute table as records, each on ground of its own; not to be changed in place."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "frap"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}")
    table = pd.read_csv(folder / "attributes_to_2023.csv.gz", dtype={"INC_NUM": str, "COMPLEX_ID": str})
    side_m = np.sqrt(table["GIS_ACRES"].fillna(1.0).to_numpy() * M2_PER_ACRE).clip(max=8_000)
    left, top = (np.arange(len(table)) % 150) * 9_000.0 - 600_000, (np.arange(len(table)) // 150) * -9_000.0 + 700_000
    shapes = shapely.box(left, top - side_m, left + side_m, top)
    return release_records(gpd.GeoDataFrame(table, geometry=shapes, crs=3310))
