"""STAC items of simulated scenes and the static catalogue around them; every one says that it is simulated."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from rasterio.transform import from_origin
from shapely import MultiPolygon, box, union_all
from shapely.geometry import mapping

from burnscar_assets.demo.plan import ScenePlan, project
from burnscar_assets.demo.scenes import SCL_RESOLUTION_M, outside_swath
from burnscar_assets.demo.spectra import BAND_RESOLUTION_M, BANDS
from burnscar_assets.mapping.frame import outlines
from burnscar_assets.storage.atomic import write_json

CREATED: Final = "2026-01-01T00:00:00Z"
COLLECTION: Final = "sentinel-2-l2a-simulated"
STAC_VERSION: Final = "1.1.0"
EXTENSIONS: Final = (
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
)
TITLE: Final = "SIMULATED Sentinel-2 L2A"
DESCRIPTION: Final = (
    "Simulated scenes made by burnscar_assets: no observation of the Earth. Small granules laid out as Sentinel-2 "
    "L2A (digital numbers, 0 = no data; from 2022-01-25 on with an offset of +1000)."
)
COG_TYPE: Final = "image/tiff; application=geotiff; profile=cloud-optimized"

StacDict = dict[str, Any]


def make_item(scene: ScenePlan, cloud_cover: float, world: str) -> StacDict:
    """The STAC item of a scene; hrefs are relative to the item's own file, beside the bands.

    `cloud_cover` was measured on the scene, percent.
    """
    granule = scene.granule
    footprint = project(data_extent(scene), granule.epsg, "EPSG:4326")
    resolutions = {band: BAND_RESOLUTION_M[band] for band in sorted(BANDS)} | {"SCL": SCL_RESOLUTION_M}
    properties = {
        "datetime": scene.acquired.isoformat().replace("+00:00", "Z"),
        "created": CREATED,
        "title": f"{TITLE} {scene.scene_id}",
        "description": DESCRIPTION,
        "platform": scene.platform,
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": cloud_cover,
        "proj:code": f"EPSG:{granule.epsg}",
        "proj:epsg": granule.epsg,
        "s2:mgrs_tile": granule.mgrs_tile,
        "s2:processing_baseline": scene.baseline,
        "s2:product_type": "S2MSI2A",
        "burnscar:simulated": True,
        "burnscar:world": world,
    }
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": scene.scene_id,
        "collection": COLLECTION,
        "geometry": mapping(footprint),
        "bbox": list(footprint.bounds),
        "properties": properties,
        "links": [],
        "assets": {name: _asset(scene, name, resolution_m) for name, resolution_m in resolutions.items()},
    }


def data_extent(scene: ScenePlan) -> MultiPolygon | Any:
    """Ground that has data, in the granule's zone: the granule without what lies beyond the swath."""
    granule = scene.granule
    if not scene.swath_edge:
        return granule.utm_box
    resolution_m = 60
    inside = ~outside_swath(scene, granule.side_m // resolution_m)
    corner = from_origin(granule.west_m, granule.north_m, resolution_m, resolution_m)
    return union_all(outlines(inside, corner)).convex_hull.intersection(box(*granule.utm_box.bounds))


def rebased(item: StacDict, folder: str) -> StacDict:
    """The item with asset hrefs relative to another file, `folder` being the item's own folder seen from there."""
    assets = {key: asset | {"href": f"{folder}/{asset['href']}"} for key, asset in item["assets"].items()}
    return item | {"assets": assets, "links": []}


def write_catalogue(folder: Path, items: Sequence[StacDict], hrefs: Iterable[str]) -> Path:
    """Write `catalog.json` and `collection.json` into `folder`; items lie at `hrefs` relative to it."""
    bounds = np.array([item["bbox"] for item in items])
    extent = [*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist()]
    times = sorted(item["properties"]["datetime"] for item in items)
    collection = {
        "type": "Collection", "stac_version": STAC_VERSION, "id": COLLECTION, "title": TITLE,
        "description": DESCRIPTION, "license": "CC0-1.0",
        "extent": {"spatial": {"bbox": [extent]}, "temporal": {"interval": [[times[0], times[-1]]]}},
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "./catalog.json", "type": "application/json"},
            *({"rel": "item", "href": f"./{href}", "type": "application/geo+json"} for href in hrefs),
        ],
    }  # fmt: skip
    write_json(folder / "collection.json", collection)
    catalogue = {
        "type": "Catalog", "stac_version": STAC_VERSION, "id": "burnscar-simulated", "title": TITLE,
        "description": DESCRIPTION,
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json"},
            {"rel": "child", "href": "./collection.json", "type": "application/json"},
        ],
    }  # fmt: skip
    write_json(folder / "catalog.json", catalogue)
    return folder / "catalog.json"


def _asset(scene: ScenePlan, name: str, resolution_m: int) -> StacDict:
    granule = scene.granule
    size = granule.side_m // resolution_m
    return {
        "href": f"{name}.tif",
        "type": COG_TYPE,
        "roles": ["data"],
        "gsd": resolution_m,
        "proj:shape": [size, size],
        "proj:transform": [resolution_m, 0, granule.west_m, 0, -resolution_m, granule.north_m],
    }
