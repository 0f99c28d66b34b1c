"""The STAC catalogue of the maps: valid without a network, and every file is reached by relative links."""

import json
import shutil
from pathlib import Path
from typing import Any

import pystac
import pystac.validation
import pytest
import shapely

from burnscar_assets.mapping.pages.site import write_pages
from burnscar_assets_tests.mapping.page_kit import make_map


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Two years and a place of one's own, moved after they were made."""
    made = tmp_path / "made"
    for folder, names in {"fire_year=2020": ("b", "c"), "fire_year=2021": ("d",), "aoi": ("home",)}.items():
        for seed, name in enumerate(names):
            make_map(made / folder / name, seed=seed, size=(40, 40), simulated=folder == "aoi")
        write_pages(made / folder, title=f"Maps of {folder}", simulated=False)
    return Path(shutil.move(made, tmp_path / "moved"))


def check(content: dict[str, Any]) -> None:
    """Against the schemas that pystac brings along; those of extensions are on the web."""
    kind = pystac.STACObjectType(content["type"])
    pystac.validation.validate_dict(content, kind, content["stac_version"], extensions=[])


def test_a_client_finds_every_file_from_the_catalogue(maps: Path) -> None:
    catalogue = pystac.Catalog.from_file(str(maps / "catalog.json"))
    items = {item.id: item for item in catalogue.get_items(recursive=True)}
    assert set(items) == {"b", "c", "d", "home"}
    for item in items.values():
        for asset in item.assets.values():
            assert Path(asset.get_absolute_href() or "").is_file()
    children = {child.id: child for child in catalogue.get_children()}
    assert set(children) == {"burned-area-2020", "burned-area-2021", "burned-area-aoi"}
    whole = children["burned-area-2020"].extent.spatial.bboxes[0]
    assert shapely.box(*whole).covers(shapely.union_all([shapely.box(*items[name].bbox) for name in ("b", "c")]))
    assert "SIMULATED" in children["burned-area-aoi"].description
    assert "SIMULATED" not in children["burned-area-2020"].description
    for link in catalogue.links + [link for child in children.values() for link in child.links]:
        assert not Path(str(link.get_href() or "")).is_absolute() or link.rel == "self"


def test_all_of_it_is_valid(maps: Path) -> None:
    paths = [maps / "catalog.json", *maps.glob("*/collection.json"), *maps.glob("*/*/item.json")]
    assert len(paths) == 8
    for path in paths:
        check(json.loads(path.read_text()))


def test_a_map_without_an_item_is_left_out(maps: Path) -> None:
    (maps / "fire_year=2021" / "d" / "item.json").write_text("{")
    write_pages(maps / "fire_year=2021", title="2021", simulated=False)
    assert not (maps / "fire_year=2021" / "collection.json").exists()
    assert "2021" not in (maps / "catalog.json").read_text()
