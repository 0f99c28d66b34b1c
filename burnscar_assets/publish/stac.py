"""The STAC item of a map's folder: where, when, from what, and which file is what."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import shapely

from burnscar_assets.mapping.frame import Frame
from burnscar_assets.mapping.grid import NO_ANSWER
from burnscar_assets.mapping.ground import OLD_SCAR, OTHER_BURN, REFUSED_SCAR, SEEN
from burnscar_assets.mapping.mosaic import Validity
from burnscar_assets.mapping.severity import NO_SEVERITY, SEVERITY_CLASSES
from burnscar_assets.mapping.spec import MAP_FILE
from burnscar_assets.publish import rasters
from burnscar_assets.publish.aoi import polygons_of
from burnscar_assets.publish.rasters import Raster
from burnscar_assets.text import clean

ITEM_FILE: Final = "item.json"
COLLECTION_FILE: Final = "collection.json"
CATALOGUE_FILE: Final = "catalog.json"
STAC_VERSION: Final = "1.1.0"
JSON_TYPE: Final = "application/json"
GEOJSON_TYPE: Final = "application/geo+json"
PARQUET_TYPE: Final = "application/vnd.apache.parquet"

MAP_FOLDER: Final = re.compile(r"(?:fire_year|in_season)=\d+|aoi")
"""Names of folders whose sub-folders are maps: held-out fires, fires in season, areas of interest."""

SHA256_MULTIHASH: Final = "1220"
"""What a SHA-256 begins with as a multihash: its code, and its length of 32 bytes."""

_EXTENSIONS: Final = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("classification/v2.0.0", "file/v2.1.0", "projection/v2.0.0", "raster/v1.1.0")
)
"""Of raster the version that pystac knows; STAC 1.1 itself says type and no-data value once more, of the asset."""

_TYPES: Final = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": PARQUET_TYPE,
    ".geojson": GEOJSON_TYPE,
    ".json": JSON_TYPE,
}
_TITLES: Final = {
    ".gpkg": "Burned ground and official perimeter as polygons",
    ".parquet": "Burned ground as polygons, in the map's coordinate system",
    ".geojson": "Burned ground as polygons, in longitude and latitude",
    ".json": "Figures and provenance",
}
_RASTERS: Final = {raster.file: raster for raster in rasters.ALL}
_UNITS: Final = {rasters.ACQUIRED: "d"}
_SCALES: Final = {rasters.AFTER: 1e-4, rasters.BEFORE: 1e-4}
"""From digital numbers, whose offset the engine has taken off, to reflectance."""

StacDict = dict[str, Any]


def collection_id(folder: str) -> str:
    """Id of the collection of a folder of maps, by the folder's name; no two kinds of maps share one."""
    kind, _, year = folder.rpartition("=")
    return f"burned-area-in-season-{year}" if kind == "in_season" else f"burned-area-{year}"


def map_item(record: Mapping[str, Any], frame: Frame, folder: Path, place: Path) -> StacDict:
    """The item; all its addresses are relative, so that the folder can be moved.

    It leads to the collection in the folder above, and to the catalogue above that. `map.json` alone has no checksum:
    it holds the item's own. The record has the SHA-256 of each file under `files`. The files are in `folder` now, and
    will be in `place`, whose name is the item's id.
    """
    area = polygons_of(frame.footprint)
    producers = _producers(record)
    properties = _properties(record, frame, place.name)
    if producers:
        properties["providers"] = [_provider(by, what) for what, by in producers.items()]
    sums = {name: _file(folder / name, sha256) for name, sha256 in sorted(record["files"].items())}
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(_EXTENSIONS),
        "id": place.name,
        "collection": collection_id(place.parent.name),
        "geometry": shapely.geometry.mapping(area),
        "bbox": list(area.bounds),
        "properties": properties,
        "links": [
            link("root", f"../../{CATALOGUE_FILE}", JSON_TYPE),
            link("parent", f"../{COLLECTION_FILE}", JSON_TYPE),
            link("collection", f"../{COLLECTION_FILE}", JSON_TYPE),
            link("self", f"./{ITEM_FILE}", GEOJSON_TYPE),
            *(
                link("license", by["terms"], "text/html", title=f"{by['name']}: terms of use")
                for by in producers.values()
                if by["terms"]
            ),
        ],
        "assets": {
            name: _asset(name, frame, record["imagery"]["shown"]) | sums.get(name, {})
            for name in sorted({*sums, MAP_FILE})
        },
    }


def _properties(record: Mapping[str, Any], frame: Frame, name: str) -> StacDict:
    """The item's properties but for providers; `name` is the title where neither fire nor area has one."""
    simulated = " (SIMULATED imagery)" if record["simulated"] else ""
    return {
        "datetime": None,
        "start_datetime": f"{record['start']}T00:00:00Z",
        "end_datetime": f"{record['end']}T23:59:59Z",
        "title": f"Burned area, {clean(record['fire_name'] or record['aoi_name'] or name)}{simulated}",
        "proj:code": f"EPSG:{frame.epsg}",
        "proj:shape": list(frame.shape),
        "proj:transform": list(frame.transform)[:6],
        "gsd": frame.resolution_m,
        "burnscar:simulated": record["simulated"],
        "burnscar:sensor": record["imagery"]["sensor"],
        "burnscar:source": record["source"],
        "burnscar:setup": record["setup"],
        "burnscar:weights_sha256": record["checkpoint"]["weights_sha256"],
        "burnscar:area_ha": record["area_ha"],
    }


def _producers(record: Mapping[str, Any]) -> dict[str, Any]:
    """Who made what the map contains and is no simulation, by what that is."""
    imagery = record["imagery"]
    contained = {"Official fire perimeters.": record["perimeter_producer"]}
    if not record["simulated"]:
        contained = {f"{imagery['sensor']} imagery.": imagery["producer"]} | contained
    return {what: by for what, by in contained.items() if by}


def _provider(producer: Mapping[str, str], what: str) -> StacDict:
    """Who made something that the map contains, as STAC has it."""
    return {
        "name": producer["name"],
        "roles": ["licensor", "producer"],
        "url": producer["url"],
        "description": what,
    }


def link(rel: str, href: str, media_type: str, **more: str) -> StacDict:
    """A link of a STAC object."""
    return {"rel": rel, "href": href, "type": media_type, **more}


def _file(path: Path, sha256: str) -> StacDict:
    return {"file:checksum": f"{SHA256_MULTIHASH}{sha256}", "file:size": path.stat().st_size}


def _asset(file: str, frame: Frame, shown: Sequence[str]) -> StacDict:
    ending = Path(file).suffix
    raster = _RASTERS.get(file)
    asset: StacDict = {
        "href": f"./{file}",
        "type": _TYPES[ending],
        "title": raster.description if raster else _TITLES[ending],
        "roles": ["metadata"] if ending == ".json" else ["data"],
    }
    return asset if raster is None else asset | _pixels(raster, frame.resolution_m, shown)


def _pixels(raster: Raster, resolution_m: float, shown: Sequence[str]) -> StacDict:
    """What the pixels of a raster are: of the asset as STAC 1.1 has it, of its bands as the raster extension does."""
    values: StacDict = {"data_type": raster.dtype}
    if raster.nodata is not None:
        values["nodata"] = raster.nodata
    if raster in _UNITS:
        values["unit"] = _UNITS[raster]
    numbers = values | {"spatial_resolution": resolution_m, "sampling": "area"}
    if raster in _SCALES:
        numbers["scale"] = _SCALES[raster]
    found = values | {
        "bands": [{"name": name or raster.name} for name in (shown if raster in _SCALES else raster.bands)],
        "raster:bands": [numbers] * len(raster.bands),
    }
    classes = _CLASSES.get(raster)
    return found if classes is None else found | {"classification:classes": classes}


def _class(value: int, title: str, colour: str | None = None, *, nodata: bool = False) -> StacDict:
    found: StacDict = {"value": int(value), "name": title.replace(" ", "-"), "title": title, "nodata": nodata}
    return found if colour is None else found | {"color_hint": colour.removeprefix("#").upper()}


_CLASSES: Final = {
    rasters.BURNED: [_class(0, "unburnt"), _class(1, "burnt"), _class(NO_ANSWER, "no answer", nodata=True)],
    rasters.SEVERITY: [
        _class(NO_SEVERITY, "no data", nodata=True),
        *(_class(severity.code, severity.name, severity.colour) for severity in SEVERITY_CLASSES),
    ],
    rasters.VALIDITY: [
        _class(Validity.VALID, "valid"),
        _class(Validity.UNCLEAR, "cloud or shadow"),
        _class(Validity.NO_DATA, "no data", nodata=True),
    ],
    rasters.GROUND: [
        _class(0, "none of these"),
        _class(SEEN, "trained on"),
        _class(OTHER_BURN, "another burn of the season"),
        _class(OLD_SCAR, "older scar"),
        _class(REFUSED_SCAR, "old scar by the image before, called burnt by the model"),
    ],
}
