"""A bucket of Google Cloud Storage on 127.0.0.1, and Sentinel-2 products in it as Google's public bucket has them."""

import base64
import http.server
import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c
import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

from burnscar_assets.demo.spectra import BAND_RESOLUTION_M, BANDS
from burnscar_assets_tests.catalog.small_archive import EPSG, LEFT, TOP, SmallScene, footprint

BUCKET = "gcp-public-data-sentinel-2"
CELL = "10SFJ"
CELL_BOUNDS = [-121.86, 37.85, -120.5, 38.86]
PAGE = 5
TRUE_COLOUR = "TCI"


@dataclass
class Bucket:
    """Objects by name, and what was asked of them.

    Attributes:
        objects: content by name.
        failing: statuses to answer for an object's download before the next ones.
        downloads: names of the objects that were downloaded whole, in order.
        listings: prefixes that were listed, further pages too.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    failing: dict[str, list[int]] = field(default_factory=dict)
    downloads: list[str] = field(default_factory=list)
    listings: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def images(self) -> list[str]:
        """Downloads of images."""
        return [name for name in self.downloads if name.endswith(".jp2")]

    def add(self, scene: SmallScene, satellite: str = "S2A") -> str:
        """Put a scene's product in the bucket; returns its name."""
        time = scene.time.replace("-", "").replace(":", "").removesuffix("Z")
        baseline = scene.baseline.replace(".", "")
        name = f"{satellite}_MSIL2A_{time}_N{baseline}_R113_T{CELL}_{time}"
        folder = f"L2/tiles/{CELL[:2]}/{CELL[2]}/{CELL[3:]}/{name}.SAFE/"
        images = f"GRANULE/L2A_T{CELL}_A0_{time}/IMG_DATA/"
        stem = f"T{CELL}_{time}_"
        for band in BANDS:
            size = BAND_RESOLUTION_M[band]
            self.objects[f"{folder}{images}R{size}m/{stem}{band}_{size}m.jp2"] = jp2(scene, band)
        self.objects[f"{folder}{images}R10m/{stem}{TRUE_COLOUR}_10m.jp2"] = b"true colour, which nobody reads"
        self.objects[folder + "MTD_MSIL2A.xml"] = metadata(scene, f"{images}R10m/{stem}B02_10m").encode()
        return name

    def list_names(self, query: dict[str, str]) -> dict[str, Any]:
        """One page of a listing."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        self.listings.append(prefix)
        folded = []
        for name in sorted(name for name in self.objects if name.startswith(prefix)):
            rest, mark, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            entry = (bool(mark), prefix + rest + mark if mark else name)
            if entry not in folded:
                folded.append(entry)
        first = int(query.get("pageToken") or 0)
        page = folded[first : first + PAGE]
        answer: dict[str, Any] = {
            "kind": "storage#objects",
            "prefixes": [name for is_folder, name in page if is_folder],
        }
        answer["items"] = [{"kind": "storage#object", "name": name} for is_folder, name in page if not is_folder]
        return answer | ({"nextPageToken": str(first + PAGE)} if first + PAGE < len(folded) else {})


def jp2(scene: SmallScene, band: str) -> bytes:
    """A band's image without loss, its offset as the scene's baseline has it."""
    size = BAND_RESOLUTION_M[band]
    pixels = scene.reflectance(band) + np.uint16(1000 if float(scene.baseline) >= 4 else 0)
    profile = {"driver": "JP2OpenJPEG", "width": pixels.shape[1], "height": pixels.shape[0], "count": 1}
    profile |= {"dtype": "uint16", "crs": f"EPSG:{EPSG}", "QUALITY": 100, "REVERSIBLE": "YES", "nodata": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "band.jp2"
        place = from_origin(LEFT + scene.east_m, TOP, size, size)
        with rasterio.open(path, "w", transform=place, **profile) as sink:
            sink.write(pixels, 1)
        return path.read_bytes()


def metadata(scene: SmallScene, image: str) -> str:
    """What a product says of itself, as far as it is read."""
    ring = shapely.get_coordinates(footprint(scene)).tolist()
    corners = " ".join(f"{north:.9f} {east:.9f}" for east, north in ring)
    offsets = ""
    if float(scene.baseline) >= 4:
        offsets = "".join(f'<BOA_ADD_OFFSET band_id="{i}">-1000</BOA_ADD_OFFSET>' for i in range(13))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<product><PRODUCT_START_TIME>{scene.time.replace("Z", ".000Z")}</PRODUCT_START_TIME>
<IMAGE_FILE>{image}</IMAGE_FILE><offsets>{offsets}</offsets><EXT_POS_LIST>{corners} </EXT_POS_LIST>
<Cloud_Coverage_Assessment>{scene.cloud}</Cloud_Coverage_Assessment></product>"""


class _Handler(http.server.BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        """Answer as the JSON API of Google Cloud Storage."""
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        if address.path == "/tile_index.json":
            self._send_json(200, {CELL: [CELL_BOUNDS]})
            return
        root = f"/storage/v1/b/{BUCKET}/o"
        is_download = address.path.startswith("/download")
        path = address.path.removeprefix("/download")
        if path == root:
            self._send_json(200, self.bucket.list_names(query))
            return
        name = unquote(path.removeprefix(root + "/"))
        if name not in self.bucket.objects:
            self._send_json(404, {"error": {"code": 404, "message": f"No such object: {name}"}})
        elif is_download or query.get("alt") == "media":
            self._download(name)
        else:
            self._send_json(200, {"kind": "storage#object", "name": name, "bucket": BUCKET})

    def _download(self, name: str) -> None:
        if self.bucket.failing.get(name):
            status = self.bucket.failing[name].pop(0)
            self._send_json(status, {"error": {"code": status, "message": "no"}})
            return
        self.bucket.downloads.append(name)
        content = self.bucket.objects[name]
        digest = base64.b64encode(google_crc32c.Checksum(content).digest()).decode()
        self._send(200, content, {"Content-Type": "application/octet-stream", "X-Goog-Hash": f"crc32c={digest}"})

    def _send_json(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json; charset=UTF-8"})

    def _send(self, status: int, payload: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serve_bucket() -> Iterator[Bucket]:
    """Serve an empty bucket; scenes are added to it."""
    bucket = Bucket()
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    bucket.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
