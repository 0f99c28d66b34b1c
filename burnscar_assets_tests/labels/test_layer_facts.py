"""A REST layer is looked at in three questions; what it can't answer is said."""

import json
from typing import Any

import geopandas as gpd
import pytest

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.season_source import observe_season
from burnscar_assets.labels.watch import SourceState, observe_source
from burnscar_assets.settings import InSeasonSettings, ReleaseSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires
from burnscar_assets_tests.labels.label_servers import ArcGisSite, serving
from burnscar_assets_tests.labels.wfigs_records import WfigsSite, wfigs_fires


def _observe(url: str, root: DataRoot, **changes: Any) -> SourceState:
    return observe_source(ReleaseSettings(source=url, **changes), root)


def _rows() -> gpd.GeoDataFrame:
    rows = frap_fires({}, {}, {"YEAR_": 2019, "GIS_ACRES": 12.25}, {"YEAR_": None})
    dates = {"ALARM_DATE": 1596265200000, "CONT_DATE": 1596610800000}
    return rows.assign(**dates, OBJECTID=range(1, len(rows) + 1))


def _look_at_layers(*sites: ArcGisSite, root: DataRoot, **changes: Any) -> list[SourceState]:
    """What is seen of each site where all are served at one address, one after the other."""
    states, served = [], ArcGisSite(_rows())
    with serving(served) as address:
        for site in sites:
            vars(served).update(vars(site))
            states.append(_observe(f"{address}/arcgis/rest/services/Fires/FeatureServer/0", root, **changes))
    return states


def test_a_layer_is_seen_by_edit_date_count_and_sums_by_year(root: DataRoot) -> None:
    site = ArcGisSite(_rows())
    (state,) = _look_at_layers(site, root=root)
    fires = state.facts["fires"]
    assert fires["records"] == 4
    assert fires["edited_at"] == {"lastEditDate": "2026-02-02T02:40:00+00:00"}
    assert fires["by_year"] == {
        "2019": {"records": 1, "area": 12.2},
        "2020": {"records": 2, "area": 494.2},
        "none": {"records": 1, "area": 247.1},
    }
    assert (state.kind, state.note) == ("rest", "")
    assert SourceState.from_json(json.loads(json.dumps(state.to_json()))) == state
    assert not any("resultOffset" in query for query in site.queries), "no row was fetched"


def test_any_edit_of_a_layer_is_another_version(root: DataRoot) -> None:
    rows = _rows()
    other_year = rows.assign(YEAR_=[2020, 2019, 2019, None])
    larger = rows.assign(GIS_ACRES=rows["GIS_ACRES"] + 0.2)
    states = _look_at_layers(
        ArcGisSite(rows),
        ArcGisSite(rows.sample(frac=1, random_state=0)),
        ArcGisSite(rows, editing_info={"lastEditDate": 1_770_000_000_001}),
        ArcGisSite(rows, editing_info={"lastEditDate": 1_770_000_000_000, "dataLastEditDate": 1}),
        ArcGisSite(rows.iloc[:3]),
        ArcGisSite(other_year),
        ArcGisSite(larger),
        root=root,
    )
    versions = [state.version for state in states]
    assert versions[0] == versions[1]
    assert len(set(versions[1:])) == len(versions) - 1


@pytest.mark.parametrize("site", [{"statistics": False}, {"refuses_statistics": True}, {"max_record_count": 2}])
def test_a_service_without_statistics_is_seen_by_the_rest_and_says_so(root: DataRoot, site: dict[str, Any]) -> None:
    before, same, edited = _look_at_layers(
        ArcGisSite(_rows(), **site),
        ArcGisSite(_rows(), **site),
        ArcGisSite(_rows(), **site, editing_info={"lastEditDate": 1}),
        root=root,
    )
    assert before.note.startswith("fires: the service gives no statistics")
    assert before.version == same.version != edited.version


def test_a_service_without_an_edit_date_says_so(root: DataRoot) -> None:
    (state,) = _look_at_layers(ArcGisSite(_rows(), editing_info={}), root=root)
    assert "no edit date" in state.note


def test_the_layer_of_prescribed_burns_is_looked_at_too(root: DataRoot) -> None:
    site = ArcGisSite(_rows())
    (state,) = _look_at_layers(site, root=root, prescribed_layer="0")
    (alone,) = _look_at_layers(site, root=root)
    assert state.facts["prescribed"] == state.facts["fires"]
    assert state.version != alone.version


def test_a_layer_that_is_loaded_anew_busy_or_gone(root: DataRoot) -> None:
    with pytest.raises(SourceUnavailableError, match=r"no rows.*loaded anew"):
        _look_at_layers(ArcGisSite(_rows(), count=0), root=root)
    busy = {"code": 504, "message": "Your request has timed out.", "details": []}
    with pytest.raises(SourceUnavailableError, match="504"):
        _look_at_layers(ArcGisSite(_rows(), errors=[busy]), root=root)
    with serving(ArcGisSite(_rows())) as address, pytest.raises(InputError, match="Invalid URL"):
        _observe(f"{address}/arcgis/rest/services/Fires/FeatureServer/7", root)


@pytest.mark.parametrize(
    "answer",
    [
        {"features": "none"},
        {"features": [None]},
        {"features": [{"attributes": [1]}]},
        {"features": [{"attributes": {"YEAR_": 2020}}]},
        {"features": [{"attributes": {"YEAR_": 2020, "records": "many"}}]},
        {"features": [{"attributes": {"YEAR_": 2020, "records": 3}}], "properties": {"exceededTransferLimit": True}},
    ],
)
def test_sums_that_are_cut_or_are_none_are_no_sums(
    root: DataRoot, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ArcGisSite, "_statistics", lambda *_: answer)
    (state,) = _look_at_layers(ArcGisSite(_rows(), editing_info={"lastEditDate": 10**30, "other": "x"}), root=root)
    assert state.facts["fires"]["by_year"] == {}
    assert "gives no statistics" in state.note and "names no edit date" in state.note
    with serving(WfigsSite(wfigs_fires({}))) as address:
        source = f"{address}/arcgis/rest/services/WFIGS/FeatureServer/0"
        assert "gives no statistics" in observe_season(InSeasonSettings(source=source), root, 2026).note
