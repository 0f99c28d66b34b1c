"""The STAC item of a map's folder: where, when, from what, and which file is what."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import shapely

from burnscar_assets.mapping.aoi import polygons_of
from burnscar_assets.mapping.frame import Frame

ITEM_FILE: Final = "item.json"
STAC_VERSION: Final = "1.1.0"
PROJECTION: Final = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_TYPES: Final = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
    ".geojson": "application/geo+json",
    ".json": "application/json",
}


def map_item(record: Mapping[str, Any], frame: Frame, files: Iterable[str], name: str) -> dict[str, Any]:
    """The item; all its addresses are relative, so that the folder can be moved.

    Args:
        record: what `map.json` says.
        frame: the map's grid.
        files: names of the folder's files.
        name: of the folder.
    """
    place = polygons_of(frame.footprint)
    simulated = " (SIMULATED imagery)" if record["simulated"] else ""
    properties = {
        "datetime": None,
        "start_datetime": f"{record['start']}T00:00:00Z",
        "end_datetime": f"{record['end']}T23:59:59Z",
        "title": f"Burned area, {record['fire_name'] or record['aoi_name']}{simulated}",
        "proj:code": f"EPSG:{frame.epsg}",
        "proj:shape": list(frame.shape),
        "proj:transform": list(frame.transform)[:6],
        "gsd": frame.resolution_m,
        "burnscar:simulated": record["simulated"],
        "burnscar:setup": record["setup"],
        "burnscar:weights_sha256": record["checkpoint"]["weights_sha256"],
        "burnscar:area_ha": record["area_ha"],
    }
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [PROJECTION],
        "id": name,
        "geometry": shapely.geometry.mapping(place),
        "bbox": list(place.bounds),
        "properties": properties,
        "links": [{"rel": "self", "href": f"./{ITEM_FILE}", "type": "application/geo+json"}],
        "assets": {file: _asset(file) for file in sorted(files)},
    }


def _asset(file: str) -> dict[str, Any]:
    ending = file[file.rindex(".") :]
    roles = ["metadata"] if ending == ".json" else ["data"]
    return {"href": f"./{file}", "type": _TYPES[ending], "roles": roles}
