"""The QGIS project: well formed, and every layer is one that GDAL and OGR open, whatever is missing."""

import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import pyogrio
import pytest
import rasterio
from pyproj import CRS

from burnscar_assets.publish.pages.records import read_map
from burnscar_assets.publish.pages.site import write_pages
from burnscar_assets.publish.qgis import qgis_project
from burnscar_assets.text import clean
from burnscar_assets_tests.publish.page_kit import make_map

LONGEST_ID_PASSED_OVER = 10
"""QGIS 3.22 doesn't load layers with an id as short as this."""


@pytest.mark.parametrize("whole", [True, False])
def test_layers_are_those_that_are_there_and_open_from_the_projects_folder(tmp_path: Path, whole: bool) -> None:
    folder = make_map(tmp_path / "F1", size=(40, 60), before=whole, perimeter=whole, crs="EPSG:32611")
    root = ElementTree.fromstring(qgis_project(read_map(folder)))
    ids = [layer.get("id") for layer in root.iter("layer-tree-layer")]
    described = {layer.findtext("id"): layer for layer in root.iter("maplayer")}
    assert list(described) == ids and len(set(ids)) == len(ids)
    assert all(len(name or "") > LONGEST_ID_PASSED_OVER for name in ids)
    for layer in described.values():
        file, _, name = (layer.findtext("datasource") or "").partition("|layername=")
        assert file.startswith("./"), "paths are relative to the project"
        if layer.get("type") == "vector":
            assert pyogrio.read_info(folder / file, layer=name)["features"] > 0
        else:
            with rasterio.open(folder / file) as raster:
                bands = [int(value) for key, value in layer.find("pipe/rasterrenderer").items() if key.endswith("and")]
                assert all(1 <= band <= raster.count for band in bands if band > 0)
        assert CRS(layer.findtext("srs/spatialrefsys/authid")) == CRS("EPSG:32611")
    there = {name.removeprefix("burnscar_assets_") for name in described if name}
    optional = {"before", "severity", "perimeter"}
    assert there == {"burned", "validity", "probability", "after"} | (optional if whole else set())


@pytest.mark.parametrize(
    "name", ["A\x00\x1b[31mB\ud800\uffff", "<!DOCTYPE x [\x07]>", "]]>&amp;\x0c", "\u202eCA\u00d1ON"]
)
def test_any_name_of_a_map_leaves_the_project_and_the_pages_readable(tmp_path: Path, name: str) -> None:
    folder = make_map(tmp_path / "maps" / "F1", size=(40, 60), fire_name=name)
    root = ElementTree.fromstring(qgis_project(read_map(folder)))
    assert root.findtext("title") == f"{clean(name)} (simulated imagery)"
    write_pages(folder.parent, title=name, simulated=False)
    for page in tmp_path.rglob("*.html"):
        text = page.read_bytes().decode("utf-8")
        assert not [c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cs")]
        assert "\u202e" not in text
