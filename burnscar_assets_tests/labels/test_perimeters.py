from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import GeometryCollection, MultiPolygon, Polygon, box

from burnscar_assets.errors import InputError
from burnscar_assets.labels.perimeters import FLAGS, REASONS, CleanedPerimeters, clean_perimeters
from burnscar_assets.settings import PerimeterSettings
from burnscar_assets.storage.contracts import FIRE_PERIMETER_REJECTS, FIRE_PERIMETERS
from burnscar_assets_tests.labels.label_records import ACRES, frap_fires, release_records, season, square

LIMITS = PerimeterSettings()


def _day(text: str | None) -> Any:
    return pd.NaT if text is None else pd.Timestamp(text, tz="UTC")


def _clean(*changes: dict[str, Any], year: int = 2020, limits: PerimeterSettings = LIMITS) -> CleanedPerimeters:
    return clean_perimeters(release_records(frap_fires(*changes)), year, limits, simulated=False)


def _reasons(*changes: dict[str, Any]) -> dict[str, str]:
    rejects = _clean(*changes).rejects
    return dict(zip(rejects["fire_name"], rejects["reason"], strict=True))


CHANGES: dict[str, dict[str, Any]] = {
    "empty_geometry": {"geometry": Polygon()},
    "unusable_geometry": {"geometry": square(0).exterior},
    "outside_region": {"geometry": square(0, x=3_000_000.0)},
    "alarm_missing": {"ALARM_DATE": pd.NaT},
    "containment_missing": {"CONT_DATE": pd.NaT},
    "containment_before_alarm": {"CONT_DATE": _day("2020-07-31")},
    "containment_too_late": {"CONT_DATE": _day("2021-08-01")},
    "year_mismatch": {"ALARM_DATE": _day("2017-08-01"), "CONT_DATE": _day("2017-08-02")},
}


@pytest.mark.parametrize("reason", CHANGES)
def test_each_reason(reason: str) -> None:
    done = _clean({}, CHANGES[reason] | {"FIRE_NAME": "BAD"})
    assert dict(zip(done.rejects["fire_name"], done.rejects["reason"], strict=True)) == {"BAD": reason}
    assert done.rejects["detail"].iloc[0]
    assert done.perimeters["fire_name"].tolist() == ["FIRE 0"]
    assert done.summary.rejects_by_reason == {reason: 1}


def test_a_record_has_one_reason_the_first() -> None:
    both = CHANGES["empty_geometry"] | {"CONT_DATE": pd.NaT, "ALARM_DATE": pd.NaT, "FIRE_NAME": "BAD"}
    assert _reasons({}, both) == {"BAD": "empty_geometry"}


def test_the_detail_tells_the_values() -> None:
    detail = _clean({}, CHANGES["containment_too_late"]).rejects["detail"].iloc[0]
    assert detail == "alarm 2020-08-01, containment 2021-08-01: 365 d, at most 240"


def test_a_polygon_beside_a_line_is_a_label_and_flagged() -> None:
    done = _clean({"geometry": GeometryCollection([square(0), square(0).exterior])})
    assert done.perimeters["flags"].tolist() == [["parts_without_area"]]
    assert done.perimeters.geometry.area.tolist() == [1e6]


def test_a_fire_across_new_year_is_a_label_and_flagged() -> None:
    done = _clean({"ALARM_DATE": _day("2019-12-30"), "CONT_DATE": _day("2020-01-02")})
    assert done.perimeters["flags"].tolist() == [["alarm_in_another_year"]]


def test_flags() -> None:
    bow_tie = Polygon([(0, 0), (1000, 1000), (1000, 0), (0, 1000)])
    done = _clean(
        {"C_METHOD": 6, "GIS_ACRES": 2 * ACRES},
        {"GIS_ACRES": None},
        {"geometry": bow_tie, "GIS_ACRES": ACRES / 2},
        {"geometry": MultiPolygon([square(3), box(60_000 + 100, -200, 60_000 + 200, -100)])},
        {"IRWINID": "{AB}"},
        {"IRWINID": "{ab}"},
    )
    flags = dict(zip(done.perimeters["fire_name"], done.perimeters["flags"], strict=True))
    assert flags == {
        "FIRE 0": ["area_mismatch", "hand_drawn"],
        "FIRE 1": ["area_not_reported"],
        "FIRE 2": ["repaired", "repair_changed_area"],
        "FIRE 3": ["repaired"],
        "FIRE 4": ["shares_incident"],
        "FIRE 5": ["shares_incident"],
    }
    assert done.summary.flagged["repaired"] == 2
    assert list(done.summary.flagged) == [flag for flag in FLAGS if flag in done.summary.flagged]


def test_a_fire_without_containment_is_a_label_where_a_duration_is_assumed_and_says_so() -> None:
    limits = PerimeterSettings(assumed_duration_days=3)
    neither = {"CONT_DATE": pd.NaT, "ALARM_DATE": pd.NaT}
    done = _clean({}, {"CONT_DATE": pd.NaT, "flag": "smoke"}, neither, limits=limits)
    found = done.perimeters.set_index("fire_name")
    assert found["end_kind"].to_dict() == {"FIRE 0": "contained", "FIRE 1": "assumed"}
    assert found.loc["FIRE 1", "containment_date"] - found.loc["FIRE 1", "alarm_date"] == pd.Timedelta(days=3)
    assert found["flag"].fillna("").to_dict() == {"FIRE 0": "", "FIRE 1": "smoke"}
    assert done.rejects["reason"].tolist() == ["alarm_missing"]
    assert (done.summary.end_assumed, done.summary.remarked) == (1, 1)


def test_area_is_computed_in_hectares() -> None:
    done = _clean({"GIS_ACRES": 1.0}, {"geometry": square(1, 2000)})
    assert sorted(done.perimeters["area_ha"]) == pytest.approx([100, 400])
    assert done.summary.area_ha == pytest.approx(500)
    assert done.summary.median_area_ha == pytest.approx(250)
    assert done.summary.median_duration_days == 4


def test_of_duplicates_the_best_is_kept() -> None:
    same = {"IRWINID": "{AB}"}
    done = _clean(
        same | {"geometry": square(0), "FIRE_NAME": "SMALL"},
        same | {"geometry": square(0, 1200), "FIRE_NAME": "LARGE"},
        same | {"geometry": square(0, 1500), "FIRE_NAME": "DATELESS", "CONT_DATE": pd.NaT},
    )
    assert done.perimeters["fire_name"].tolist() == ["LARGE"]
    reasons = dict(zip(done.rejects["fire_name"], done.rejects["reason"], strict=True))
    assert reasons == {"SMALL": "duplicate", "DATELESS": "containment_missing"}
    detail = done.rejects.set_index("fire_name")["detail"]["SMALL"]
    assert detail == f"of {done.perimeters['fire_id'].iloc[0]}, which is kept"


def test_the_more_detailed_of_equal_areas_is_kept() -> None:
    detailed = square(0).segmentize(100)
    done = _clean({"geometry": square(0), "INC_NUM": "00000007"}, {"geometry": detailed, "INC_NUM": "00000007"})
    assert done.perimeters["fire_name"].tolist() == ["FIRE 1"]


@pytest.mark.parametrize(
    ("change", "duplicates"),
    [
        ({"IRWINID": "{AB}", "INC_NUM": "5"}, 1),
        ({"IRWINID": None, "INC_NUM": "00004711"}, 1),
        ({"IRWINID": None, "INC_NUM": "00000000"}, 0),
        ({"IRWINID": None, "INC_NUM": None}, 0),
    ],
)
def test_an_identifier_must_be_a_real_one(change: dict[str, Any], duplicates: int) -> None:
    done = _clean(change | {"geometry": square(0)}, change | {"geometry": square(0, 1100)})
    assert done.summary.rejects_by_reason.get("duplicate", 0) == duplicates


def test_the_same_number_in_another_unit_is_another_fire() -> None:
    done = _clean(
        {"INC_NUM": "4711", "geometry": square(0)}, {"INC_NUM": "4711", "UNIT_ID": "SHU", "geometry": square(0, 1100)}
    )
    assert done.summary.rejected == 0


def test_fires_of_one_incident_on_different_ground_are_all_kept() -> None:
    """As HAPPY, DYER and ROAD of 2015, which share one IRWIN id."""
    done = _clean({"IRWINID": "{AB}"}, {"IRWINID": "{AB}"}, {"IRWINID": "{AB}", "geometry": square(0, x=900.0)})
    assert done.summary.rejected == 0


def test_equal_perimeters_are_one_fire_without_any_identifier() -> None:
    nameless = {"IRWINID": None, "INC_NUM": "00000000", "geometry": square(0)}
    assert list(_reasons(nameless, nameless).values()) == ["duplicate"]


def test_a_chain_of_overlaps_drops_only_what_a_kept_record_covers() -> None:
    """A covers B, B covers C, A and C are apart: B repeats A, and C repeats nothing that is kept."""
    same = {"IRWINID": "{AB}"}
    done = _clean(
        same | {"FIRE_NAME": "A", "geometry": box(0, 0, 1000, 1000)},
        same | {"FIRE_NAME": "B", "geometry": box(450, 0, 1350, 1000)},
        same | {"FIRE_NAME": "C", "geometry": box(1000, 0, 1400, 1000)},
    )
    assert sorted(done.perimeters["fire_name"]) == ["A", "C"]


def test_an_absent_year_names_those_there() -> None:
    with pytest.raises(InputError, match=r"no fire of 2010; it has the years 2015, 2017–2019, 2021: "):
        _clean(*(season(year, 0) for year in (2021, 2017, 2018, 2019, 2015)), year=2010)


def test_prescribed_burns_are_no_labels() -> None:
    records = release_records(frap_fires({}), frap_fires({}, {}))
    assert clean_perimeters(records, 2020, LIMITS, simulated=True).summary.records == 1


def test_what_is_simulated_says_so() -> None:
    records = release_records(frap_fires({}))
    assert clean_perimeters(records, 2020, LIMITS, simulated=True).perimeters["simulated"].all()
    assert not clean_perimeters(records, 2020, LIMITS, simulated=False).perimeters["simulated"].any()


def test_a_year_of_rejects_only() -> None:
    done = _clean({"CONT_DATE": pd.NaT})
    assert len(done.perimeters) == 0
    assert (done.summary.median_area_ha, done.summary.area_ha) == (None, 0)


SHAPES = st.sampled_from(
    [
        square(0),
        square(0, 1200),
        square(1),
        square(0, x=400.0),
        Polygon(),
        None,
        Polygon([(0, 0), (900, 900), (900, 0), (0, 900)]),
        square(0, x=9e6),
    ]
)
DAYS = st.one_of(st.just(pd.NaT), st.integers(-500, 500).map(lambda d: _day("2020-08-01") + pd.Timedelta(days=d)))
DIRTY = st.fixed_dictionaries(
    {
        "FIRE_NAME": st.sampled_from(["OAK", "PINE", None]),
        "INC_NUM": st.sampled_from(["00000000", "4711", None]),
        "IRWINID": st.sampled_from(["{AB}", None]),
        "ALARM_DATE": DAYS,
        "CONT_DATE": DAYS,
        "GIS_ACRES": st.sampled_from([ACRES, 0.0, None]),
        "geometry": SHAPES,
    }
)


@settings(max_examples=25, deadline=None)
@given(changes=st.lists(DIRTY, min_size=1, max_size=7), data=st.data())
def test_nothing_is_dropped_in_silence(changes: list[dict[str, Any]], data: st.DataObject) -> None:
    fires = frap_fires(*changes, *[{}] * (len(changes) + 1))  # a layer of mostly odd records is refused as a whole
    order = data.draw(st.permutations(range(len(fires))))
    done = clean_perimeters(release_records(fires), 2020, LIMITS, simulated=False)
    assert done.summary.kept + done.summary.rejected == done.summary.records == len(fires)
    assert done.summary.kept == len(done.perimeters)
    assert not set(done.perimeters["fire_id"]) & set(done.rejects["record_id"])
    assert set(done.rejects["reason"]) <= set(REASONS)
    assert sum(done.summary.rejects_by_reason.values()) == done.summary.rejected
    assert done.perimeters.geometry.is_valid.all()
    assert (done.perimeters["area_ha"] > 0).all()
    assert (done.perimeters["containment_date"] >= done.perimeters["alarm_date"]).all()
    shuffled: gpd.GeoDataFrame = release_records(fires.iloc[order]).sample(frac=1, random_state=len(order))
    again = clean_perimeters(shuffled, 2020, LIMITS, simulated=False)
    assert FIRE_PERIMETERS.content_hash(again.perimeters) == FIRE_PERIMETERS.content_hash(done.perimeters)
    assert FIRE_PERIMETER_REJECTS.content_hash(again.rejects) == FIRE_PERIMETER_REJECTS.content_hash(done.rejects)
