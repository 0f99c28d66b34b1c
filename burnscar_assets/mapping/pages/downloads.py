"""The files of a map's folder that a person may take away."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

from burnscar_assets.mapping.pages.texts import size

FILES: Final = {
    "map.qgs": "QGIS project with all layers, styled",
    "burned_area.gpkg": "polygons: burned ground, official perimeter (GeoPackage)",
    "burned_area.parquet": "burned ground (GeoParquet)",
    "burned_area.geojson": "burned ground, longitude and latitude (GeoJSON)",
    "probability.tif": "probability of burn, 0 to 1 (COG)",
    "burned.tif": "1 burnt, 0 unburnt, 255 no answer (COG)",
    "severity.tif": "severity class from dNBR (COG)",
    "dnbr.tif": "difference of the normalised burn ratio (COG)",
    "acquired.tif": "day of each pixel, days since 1970-01-01 (COG)",
    "validity.tif": "0 valid, 1 cloud or shadow, 2 no data (COG)",
    "ground.tif": "1 the model was trained on it, 2 another burn of the season, 3 or 4 an older scar (COG)",
    "after.tif": "image after the fire: {bands} (COG)",
    "before.tif": "image before the fire: {bands} (COG)",
    "item.json": "STAC item",
    "map.json": "figures and provenance, for programs",
}


def downloads(folder: Path, bands: str) -> list[dict[str, str]]:
    """Name, link, description and size of each file that is there, what people ask for first at the top.

    Args:
        folder: of the map.
        bands: what its images show as red, green and blue.
    """
    there = {name: folder / name for name in FILES if (folder / name).is_file()}
    return [
        {
            "name": name,
            "href": quote(name),
            "text": FILES[name].replace("{bands}", bands),
            "size": size(path.stat().st_size),
        }
        for name, path in there.items()
    ]
