"""Labelled windows as users of rslearn make them: `python -m kit.peer_windows DATASET WINDOWS WORKERS`.

The same windows as ours, each saved by rslearn's own `Window.save`, its label by rslearn's own format.
"""

import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
from rasterio.crs import CRS
from rslearn.dataset import Dataset, Window  # noqa: TID253
from rslearn.utils import Projection  # noqa: TID253
from rslearn.utils.feature import Feature  # noqa: TID253
from rslearn.utils.vector_format import GeojsonCoordinateMode, GeojsonVectorFormat  # noqa: TID253
from upath import UPath

from burnscar_assets.classes import LABEL_PROPERTY
from burnscar_assets.dataset.windows import LABEL_LAYER, TAGS


def make(dataset_path: Path, rows: list[dict[str, Any]]) -> int:
    """Make the windows of some rows; returns how many."""
    dataset = Dataset(UPath(dataset_path))
    label_format = GeojsonVectorFormat(coordinate_mode=GeojsonCoordinateMode.PIXEL)
    projections: dict[int, Projection] = {}
    for row in rows:
        col, top, size = row["min_col"], row["min_row"], row["size_px"]
        if row["utm_epsg"] not in projections:
            crs = CRS.from_epsg(row["utm_epsg"])
            projections[row["utm_epsg"]] = Projection(crs, row["resolution_m"], -row["resolution_m"])
        window = Window(
            storage=dataset.storage,
            group=str(row["fire_year"]),
            name=row["window_id"],
            projection=projections[row["utm_epsg"]],
            bounds=(col, top, col + size, top + size),
            time_range=(row["start_time"].to_pydatetime(), row["end_time"].to_pydatetime()),
            options={tag: row[tag] for tag in TAGS},
            data_factory=dataset.window_data_storage_factory,
        )
        window.save()
        label = Feature(window.get_geometry(), {LABEL_PROPERTY: row["category"]})
        with window.data.open_layer_writer(LABEL_LAYER) as writer:
            writer.write_vector(label_format, [label])
        window.mark_layer_completed(LABEL_LAYER)
    return len(rows)


def main(dataset: Path, table: Path, workers: int) -> None:
    """Make all windows of a table."""
    rows = gpd.read_parquet(table).drop(columns="geometry").to_dict("records")
    with tempfile.TemporaryDirectory(dir=dataset.parent) as folder:  # as for ours: PROJ and the rest are there then
        shutil.copy(dataset / "config.json", folder)
        make(Path(folder), rows[:1])
    begin = time.perf_counter()
    if workers:
        with multiprocessing.Pool(workers) as pool:
            done = sum(pool.starmap(make, [(dataset, rows[part::workers]) for part in range(workers)]))
    else:
        done = make(dataset, rows)
    print(json.dumps({"done": done, "wall_s": time.perf_counter() - begin}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
