"""Our stages of imagery as plain function calls: `python -m kit.our_stages STAGE DATASET WINDOWS WORKERS`.

STAGE is `windows` (write_windows), `matches` (match_scenes) or `tiles` (materialize_tiles, which reads the matches
that the stage before it left beside the table of windows). Prints what it came to, as one JSON line.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from burnscar_assets.settings import ImagerySettings


def windows(table: gpd.GeoDataFrame, dataset: Path, matches: Path, settings: ImagerySettings) -> int:
    """Write the windows with their labels; how many were made."""
    from burnscar_assets.dataset.windows import write_windows

    return write_windows(table, dataset).made


def match(table: gpd.GeoDataFrame, dataset: Path, matches: Path, settings: ImagerySettings) -> int:
    """Match all windows; how many found scenes."""
    from burnscar_assets.catalog.matching import match_scenes

    rows, summary = match_scenes(table, dataset, settings)
    rows.to_parquet(matches)
    return summary.matched


def tiles(table: gpd.GeoDataFrame, dataset: Path, matches: Path, settings: ImagerySettings) -> int:
    """Make all tiles; how many are complete."""
    from burnscar_assets.dataset.materialize import materialize_tiles

    return materialize_tiles(table, pd.read_parquet(matches), dataset, settings)[1].complete


def on_one_window(stage: Any, rows: gpd.GeoDataFrame, dataset: Path) -> None:
    """Run a stage on a dataset of one window, which goes: what is timed afterwards has its modules imported."""
    with tempfile.TemporaryDirectory(dir=dataset.parent) as folder:
        shutil.copy(dataset / "config.json", folder)
        stage(rows[:1], Path(folder), Path(folder) / "matches.parquet", ImagerySettings())


STAGES: dict[str, Any] = {"windows": windows, "matches": match, "tiles": tiles}


def main(stage: str, dataset: Path, table: Path, workers: int) -> None:
    """Run one stage on a dataset."""
    rows = gpd.read_parquet(table)
    if stage == "windows":
        on_one_window(windows, rows, dataset)
    matches = dataset.with_name(f"{dataset.name}-matches.parquet")
    begin = time.perf_counter()
    settings = ImagerySettings(workers=workers, allowed_hosts=(str(dataset.parents[1]),))
    done = STAGES[stage](rows, dataset, matches, settings)
    print(json.dumps({"done": done, "wall_s": time.perf_counter() - begin}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
