"""A tiny archive of Sentinel-2 files, windows over it, and a web server in front of it."""

import functools
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.transform import from_origin

from burnscar_assets.catalog.stac_index import StacDict, write_index
from burnscar_assets.dataset.config import open_dataset, write_dataset_config
from burnscar_assets.demo.spectra import BAND_RESOLUTION_M, BANDS
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.contracts import WINDOWS
from burnscar_assets.storage.paths import DataRoot

EPSG = 32610
LEFT, TOP = 600_000, 4_300_020
SIDE_M = 2_400
YEAR = 2022
WINDOW_PX = 32


@dataclass(frozen=True)
class SmallScene:
    """One scene: where, when, how cloudy, and whether its files carry the offset."""

    name: str
    time: str = "2022-08-10T18:50:00Z"
    cloud: float | None = 10.0
    baseline: str = "02.14"
    east_m: int = 0
    surface: int = 0
    """Scenes of one surface have the same reflectance, whatever their offset."""

    def reflectance(self, band: str) -> np.ndarray:
        """Digital numbers without the offset, (rows, columns) at the band's resolution."""
        count = SIDE_M // BAND_RESOLUTION_M[band]
        seed = np.random.default_rng([self.surface, BANDS.index(band)])
        return seed.integers(1, 6000, (count, count)).astype("uint16")


def write_scene(folder: Path, scene: SmallScene, keys: dict[str, str] | None = None) -> StacDict:
    """Write a scene's files into a folder of its own; returns its STAC item, with relative addresses."""
    place = folder / scene.name
    place.mkdir(parents=True, exist_ok=True)
    offset = 1000 if float(scene.baseline) >= 4 else 0
    assets = {}
    for band in BANDS:
        size = BAND_RESOLUTION_M[band]
        pixels = scene.reflectance(band) + np.uint16(offset)
        profile = {
            "driver": "COG",
            "width": pixels.shape[1],
            "height": pixels.shape[0],
            "count": 1,
            "dtype": "uint16",
            "crs": f"EPSG:{EPSG}",
            "transform": from_origin(LEFT + scene.east_m, TOP, size, size),
            "nodata": 0,
            "blocksize": 128,
        }
        with rasterio.open(place / f"{band}.tif", "w", **profile) as sink:
            sink.write(pixels, 1)
        assets[(keys or {}).get(band, band)] = {"href": f"./{scene.name}/{band}.tif", "roles": ["data"]}
    properties = {"datetime": scene.time, "eo:cloud_cover": scene.cloud, "s2:processing_baseline": scene.baseline}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": scene.name,
        "geometry": shapely.geometry.mapping(footprint(scene)),
        "properties": {key: value for key, value in properties.items() if value is not None},
        "links": [],
        "assets": assets,
    }


def footprint(scene: SmallScene) -> shapely.Polygon:
    """Outline of a scene in degrees."""
    box = shapely.box(LEFT + scene.east_m, TOP - SIDE_M, LEFT + scene.east_m + SIDE_M, TOP)
    to_wgs84 = pyproj.Transformer.from_crs(EPSG, 4326, always_xy=True).transform
    return shapely.transform(box, lambda xy: np.column_stack(to_wgs84(xy[:, 0], xy[:, 1])))


def write_archive(folder: Path, *scenes: SmallScene) -> Path:
    """Write scenes and their index; returns the index."""
    items = [write_scene(folder, scene) for scene in scenes]
    write_index(items, folder / "index.parquet")
    return folder / "index.parquet"


def make_dataset(root: DataRoot, index: str | Path, *, packed: bool = False, **settings: object) -> ImagerySettings:
    """Write the dataset's configuration for an archive, in rslearn's own layout or packed; returns the settings."""
    if not packed:
        given = CONFIGS_DIR / str(settings.get("dataset_config", "dataset.json"))
        layers = json.loads(given.read_text())["layers"]
        in_folders = root.path / "in-folders.json"
        write_json(in_folders, {"layers": layers})
        settings |= {"dataset_config": str(in_folders)}
    imagery = ImagerySettings(archive=str(index), retry_backoff_s=0, **settings)
    write_dataset_config(imagery, root)
    return imagery


def make_windows(
    root: DataRoot,
    places: list[tuple[int, int]],
    start: str = "2022-08-01",
    end: str = "2022-08-31",
    prefix: str = "w",
    before: tuple[str, str] = ("NaT", "NaT"),
) -> gpd.GeoDataFrame:
    """Windows by their offset from the archive's corner (columns, rows); returns the windows table.

    `before` is the first day, and the first day after, of imagery before the fire.
    """
    from rslearn.dataset import Window
    from rslearn.utils.geometry import Projection

    storage = open_dataset(root.dataset).storage
    projection = Projection(CRS.from_epsg(EPSG), 10, -10)
    times = tuple(datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, end))
    rows = []
    for number, (column, row) in enumerate(places):
        left, upper = LEFT // 10 + column, -TOP // 10 + row
        bounds = (left, upper, left + WINDOW_PX, upper + WINDOW_PX)
        name = f"{prefix}{number}"
        Window(storage, str(YEAR), name, projection, bounds, times, {"split": "train"}).save()
        rows.append(
            {
                "window_id": name,
                "fire_year": YEAR,
                "point_id": name,
                "fire_id": f"fire{number % 3}",
                "cluster_id": "c",
                "stratum": "burnt" if number % 2 else "ring",
                "category": "burnt" if number % 2 else "unburnt",
                "split": "train",
                "utm_epsg": EPSG,
                "min_col": left,
                "min_row": upper,
                "size_px": WINDOW_PX,
                "resolution_m": 10.0,
                "start_time": times[0],
                "end_time": times[1],
                "before_start": pd.Timestamp(before[0]),
                "before_end": pd.Timestamp(before[1]),
                "burnt_share": np.nan,
                "unlabelled_share": np.nan,
                "label_hash": "",
                "geometry": shapely.box(left * 10, -(upper + WINDOW_PX) * 10, (left + WINDOW_PX) * 10, -upper * 10),
            }
        )
    return WINDOWS.conform(gpd.GeoDataFrame(pd.DataFrame(rows), geometry="geometry", crs=EPSG))


def tree_state(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _nowhere(path: str, before: int) -> str:
    return ""


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files, parts of them too."""

    requests: list[str]
    failing: dict[str, int]
    elsewhere: Callable[[str, int], str] = staticmethod(_nowhere)

    def do_HEAD(self) -> None:
        """Tell of a file."""
        if not self._moved():
            super().do_HEAD()

    def _moved(self) -> bool:
        """Whether the request was answered with a redirect."""
        there = self.elsewhere(self.path, self.requests.count(self.path))
        if there:
            self.requests.append(self.path)
            self.send_response(302)
            self.send_header("Location", there)
            self.send_header("Content-Length", "0")
            self.end_headers()
        return bool(there)

    def do_GET(self) -> None:
        """Serve a file, or the part that is asked for."""
        if self._moved():
            return
        self.requests.append(self.path)
        if self.failing.get(self.path, 0) > 0:
            self.failing[self.path] -= 1
            self.send_error(503)
            return
        wanted = self.headers.get("Range")
        path = Path(self.translate_path(self.path))
        if not wanted or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        first, last = wanted.removeprefix("bytes=").split("-")
        start, end = int(first), min(int(last or len(content) - 1), len(content) - 1)
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        self.send_header("Content-Length", str(end - start + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        self.wfile.write(content[start : end + 1])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serve(
    folder: Path,
    failing: dict[str, int] | None = None,
    certificate: Path | None = None,
    elsewhere: Callable[[str, int], str] = _nowhere,
) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder on 127.0.0.1; yields its address and the paths that were asked for.

    Paths of `failing` answer that the server is unavailable, so many times. With a certificate and its key in one file
    the server is encrypted, and goes by `localhost`. `elsewhere` says where a path leads that was asked for so often
    before; empty where it stays.
    """
    requests: list[str] = []
    handler = type(
        "Handler",
        (RangeHandler,),
        {"requests": requests, "failing": failing or {}, "elsewhere": staticmethod(elsewhere)},
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    origin = f"http://127.0.0.1:{server.server_address[1]}"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        origin = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield origin, requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
