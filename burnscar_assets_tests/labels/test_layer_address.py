"""Addresses of ArcGIS layers in the forms that people copy; what else they say is refused, or kept out of sight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.errors import InputError
from burnscar_assets.labels.layer_address import is_rest_layer, layer_url, refuse_page, service_url, without_token
from burnscar_assets.settings import InSeasonSettings, ReleaseSettings, load_settings, parse_settings

SERVICE = "https://services1.arcgis.com/x/arcgis/rest/services/Fires/FeatureServer"
ITEM = "e3802d2abf8741a187e73a9db49d68fe"


@pytest.mark.parametrize(
    ("address", "layer"),
    [
        (f"{SERVICE}/0", f"{SERVICE}/0"),
        (f"{SERVICE}/0/", f"{SERVICE}/0"),
        (f"{SERVICE}/0?f=pjson", f"{SERVICE}/0"),
        (f"{SERVICE}/0/query?outFields=*&where=1%3D1&f=geojson", f"{SERVICE}/0"),
        (f"{SERVICE}/0/query/?where=(1+=+1)", f"{SERVICE}/0"),
        (f"{SERVICE}/0/Query?resultOffset=0&resultRecordCount=50&where=&objectIds=&geometry=", f"{SERVICE}/0"),
        (f"  {SERVICE}?f=json", SERVICE),
        (
            SERVICE.replace("FeatureServer", "featureserver") + "/2",
            SERVICE.replace("FeatureServer", "featureserver") + "/2",
        ),
        (SERVICE.replace("Feature", "Map") + "/0/query?f=html", SERVICE.replace("Feature", "Map") + "/0"),
        (f"{SERVICE}/0#overview", f"{SERVICE}/0"),
    ],
)
def test_usual_forms_mean_a_layer(address: str, layer: str) -> None:
    assert is_rest_layer(address)
    assert layer_url(address, "release.source") == layer


@pytest.mark.parametrize(
    "narrow",
    [
        "where=YEAR_%3D2020",
        "where=1%3D1&where=YEAR_%3D2020",
        "WHERE=YEAR_+%3E+2000",
        "objectIds=1,2,3",
        "geometry=-120,38,-119,39&where=1%3D1",
        "returnDistinctValues=true",
        "outStatistics=%5B%5D",
        "time=1577836800000",
        "fullText=x",
    ],
)
def test_an_address_that_chooses_rows_is_refused_with_the_layer_to_give(narrow: str) -> None:
    with pytest.raises(InputError, match=r"release\.source asks for some rows.*give https://.*FeatureServer/0$"):
        layer_url(f"{SERVICE}/0/query?{narrow}&f=geojson", "release.source")


@pytest.mark.parametrize(
    "address",
    [
        f"https://hub.arcgis.com/datasets/{ITEM}_0/explore?location=37.1",
        "https://gis.data.ca.gov/datasets/CALFIRE-Forestry::california-fire-perimeters-all/about",
        f"https://www.arcgis.com/home/item.html?id={ITEM}",
        f"https://portal.example.org/portal/home/item.html?id={ITEM}#data",
        f"https://www.arcgis.com/apps/mapviewer/index.html?layers={ITEM}",
    ],
)
def test_a_page_about_a_layer_is_told_from_the_layer(address: str) -> None:
    assert not is_rest_layer(address)
    with pytest.raises(InputError, match=r"page about a layer.*FeatureServer/0"):
        refuse_page(address, "release.source")


@pytest.mark.parametrize(
    "address",
    [
        "https://x.net/gis-data/2025/fire241gdb.ashx?rev=51/FeatureServer/0",
        f"https://opendata.arcgis.com/datasets/{ITEM}_0.zip",
        "https://example.org/datasets/fire241gdb.zip",
        "FeatureServer/0",
        "perimeters.gpkg",
    ],
)
def test_files_are_neither(address: str) -> None:
    assert not is_rest_layer(address)
    refuse_page(address, "release.source")
    assert without_token(address) == (address, None)


def test_the_service_of_a_layer() -> None:
    assert service_url(f"{SERVICE}/12") == service_url(SERVICE) == SERVICE


@given(token=st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=8))
def test_a_token_leaves_the_settings_and_stays_usable(token: str) -> None:
    from urllib.parse import quote

    address = f"{SERVICE}/0/query?f=json&TOKEN={quote(token, safe='')}&outFields=*"
    content = {"source": address, "prescribed_layer": f"{SERVICE}/1"}
    settings = ReleaseSettings(**content)
    plain = ReleaseSettings(source=settings.source, prescribed_layer=f"{SERVICE}/1")
    assert "token" not in settings.source.lower()
    assert settings.token_for(f"{SERVICE}/1") == token
    assert settings.token_for("https://elsewhere.org/arcgis/rest/services/Fires/FeatureServer/0") is None
    assert (settings.digest(), settings.model_dump(), repr(settings)) == (
        plain.digest(),
        plain.model_dump(),
        repr(plain),
    )
    assert settings.model_copy(update={"retries": 0}).token_for(SERVICE) == token


def test_tokens_of_a_whole_settings_file() -> None:
    content = {
        "name": "w",
        "years": {"first": 2020},
        "release": {"source": f"{SERVICE}/0?token=abc123secret"},
        "in_season": {"source": "https://nifc.example.org/arcgis/rest/services/W/FeatureServer/0?token=other"},
    }
    settings = parse_settings(content, "world.yaml")
    assert "abc123secret" not in repr(settings) + settings.model_dump_json()
    assert settings.release.token_for(SERVICE) == "abc123secret"
    assert settings.in_season.token_for(settings.in_season.source) == "other"
    assert InSeasonSettings().token_for(InSeasonSettings().source) is None


def test_california_follows_the_layer_that_is_always_the_newest_release() -> None:
    release = load_settings(CONFIGS_DIR / "california.yaml").release
    assert layer_url(release.source, release.setting) == release.source
