"""The settings of a new world of a region, as a file for people to edit."""

from pathlib import Path
from typing import Final

import yaml

from burnscar_assets.environment import shipped_files
from burnscar_assets.errors import SettingsError
from burnscar_assets.regions.load import DEFAULT, load_region
from burnscar_assets.settings.world import parse_settings
from burnscar_assets.sources.load import FOLDER as SOURCES
from burnscar_assets.storage.atomic import storage_errors, write_if_changed

_WORLD: Final = """\
# Written by burnscar init. Edit it as you like; burnscar doctor, plan, refresh and ui follow it with --config.
name: {name}
region: {region} # {title}: tables in {crs}, days of {time_zone}
years: {{first: 2019}} # {years}
release:
  {source}
perimeters:
  # Records without a containment date are left out; with a number, fires are taken to end so many days after the alarm,
  # and images after them count from there.
  assumed_duration_days: null
sampling:
  land: null # vector file of the land to sample, under the data root; empty: the region's coarse outline
imagery:
  dataset_config: dataset-planetary-computer.json # Sentinel-2 from Planetary Computer
  workers: 8
training:
  model: {{variant: v1_2-base}} # OlmoEarth; v1_2-nano does without much of a GPU
  max_epochs: 30
  loader_workers: 8
  early_stop_epochs: 8
evaluation:
  ecoregions: null # vector file of ecoregions, under the data root: metrics by ecoregion too
  land_cover: null # raster of land cover, under the data root, such as ESA WorldCover: scores of maps by class
# Left out are those that train more networks a year, or want other layers (see their files); tutorial is the own one.
setups:
  exclude: [tutorial, "olmoearth-*", "galileo*", presto, prithvi, terramind, dnbr-threshold, "*-change", "*-pre-post"]
automation:
  enabled: false # true: a daemon follows releases by itself, and first makes every year that is missing, up to tiles
"""

_FRAP: Final = (
    "source: https://services1.arcgis.com/jUJYIo9tSA7EHvfZ/arcgis/rest/services/California_Historic_Fire_Perimeters/"
    "FeatureServer/0"
)
_OWN: Final = (
    "source: perimeters.gpkg # under the data root: GeoPackage, shapefile, zip, … or the address of an ArcGIS layer"
    "\n  format: table # whose they are: {sources}, or your own sources/NAME.yaml beside this file"
    "\n  # fields: {{fire_name: NAME, start: START, end: END}} # where a table's fields are called otherwise"
)


def world_text(name: str, region_name: str) -> str:
    """The settings of a new world, with comments.

    Raises:
        SettingsError: there is no such region, or its file has mistakes.
    """
    region = load_region(region_name)
    sources = [path.stem for path in shipped_files(SOURCES)]
    first, last = region.first_day(2019), region.first_day(2020)
    return _WORLD.format(
        name=yaml.safe_dump(name, default_style='"', width=1000).strip(),
        region=region_name,
        title=region.title,
        crs=region.crs,
        time_zone=region.time_zone,
        years=f"fire year 2019 begins on {first:%Y-%m-%d} and ends before {last:%Y-%m-%d}",
        source=_FRAP if region.name == DEFAULT else _OWN.format(sources=", ".join(sources)),
    )


def write_world(path: Path, region_name: str) -> None:
    """Write the settings of a new world.

    Args:
        path: the file; what is there already stays.
        region_name: as `region` in settings.

    Raises:
        SettingsError: the file is there, or there is no such region.
        StorageError: it can't be written.
    """
    if path.exists():
        raise SettingsError(f"{path} is there already: give another name, or delete it")
    text = world_text(path.stem, region_name)
    parse_settings(yaml.safe_load(text), str(path))
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_if_changed(path, text.encode())
