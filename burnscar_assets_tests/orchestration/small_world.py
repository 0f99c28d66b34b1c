"""A small simulated world for tests that run the real chain: few fires, small granules, two epochs."""

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any
from zipfile import ZipFile

import geopandas as gpd
import pyogrio
import yaml

from burnscar_assets.demo.world import Scale, build_world
from burnscar_assets.settings import Settings, load_settings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.demo_settings import demo_alone

OLMOEARTH = {
    "model": {"variant": "v1_2-nano", "allow_random": True, "patch_size": 8},
    "freeze_epochs": 1,
    "batch_size": 16,
    "learning_rate": 1.0e-3,
    "accelerator": "cpu",
}
"""Training of a network with an encoder, from random weights."""

TINY = Scale(granule_m=5400, fires_a_region=2.5)


def write_settings(root: DataRoot, **sections: dict[str, Any]) -> Path:
    """The settings of the small world, as `world.yaml` of its data root; sections replace values of the defaults."""
    content = demo_alone()
    content |= {"name": "small (simulated)", "years": {"first": 2019, "last": 2020}}
    content["sampling"] |= {"points_per_sqrt_window": 6, "max_points_per_fire": 12}
    content["training"] = OLMOEARTH | {"max_epochs": 2, "look_back_years": 1}
    content["demo"] = {"fires_per_year": 7}
    for name, values in sections.items():
        content[name] = content.get(name, {}) | values
    root.path.mkdir(parents=True, exist_ok=True)
    root.world_file.write_text(yaml.safe_dump(content))
    return root.world_file


def make_small_world(root: DataRoot, **sections: dict[str, Any]) -> Settings:
    """Write the settings and build the archive; nothing is materialized."""
    settings = load_settings(write_settings(root, **sections))
    build_world(settings, root, workers=1, scale=TINY)
    return settings


def use_geopackage(root: DataRoot) -> Path:
    """Turn the simulated release into a GeoPackage, which is easy to edit, and have the settings name it."""
    database = root.path / "release.gdb"
    with ZipFile(root.path / "simulated" / "fire_simulated_gdb.zip") as archive:
        for member in archive.namelist():
            if ".gdb" in member or member.startswith("a0"):
                target = database / Path(member).name
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(archive.read(member))
    target = root.path / "release.gpkg"
    for layer, _ in pyogrio.list_layers(database):
        pyogrio.write_dataframe(pyogrio.read_dataframe(database, layer=layer), target, layer=layer, driver="GPKG")
    rmtree(database)
    content = yaml.safe_load(root.world_file.read_text()) | {"release": {"source": "release.gpkg"}}
    root.world_file.write_text(yaml.safe_dump(content))
    return target


def edit_fires(release: Path, edit: Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]) -> None:
    """Edit the wildfires of a GeoPackage, as a corrected release would come: whole, under the same name."""
    layers = {layer: pyogrio.read_dataframe(release, layer=layer) for layer, _ in pyogrio.list_layers(release)}
    edited = release.with_name("edited.gpkg")
    for layer, rows in layers.items():
        pyogrio.write_dataframe(edit(rows) if layer.startswith("firep") else rows, edited, layer=layer, driver="GPKG")
    edited.replace(release)


def grow_a_fire(fires: gpd.GeoDataFrame, fire_year: int) -> gpd.GeoDataFrame:
    """An edit: the first perimeter of a fire year that isn't empty is 60 m wider on all sides."""
    drawn = fires.geometry.notna() & ~fires.geometry.is_empty
    first = fires.index[(fires["YEAR_"] == fire_year) & drawn][:1]
    grown = fires.copy()
    grown.loc[first, "geometry"] = fires.loc[first].geometry.buffer(60)
    return grown
