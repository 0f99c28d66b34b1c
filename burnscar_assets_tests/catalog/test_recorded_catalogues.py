"""Recorded items of the public catalogues, served as their APIs serve them, through the path that users take."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from rslearn.data_sources.aws_sentinel2_element84 import Sentinel2 as Element84
from rslearn.data_sources.planetary_computer import PlanetaryComputer

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import read_index
from burnscar_assets.dataset.config import data_source, open_dataset
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import InputError
from burnscar_assets.storage.contracts import WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import SmallScene, make_dataset, make_windows, write_scene
from burnscar_assets_tests.catalog.stac_server import StacService, serve_stac

PC_ITEM = "planetary_computer/odc-stac_S2B_MSIL2A_20190629_T06VVN.json"
PC_SEARCH = "earth_search/odc-stac_site2-2020_jun_jul-35MNM.geojson"
EARTH_SEARCH_V0 = "earth_search/odc-stac_S2A_28QCH_20200714_0_L2A.json"
L1C = "planetary_computer/pystac_grid-example-sentinel2.json"
CDSE = "cdse/eodm_odata.json"


def recorded(real_data: Path, name: str) -> Any:
    return json.loads((real_data / "stac" / name).read_text())


@contextmanager
def served(kind: type, items: list[dict[str, Any]]) -> Iterator[StacService]:
    with serve_stac(items, most=5) as service, pytest.MonkeyPatch.context() as patched:
        patched.setattr(kind, "STAC_ENDPOINT", service.url)
        yield service


def window_in(root: DataRoot, epsg: int, east: float, north: float, start: str, end: str) -> gpd.GeoDataFrame:
    """The windows table of one window, by its corner in metres."""
    from rasterio.crs import CRS
    from rslearn.dataset import Window
    from rslearn.utils.geometry import Projection

    times = tuple(datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, end))
    left, upper = round(east / 10), -round(north / 10)
    bounds = (left, upper, left + 32, upper + 32)
    year = times[0].year
    storage = open_dataset(root.dataset).storage
    Window(storage, str(year), "w", Projection(CRS.from_epsg(epsg), 10, -10), bounds, times, {"split": "train"}).save()
    row = dict.fromkeys(WINDOWS.column_names) | {"window_id": "w", "fire_year": year}
    return gpd.GeoDataFrame(pd.DataFrame([row]), geometry=[shapely.box(0, 0, 1, 1)])


def match_one(root: DataRoot, config: str, where: tuple[int, float, float], days: tuple[str, str]) -> Any:
    imagery = make_dataset(root, "unused", dataset_config=config, retries=0)
    return match_scenes(window_in(root, *where, *days), root.dataset, imagery)


IN_06VVN, IN_35MNM, IN_28QCH = (32606, 450_000, 6_750_000), (32735, 550_000, 9_150_000), (32628, 305_000, 2_290_000)


def test_an_item_of_planetary_computer_is_matched(real_data: Path, root: DataRoot) -> None:
    with served(PlanetaryComputer, [recorded(real_data, PC_ITEM)]):
        config = "dataset-planetary-computer.json"
        table, summary = match_one(root, config, IN_06VVN, ("2019-06-20", "2019-07-10"))
    assert table["item_ids"].tolist() == [["S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531"]]
    assert table["cloud_cover"].tolist() == [pytest.approx(0.314306)]
    assert (summary.set_aside, summary.footprints_cut) == ({}, 0)
    (window,) = open_dataset(root.dataset).load_windows()
    item = window.load_layer_datas()["sentinel2_l2a"].serialized_item_groups[0][0]
    assert item["properties"]["s2:processing_baseline"] == "02.12"


def test_a_recorded_search_is_read_page_after_page(real_data: Path, root: DataRoot) -> None:
    items = recorded(real_data, PC_SEARCH)["features"]
    with served(PlanetaryComputer, items) as service:
        table, summary = match_one(root, "dataset-planetary-computer.json", IN_35MNM, ("2020-06-01", "2020-07-31"))
        assert len(service.bodies) == 3
    least = min(items, key=lambda item: item["properties"]["eo:cloud_cover"])
    assert table["item_ids"].tolist() == [[least["id"]]]
    assert summary.set_aside == {}


def test_an_item_of_earth_search_0_has_other_keys_and_another_collection(real_data: Path, root: DataRoot) -> None:
    item = recorded(real_data, EARTH_SEARCH_V0)
    with served(Element84, [item]) as service:
        service.answer = lambda body: {"features": [item]}  # type: ignore[method-assign]
        table, summary = match_one(root, "dataset-element84.json", IN_28QCH, ("2020-07-01", "2020-07-30"))
    assert table["matched"].tolist() == [False]
    assert summary.set_aside == {"other_collection": 1}


def test_the_same_item_in_an_index_is_matched_by_its_own_keys(real_data: Path, root: DataRoot) -> None:
    root.path.mkdir(parents=True, exist_ok=True)
    path = root.path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [recorded(real_data, EARTH_SEARCH_V0)]}))
    imagery = make_dataset(root, path)
    table, _ = match_scenes(window_in(root, *IN_28QCH, "2020-07-01", "2020-07-30"), root.dataset, imagery)
    assert table["item_ids"].tolist() == [["S2A_28QCH_20200714_0_L2A"]]
    (window,) = open_dataset(root.dataset).load_windows()
    source = data_source(open_dataset(root.dataset), "sentinel2_l2a")
    item = source.deserialize_item(window.load_layer_datas()["sentinel2_l2a"].serialized_item_groups[0][0])
    assert source.get_read_callback(item, "B02") is None, "N0214, by its product's name: no offset"


def test_an_l1c_scene_is_no_l2a_scene(real_data: Path, root: DataRoot) -> None:
    l1c = recorded(real_data, L1C)
    good = recorded(real_data, PC_ITEM)
    odd = copy.deepcopy(good) | {"id": l1c["id"]}
    odd["properties"] |= {"eo:cloud_cover": 0} | {
        key: value for key, value in l1c["properties"].items() if key.startswith(("s2:product", "processing:"))
    }
    with served(PlanetaryComputer, [good, odd]):
        config = "dataset-planetary-computer.json"
        table, summary = match_one(root, config, IN_06VVN, ("2019-06-20", "2019-07-10"))
    assert table["item_ids"].tolist() == [[good["id"]]]
    assert summary.set_aside == {"other_level": 1}


def test_an_odata_answer_of_copernicus_is_no_stac(real_data: Path) -> None:
    with pytest.raises(InputError, match=r"eodm_odata\.json is neither a STAC catalogue, collection, item nor"):
        read_index(str(real_data / "stac" / CDSE))


CDSE_PROPERTIES = {
    "datetime": "2022-08-10T18:50:31.024Z", "eo:cloud_cover": 3.2, "processing:version": "05.11",
    "processing:level": "L2", "product:type": "S2MSI2A", "grid:code": "MGRS-10SFJ", "proj:code": None,
}  # fmt: skip


@pytest.mark.parametrize("version", ["05.11", "02.14", None])
def test_an_item_of_copernicus_says_its_baseline_in_its_own_way(
    root: DataRoot, tmp_path: Path, version: str | None
) -> None:
    item = write_scene(tmp_path, SmallScene("s", baseline="05.11" if version == "05.11" else "02.14"))
    digits = "N0511" if version == "05.11" else "N0214"
    name = f"S2B_MSIL2A_20220810T185031_{digits}_R027_T10SFJ_20220810T221016"
    item |= {
        "id": name,
        "collection": "sentinel-2-l2a",
        "properties": CDSE_PROPERTIES | {"processing:version": version},
    }
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    imagery = make_dataset(root, tmp_path / "items.json")
    table, summary = match_scenes(make_windows(root, [(5, 5)]), root.dataset, imagery)
    assert (table["item_ids"].tolist(), summary.set_aside) == ([[name]], {})
    source = data_source(open_dataset(root.dataset), "sentinel2_l2a")
    (window,) = open_dataset(root.dataset).load_windows()
    found = source.deserialize_item(window.load_layer_datas()["sentinel2_l2a"].serialized_item_groups[0][0])
    assert (source.get_read_callback(found, BANDS[0]) is None) == (version != "05.11")
