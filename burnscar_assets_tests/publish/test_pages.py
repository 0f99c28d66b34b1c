"""Pages of made-up maps: whole, harmless, the same again, and right about what lies where."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyproj import CRS
from rasterio.features import rasterize
from rasterio.transform import Affine, from_origin

from burnscar_assets.publish.pages.drawing import path_of, picture_shape, svg_path, to_pixels
from burnscar_assets.publish.pages.index import Standings
from burnscar_assets.publish.pages.page import licences, north_degrees
from burnscar_assets.publish.pages.records import Grid, Unmapped, read_map
from burnscar_assets.publish.pages.site import link_doubts, write_pages, write_standings
from burnscar_assets.sources.load import load_source
from burnscar_assets_tests.publish.page_kit import make_map

TITLE = "Burned area, fire year 2021"
NASTY = "<script>alert(1)</script> & \"Sons' Ärger"
VOID = {"meta", "link", "img", "input", "br", "path", "rect", "circle", "image"}


class Page(HTMLParser):
    """What a page holds; fails where a tag isn't closed as it was opened."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), (tag, attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if not self.open or self.open[-1] not in ("script", "style") else ""

    def links(self) -> list[str]:
        names = ("href", "src")
        return [value for _, attrs in self.tags for name in names if (value := attrs.get(name))]


def files_of(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of four maps, one of which is broken."""
    folder = tmp_path_factory.mktemp("maps") / "fire_year=2021"
    make_map(folder / "a fire", name=NASTY)
    make_map(folder / "B2", name="No before", seed=1, before=False, perimeter=False, size=(60, 90), crs="EPSG:32611")
    make_map(folder / "C3", name="No text", seed=2, size=(90, 60), simulated=False)
    (folder / "C3" / "map.json").write_text("{")
    make_map(folder / "D4", seed=3, size=(50, 50))
    (folder / "D4" / "after.tif").write_bytes(b"no raster")
    (folder / "unfinished").mkdir()
    write_pages(folder, title=TITLE, simulated=False)
    return folder


def test_pages_are_well_formed_and_every_link_leads_somewhere(year: Path) -> None:
    for path in (year / "index.html", year.parent / "index.html", year / "a fire/index.html", year / "B2/index.html"):
        page = Page(path)
        ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        assert len(ids) == len(set(ids))
        for link in page.links():
            target, _, place = link.partition("#")
            assert not re.match(r"[a-z]+:(?!,)|//", target), f"{link} of {path} leaves the folder"
            assert not target or target == "data:," or (path.parent / unquote(target)).is_file(), link
            assert target or place in ids
        assert all("alt" in attrs for tag, attrs in page.tags if tag == "img")


def test_a_name_is_text_wherever_it_stands(year: Path) -> None:
    for path in (year / "index.html", year / "a fire" / "index.html"):
        page = Page(path)
        assert NASTY in page.text
        assert "<script>alert" not in path.read_text()
        assert sum(tag == "script" for tag, _ in page.tags) == 1
    from xml.etree import ElementTree

    assert NASTY in (ElementTree.parse(year / "a fire" / "map.qgs").getroot().findtext("title") or "")


def test_broken_maps_are_listed_with_what_to_do_and_spoil_nothing(year: Path) -> None:
    text = Page(year / "index.html").text
    assert re.search(r"C3.*map\.json of C3 can't be read: make this map again", text)
    assert re.search(r"D4.*after\.tif of D4 can't be read: make this map again", text)
    assert "2 maps of burned ground" in text and "unfinished" not in text
    assert "2 broken" in Page(year.parent / "index.html").text


def test_simulated_imagery_is_told_though_only_the_map_knows(year: Path) -> None:
    for path in (year / "index.html", year.parent / "index.html", year / "B2" / "index.html"):
        assert "Simulated imagery." in Page(path).text
    real = year.parent.parent / "other" / "fire_year=2020"
    make_map(real / "R1", simulated=False, size=(40, 40))
    write_pages(real, title="2020", simulated=False)
    text = Page(real / "R1" / "index.html").text
    assert "Simulated" not in text and "Copernicus Sentinel data 2021" in text


@pytest.mark.parametrize(
    ("source", "credit"),
    [
        ("frap", "Official perimeter: CAL FIRE FRAP, CC BY 4.0. Terms of use: https://creativecommons.org/"),
        ("mtbs", "MTBS (USGS EROS and USDA Forest Service GTAC). Look its terms of use up at https://www.mtbs.gov"),
    ],
)
def test_credit_for_the_perimeter_is_what_its_source_says(tmp_path: Path, source: str, credit: str) -> None:
    producer = load_source(source).producer
    assert producer is not None
    for simulated in (True, False):
        made = make_map(
            tmp_path / f"{simulated}", size=(40, 40), simulated=simulated, perimeter_producer=producer.model_dump()
        )
        assert any(credit in line for line in licences(read_map(made).record, simulated=simulated))
    nobody = make_map(tmp_path / "nobody", size=(40, 40), simulated=False, source="FRAP's, by its name alone")
    assert not any("perimeter" in line.lower() for line in licences(read_map(nobody).record, simulated=False))


def test_without_a_before_image_there_is_no_swipe_and_no_severity(year: Path) -> None:
    ids = {attrs.get("id") for _, attrs in Page(year / "B2" / "index.html").tags}
    assert "layer-after" in ids and not ids & {"swipe", "layer-before", "layer-severity", "layer-perimeter"}
    assert not (year / "B2" / "page" / "before.webp").exists()
    assert "none" in Page(year / "B2" / "index.html").text


def test_a_second_call_writes_nothing_and_a_changed_map_only_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "fire_year=2021"
    for number in range(3):
        make_map(folder / f"F{number}", seed=number, size=(40, 50), name=f"Fire {number}")
    write_pages(folder, title=TITLE, simulated=True)
    first = files_of(tmp_path)
    write_pages(folder, title=TITLE, simulated=True)
    assert files_of(tmp_path) == first
    record = json.loads((folder / "F1" / "map.json").read_text())
    (folder / "F1" / "map.json").write_text(json.dumps(record | {"fire_name": "Renamed"}))
    write_pages(folder, title=TITLE, simulated=True)
    changed = {path.relative_to(folder) for path, state in files_of(folder).items() if state != first[path]}
    assert {str(path) for path in changed} == {"F1/map.json", "F1/index.html", "F1/map.qgs", "index.html"}


def test_fires_without_a_map_count_as_such_on_every_page(tmp_path: Path) -> None:
    folder = tmp_path / "fire_year=2021"
    make_map(folder / "F1", name="Mapped", size=(40, 40))
    make_map(folder / "F2", name="Nothing of it seen", size=(40, 40), perimeter=False)
    lacking = [Unmapped("Under cloud", "too_cloudy"), Unmapped("<Unseen>", "no_scene")]
    index = write_pages(folder, title=TITLE, simulated=True, unmapped=lacking)
    again = files_of(tmp_path)
    assert write_pages(folder, title=TITLE, simulated=True) == index and files_of(tmp_path) == again, "it is noted"
    for page in (index, tmp_path / "index.html"):
        text = Page(page).text
        assert "2 fires without imagery" in text and "of 1 of 4 fires" in text
    assert re.search(r"Under cloud: every scene .* too cloudy.*<Unseen>: no scene", Page(index).text, re.DOTALL)
    write_pages(folder, title=TITLE, simulated=True, unmapped=[])
    assert "without imagery" not in Page(index).text + Page(tmp_path / "index.html").text
    assert "of 1 of 2 fires" in Page(index).text
    only = write_pages(tmp_path / "fire_year=2022", title="2022", simulated=True, unmapped=lacking)
    assert "Under cloud" in Page(only).text, "though there is no map at all"


def test_the_index_over_all_maps_says_which_set_up_maps_best(tmp_path: Path) -> None:
    standings = Standings.of([f"{NASTY} wins"], ["set-up", "map IoU"], [[NASTY, "0.75"], ["dNBR", "0.70"]])
    write_standings(tmp_path / "maps", standings)
    assert not (tmp_path / "maps" / "index.html").exists(), "no map yet"
    folder = tmp_path / "maps" / "fire_year=2021"
    make_map(folder / "F1", size=(40, 40))
    write_pages(folder, title=TITLE, simulated=True)
    page = Page(tmp_path / "maps" / "index.html")
    assert f"{NASTY} wins" in page.text and "0.75" in page.text and "2021" in page.text
    before = files_of(tmp_path)
    write_standings(tmp_path / "maps", standings)
    assert files_of(tmp_path) == before
    write_standings(tmp_path / "maps", Standings())
    assert "wins" not in Page(tmp_path / "maps" / "index.html").text


def test_the_index_over_all_maps_links_to_doubtful_perimeters_once_there_is_a_page_of_them(tmp_path: Path) -> None:
    make_map(tmp_path / "fire_year=2021" / "F1", size=(40, 40))
    write_pages(tmp_path / "fire_year=2021", title=TITLE, simulated=True)
    link_doubts(tmp_path)
    assert "label_doubts" not in (tmp_path / "index.html").read_text()
    (tmp_path / "label_doubts").mkdir()
    (tmp_path / "label_doubts" / "index.html").touch()
    link_doubts(tmp_path)
    assert 'href="label_doubts/index.html"' in (tmp_path / "index.html").read_text()
    before = files_of(tmp_path)
    write_pages(tmp_path / "fire_year=2021", title=TITLE, simulated=True)
    assert files_of(tmp_path) == before


def test_the_index_begins_where_they_agree_least_and_sums_up(tmp_path: Path) -> None:
    folder = tmp_path / "fire_year=2021"
    agreement = {"omission": 0.1, "commission": 0.1}
    area = {"mapped": 90.0, "estimate": 100.0, "low": 97.0, "high": 104.0, "confidence": 0.95}
    area |= {"corrected_by": "validation_fires", "rates": "one checkpoint's", "shared": 0.25}
    for name, iou in (("high", 0.9), ("low", 0.2), ("middle", 0.5)):
        make_map(folder / name, name=name, size=(40, 40), area_ha=area, agreement=agreement | {"iou": iou})
    make_map(folder / "none", name="none", size=(40, 40), area_ha=area, perimeter=False)
    text = Page(write_pages(folder, title=TITLE, simulated=False)).text
    table = text[text.index("All maps", text.index("In doubt") - 200) :]
    assert sorted(("low", "middle", "high", "none"), key=table.index) == ["low", "middle", "high", "none"]
    assert "interval 392 to 411 ha" in text, "half-widths of 3 and 4, of four maps, a quarter of whose error is shared"
    shutil.copytree(folder, tmp_path / "aoi")
    assert "interval" not in Page(write_pages(tmp_path / "aoi", title="Places", simulated=False)).text
    assert Page(tmp_path / "index.html").text.count("interval") == 1, "areas of interest may overlap"


def test_a_page_says_from_what_the_area_is_estimated(tmp_path: Path) -> None:
    area = {"mapped": 90.0, "estimate": 100.0, "low": 97.0, "high": 104.0, "confidence": 0.95}
    sample = {"file": "reference.gpkg", "points": 60, "users_accuracy": 0.91, "producers_accuracy": 0.82}
    make_map(tmp_path / "fires", size=(40, 40), area_ha=area | {"corrected_by": "validation_fires"})
    make_map(tmp_path / "sample", size=(40, 40), area_ha=area | {"corrected_by": "sample"}, sample=sample)
    make_map(tmp_path / "counted", size=(40, 40), area_ha={"mapped": 90.0})
    write_pages(tmp_path, title=TITLE, simulated=False)
    fires, sampled, counted = (Page(tmp_path / name / "index.html").text for name in ("fires", "sample", "counted"))
    assert "from the maps of validation fires; 95 % interval 97.0 to 104 ha" in fires and "Accuracy" not in fires
    assert "from a sample drawn on the map; 95 % interval" in sampled and "91.0 %, 82.0 %" in sampled
    assert "pixels counted, not corrected" in counted and "interval" not in counted


def test_reliability_is_told_by_bin_each_map_weighing_the_same(tmp_path: Path) -> None:
    def reliability(share: float, burnt: float) -> dict[str, Any]:
        one = {"mean_probability": 0.85, "burnt_share": burnt, "share": share}
        found = {name: [one | {"bin": bin}] for name, bin in (("before", "0.9–1.0"), ("after", "0.8–0.9"))}
        return found | {"error_before": 0.4, "error_after": 0.05}

    make_map(tmp_path / "a", reliability=reliability(0.1, 0.9))
    make_map(tmp_path / "b", reliability=reliability(0.3, 0.5))
    make_map(tmp_path / "c", perimeter=False)
    write_pages(tmp_path, title="Maps", simulated=False)
    text = (tmp_path / "index.html").read_text()
    rows = text[text.index('<table id="reliability">') :]
    assert '0.8–0.9</th><td class="number">85.0 %</td><td class="number">60.0 %</td>' in rows
    assert rows.index("0.8–0.9") < rows.index("0.9–1.0")
    page = (tmp_path / "a" / "index.html").read_text()
    assert "Calibration error" in page and "0.40 before calibration" in page
    assert "log odds × 0.8 -1.5, fitted on validation frames" in page
    assert "Calibration error" not in (tmp_path / "c" / "index.html").read_text()


@given(
    corner=st.tuples(st.floats(2e5, 8e5), st.floats(3.5e6, 4.7e6)),
    size=st.tuples(st.integers(20, 4000), st.integers(20, 4000)),
    pixel=st.sampled_from([5.0, 10.0, 20.0]),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_vectors_lie_where_pixels_do(
    corner: tuple[float, float], size: tuple[int, int], pixel: float, at: tuple[float, float]
) -> None:
    grid = Grid(CRS("EPSG:32610"), from_origin(*corner, pixel, pixel), *size)
    column, row = at[0] * grid.width, at[1] * grid.height
    there = to_pixels(shapely.Point(grid.transform @ (column, row)), grid.transform)
    assert np.allclose((there.x, there.y), (column, row), atol=1e-4)
    square = shapely.box(*(grid.transform @ (2, 12)), *(grid.transform @ (12, 2)))
    corners = np.array(re.findall(r"[\d.]+,[\d.]+", path_of(to_pixels(square, grid.transform), grid)))
    found = {tuple(float(part) for part in text.split(",")) for text in corners}
    assert found == {(2, 2), (12, 2), (12, 12), (2, 12)}
    rows, columns = picture_shape(grid)
    assert max(rows, columns) <= 1600
    assert (rows, columns) == size if max(size) <= 1600 else max(rows, columns) == 1600


def test_outlines_and_pictures_agree_about_the_ground(year: Path) -> None:
    """The model's outline, filled in, is the burned raster; the picture is transparent where there is no answer."""
    folder = year / "a fire"
    grid = read_map(folder).grid
    with rasterio.open(folder / "burned.tif") as raster:
        burned = raster.read(1)
    drawn = json.loads((folder / "page" / "drawn.json").read_text())["outlines"]["burned"]
    rings = [
        shapely.Polygon([tuple(map(float, corner.split(","))) for corner in ring.split("L")])
        for ring in re.findall(r"M([^Z]+)Z", drawn)
    ]
    filled = np.zeros(burned.shape, bool)
    for ring in rings:
        filled ^= rasterize([ring], burned.shape, transform=Affine.identity()).astype(bool)
    assert (filled == (burned == 1)).mean() > 0.99
    picture = np.asarray(Image.open(folder / "page" / "probability.png"))
    assert picture.shape[:2] == (grid.height, grid.width)
    assert (picture[burned == 255, 3] == 0).all() and (picture[burned == 1, 3] == 255).all()


def test_each_place_of_disagreement_holds_disagreement(year: Path) -> None:
    folder = year / "a fire"
    drawn = json.loads((folder / "page" / "drawn.json").read_text())
    with rasterio.open(folder / "burned.tif") as raster:
        burned = raster.read(1)
        official = gpd.read_file(folder / "burned_area.gpkg", layer="perimeter").union_all()
        inside = rasterize([official], burned.shape, transform=raster.transform).astype(bool)
    assert drawn["disagreements"]
    for place in drawn["disagreements"]:
        left, top, right, bottom = (round(side) for side in place["box"])
        box = np.s_[top:bottom, left:right]
        wrong = {"commission": (burned == 1) & ~inside, "omission": (burned == 0) & inside}[place["kind"]]
        assert wrong[box].sum() >= place["area_ha"] * 100 * 0.99


def test_north_leans_as_the_grid_does() -> None:
    def grid(west: float) -> Grid:
        return Grid(CRS("EPSG:32610"), from_origin(west, 4_400_000, 10, 10), 100, 100)

    assert abs(north_degrees(grid(499_500))) < 1e-6
    assert north_degrees(grid(800_000)) < -1 < 1 < north_degrees(grid(200_000)), "east of the meridian it leans west"


def test_holes_stay_holes() -> None:
    ring = shapely.Point(0, 0).buffer(5).difference(shapely.Point(0, 0).buffer(2))
    assert svg_path(ring).count("M") == 2
    assert svg_path(shapely.Point(1, 1)) == svg_path(shapely.Polygon()) == ""


def test_half_a_file_never_stops_the_pages_of_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "fire_year=2021"
    make_map(folder / "good", size=(24, 30))
    needed = ("after.tif", "burned.tif", "probability.tif", "validity.tif", "burned_area.gpkg")
    for name in (*needed, "before.tif", "severity.tif", "item.json"):
        cut, gone = (Path(shutil.copytree(folder / "good", folder / f"{name}-{how}")) for how in ("cut", "gone"))
        whole = (cut / name).read_bytes()
        (cut / name).write_bytes(whole[: min(700, len(whole) // 2)])
        (gone / name).unlink()
    text = Page(write_pages(folder, title=TITLE, simulated=True)).text
    assert 'href="good/index.html"' in (folder / "index.html").read_text()
    for name in needed:
        assert f"{name}-cut: {name}" in text and f"{name}-gone: {name}" in text
    for name in ("before.tif", "severity.tif"):
        assert f"{name}-cut: {name}" in text and f"{name}-gone:" not in text, "what isn't there isn't shown"
    assert "item.json-" not in text


def test_a_map_larger_than_its_picture_is_drawn_whole(tmp_path: Path) -> None:
    folder = make_map(tmp_path / "fire_year=2021" / "long", size=(200, 2000))
    write_pages(folder.parent, title=TITLE, simulated=True)
    drawn = json.loads((folder / "page" / "drawn.json").read_text())
    assert drawn["outlines"]["burned"] and drawn["disagreements"]
    assert all(0 <= place["box"][0] < place["box"][2] <= 2000 for place in drawn["disagreements"])
    assert {Image.open(folder / "page" / name).size for name in drawn["pictures"]} == {(1600, 160), (320, 32)}
    assert "at 12 m a pixel; the files hold it at 10 m" in Page(folder / "index.html").text
