"""The STAC catalogue of the maps: valid without a network, and every file is reached by relative links."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pystac
import pystac.validation
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension

from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.mapping.severity import SEVERITY_CLASSES
from burnscar_assets.publish.catalogue import write_collection
from burnscar_assets.publish.mapper import remove_others
from burnscar_assets.publish.pages.site import write_pages
from burnscar_assets.publish.stac import map_item
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.sources.load import load_source
from burnscar_assets_tests.publish.catalogue_kit import check_whole
from burnscar_assets_tests.publish.page_kit import make_map

FOLDERS = {
    "fire_year=2020": "burned-area-2020",
    "fire_year=2021": "burned-area-2021",
    "in_season=2021": "burned-area-in-season-2021",
    "aoi": "burned-area-aoi",
}


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Two years, a season and a place of one's own, moved after they were made."""
    made = tmp_path / "made"
    names = {"fire_year=2020": ("b", "c"), "fire_year=2021": ("d",), "in_season=2021": ("e",), "aoi": ("home",)}
    for folder in FOLDERS:
        for seed, name in enumerate(names[folder]):
            source = {"fire_year=2020": "frap", "fire_year=2021": "mtbs"}.get(folder)
            producer = None if source is None else load_source(source).producer
            make_map(
                made / folder / name, seed=seed, size=(40, 40), simulated=folder == "aoi", before=seed == 0,
                perimeter_producer=producer and producer.model_dump(),
            )  # fmt: skip
        write_pages(made / folder, title=f"Maps of {folder}", simulated=False)
    return Path(shutil.move(made, tmp_path / "moved"))


def check(content: dict[str, Any]) -> None:
    """Against the schemas that pystac brings along; those of extensions are on the web."""
    kind = pystac.STACObjectType(content["type"])
    pystac.validation.validate_dict(content, kind, content["stac_version"], extensions=[])


def test_a_client_finds_every_file_from_the_catalogue(maps: Path) -> None:
    items = check_whole(maps)
    assert {item.id for item in items.values()} == {"b", "c", "d", "e", "home"}
    catalogue = pystac.Catalog.from_file(str(maps / "catalog.json"))
    children = {child.id: child for child in catalogue.get_children()}
    assert set(children) == set(FOLDERS.values())
    assert "SIMULATED" in children["burned-area-aoi"].description
    assert "SIMULATED" not in children["burned-area-2020"].description
    producers = {name: [provider.name for provider in child.providers or ()] for name, child in children.items()}
    imagery = "Copernicus, European Space Agency"
    assert producers["burned-area-2020"] == ["CAL FIRE FRAP", imagery, "burnscar_assets"]
    mtbs = "Monitoring Trends in Burn Severity (USGS, USDA Forest Service)"
    assert producers["burned-area-2021"] == [imagery, mtbs, "burnscar_assets"]
    assert producers["burned-area-in-season-2021"] == [imagery, "burnscar_assets"]
    assert producers["burned-area-aoi"] == ["burnscar_assets"]
    for link in catalogue.links + [link for child in children.values() for link in child.links]:
        assert not Path(str(link.get_href() or "")).is_absolute() or link.rel == "self"


def test_the_index_over_all_folders_has_the_season_too(maps: Path) -> None:
    page = (maps / "index.html").read_text()
    assert all(label in page for label in ("2020", "2021, in season", "Areas of interest"))


def test_all_of_it_is_valid(maps: Path) -> None:
    paths = [maps / "catalog.json", *maps.glob("*/collection.json"), *maps.glob("*/*/item.json")]
    assert len(paths) == 10
    for path in paths:
        check(json.loads(path.read_text()))


def test_an_item_names_its_collection_and_terms_and_has_the_four_links(maps: Path) -> None:
    item = json.loads((maps / "fire_year=2020" / "b" / "item.json").read_text())
    assert item["collection"] == "burned-area-2020"
    links = [(link["rel"], link["href"]) for link in item["links"]]
    terms = [default_sensor().producer.terms, load_source("frap").producer.terms]
    assert links == [
        ("root", "../../catalog.json"), ("parent", "../collection.json"), ("collection", "../collection.json"),
        ("self", "./item.json"), *(("license", address) for address in terms),
    ]  # fmt: skip


def test_rasters_say_what_their_pixels_are(maps: Path) -> None:
    item = pystac.Item.from_file(str(maps / "fire_year=2020" / "b" / "item.json"))
    classes = ClassificationExtension.ext(item.assets["severity.tif"]).classes or []
    assert [(one.value, one.color_hint) for one in classes if not one.nodata] == [
        (severity.code, severity.colour[1:].upper()) for severity in SEVERITY_CLASSES
    ]
    assert [one.value for one in classes if one.nodata] == [0]
    for name, asset in item.assets.items():
        for one in ClassificationExtension.ext(asset).classes or ():
            assert one.name and one.name.replace("-", "").isalpha(), name
    (probability,) = RasterExtension.ext(item.assets["probability.tif"]).bands or ()
    assert (probability.data_type, probability.nodata, probability.spatial_resolution) == ("float32", -1, 10)
    after = RasterExtension.ext(item.assets["after.tif"]).bands or []
    assert [(band.scale, band.nodata) for band in after] == [(1e-4, 0)] * 3
    assert [band["name"] for band in item.assets["after.tif"].extra_fields["bands"]] == ["B12", "B08", "B04"]
    assert item.assets["dnbr.tif"].extra_fields["nodata"] == -9999
    projection = ProjectionExtension.ext(item)
    assert (projection.epsg, projection.shape) == (32610, [40, 40])


def test_the_table_is_geoparquet_with_a_covering(maps: Path) -> None:
    rows = gpd.read_parquet(maps / "items.parquet", bbox=(-180, -90, 180, 90))
    assert len(rows) == 5 and rows.crs.to_string() == "OGC:CRS84"
    assert rows["start_datetime"].dt.tz is not None
    assert gpd.read_parquet(maps / "items.parquet", bbox=(0, 0, 1, 1)).empty


def test_what_is_written_twice_is_the_same(maps: Path) -> None:
    before = {path: path.read_bytes() for path in maps.rglob("*") if path.is_file()}
    write_pages(maps / "fire_year=2020", title="Maps of fire_year=2020", simulated=False)
    assert {path: path.read_bytes() for path in maps.rglob("*") if path.is_file()} == before


def test_a_map_without_an_item_is_left_out(maps: Path) -> None:
    (maps / "fire_year=2021" / "d" / "item.json").write_text("{")
    write_pages(maps / "fire_year=2021", title="2021", simulated=False)
    assert not (maps / "fire_year=2021" / "collection.json").exists()
    assert "fire_year=2021" not in (maps / "catalog.json").read_text()
    assert len(check_whole(maps)) == 4


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"type": "Feature"}', '{"type": "Feature", "properties": {}}'])
def test_an_item_that_is_none_is_passed_over(maps: Path, content: str) -> None:
    folder = maps / "fire_year=2020" / "b"
    record = json.loads((folder / "map.json").read_text())
    del record["files"]["item.json"]
    (folder / "map.json").write_text(json.dumps(record))
    (folder / "item.json").write_text(content)
    write_pages(maps / "fire_year=2020", title="2020", simulated=False)
    assert {name for _, name in check_whole(maps)} == {"c", "d", "e", "home"}


def test_a_removed_map_is_out_of_the_catalogue_too(maps: Path) -> None:
    remove_others(maps / "fire_year=2020", {"c"})
    assert {name for _, name in check_whole(maps)} == {"c", "d", "e", "home"}
    remove_others(maps / "aoi", ())
    assert {name for _, name in check_whole(maps)} == {"c", "d", "e"}
    assert not (maps / "aoi" / "collection.json").exists()


@dataclass(frozen=True)
class SmallMap:
    """A map of few bytes."""

    folder: str
    name: str
    epsg: int
    corner: tuple[int, int]
    day: int
    rasters: tuple[str, ...]
    estimated: bool
    damage: str

    @property
    def is_whole(self) -> bool:
        return self.damage not in ("gone", "cut", "item", "record")

    def write(self, place: Path) -> Path:
        """Write the map, and damage it."""
        folder = place / self.folder / self.name
        folder.mkdir(parents=True)
        for raster in self.rasters:
            (folder / raster).write_bytes(f"{raster} {self}".encode())
        left, top = self.corner
        frame = Frame(self.epsg, 10.0, Box(left, top, left + 100, top + 80))
        area = {"mapped": 3.5, "estimate": 4.0 if self.estimated else None}
        days = {"start": f"2021-08-{self.day:02}", "end": f"2021-09-{self.day:02}"}
        record: dict[str, Any] = {
            **days, "fire_name": None, "aoi_name": "a", "simulated": True, "source": "a test", "setup": "s",
            "checkpoint": {"weights_sha256": "ab"}, "area_ha": area, "perimeter_producer": None,
            "imagery": default_sensor().told(),
            "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()},
        }  # fmt: skip
        item = folder / "item.json"
        item.write_text(json.dumps(map_item(record, frame, folder, folder)))
        record["files"]["item.json"] = hashlib.sha256(item.read_bytes()).hexdigest()
        (folder / "map.json").write_text(json.dumps(record))
        if self.damage == "gone":
            (folder / self.rasters[0]).unlink()
        elif self.damage == "cut":
            (folder / self.rasters[0]).write_bytes(b"")
        elif self.damage == "item":
            item.write_text(item.read_text().replace("2021", "2031"))
        elif self.damage == "record":
            (folder / "map.json").unlink()
        return folder


SMALL_MAPS = st.lists(
    st.builds(
        SmallMap,
        folder=st.sampled_from(sorted(FOLDERS)),
        name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True),
        epsg=st.sampled_from([32601, 32610, 32660, 32755]),
        corner=st.tuples(st.integers(20_000, 80_000), st.integers(-900_000, -1_000)),
        day=st.integers(1, 28),
        rasters=st.sets(st.sampled_from(["probability.tif", "severity.tif", "after.tif", "dnbr.tif"]), min_size=1).map(
            lambda names: tuple(sorted(names))
        ),
        estimated=st.booleans(),
        damage=st.sampled_from(["", "", "", "gone", "cut", "item", "record"]),
    ),
    max_size=4,
    unique_by=lambda one: (one.folder, one.name.lower()),
)


@settings(max_examples=40, deadline=None)
@given(drawn=SMALL_MAPS, kept=st.integers(0, 4))
def test_any_catalogue_is_whole_whatever_is_damaged_remade_or_removed(drawn: Sequence[SmallMap], kept: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary).resolve() / "maps"

        def listed(folder: str) -> None:
            (place / folder).mkdir(parents=True, exist_ok=True)
            write_collection(place / folder, sorted((place / folder).glob("*/")), title=folder, simulated=True)

        for one in drawn:
            one.write(place)
        for folder in FOLDERS:
            listed(folder)
        wanted = {(FOLDERS[one.folder], one.name) for one in drawn if one.is_whole}
        assert set(check_whole(place)) == wanted
        for one in drawn:
            shutil.rmtree(place / one.folder / one.name)
            SmallMap(**vars(one) | {"damage": "", "day": 29 - one.day}).write(place)
        for folder in FOLDERS:
            listed(folder)
        assert len(check_whole(place)) == len(drawn)
        for folder in FOLDERS:
            remove_others(place / folder, {one.name for one in drawn[:kept]})
        left = {(FOLDERS[one.folder], one.name) for one in drawn if one.name in {other.name for other in drawn[:kept]}}
        assert set(check_whole(place)) == left
