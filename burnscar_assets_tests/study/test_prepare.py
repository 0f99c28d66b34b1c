"""Images and perimeters of a person become a world, or are refused by name with what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import rasterio
import yaml

from burnscar_assets.cli import main
from burnscar_assets.dataset.config import image_layers, open_dataset, write_dataset_config
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.regions.load import default_region
from burnscar_assets.sensors.load import load_sensor
from burnscar_assets.setups import load_setup, load_setups
from burnscar_assets.storage.hashing import hash_file
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.study.fitting import ENCODER_EPOCHS
from burnscar_assets.study.prepare import DAYS, EXTENT, INDEX, Prepared, StudyOptions, prepare_study
from burnscar_assets_tests.regions.kit import in_region
from burnscar_assets_tests.study.own_chips import BANDS, CHIPS, write_chips

Prepare = Callable[..., Prepared]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_chips(tmp_path / "images")
    return tmp_path / "images"


@pytest.fixture
def prepare(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "root"))
    monkeypatch.setenv(CONFIG_VARIABLE, "")

    def run(perimeters: Path = images / "perimeters.geojson", **options: object) -> Prepared:
        return prepare_study(StudyOptions(images, perimeters, **options), DataRoot(tmp_path / "root"))  # type: ignore[arg-type]

    return run


def edit(path: Path, change: Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]) -> None:
    path.write_text(json.dumps(change(gpd.read_file(path)).__geo_interface__, default=str))


def test_a_world_is_written_of_what_the_files_tell(prepare: Prepare, tmp_path: Path) -> None:
    done = prepare()
    root, settings = tmp_path / "root", done.settings
    sensor = load_sensor(settings.imagery.sensor)
    assert (sensor.names, sensor.kind, sensor.resolution_m, sensor.dtype) == (BANDS, "composites", 20, "uint16")
    assert (settings.windows.size_px, settings.windows.resolution_m) == (32, 20)
    assert (settings.years.first, settings.years.last) == (2023, 2024)
    days = pd.read_csv(root / DAYS).set_index("file")
    assert days.loc["ALDER_2023/post.tif"].tolist() == ["2023-07-01", "2023-07-31"]
    assert days.loc["ALDER_2023/pre.tif"].tolist() == ["2023-05-02", "2023-06-30"]
    assert sorted(map(tuple, gpd.read_parquet(root / EXTENT)["fire_years"])) == [(2023,)] * 2 + [(2024,)] * 4
    told, left_out = " ".join(done.told), " ".join(done.left_out)
    assert "8 composites tell no days" in told and "7 of 7 fires have no containment date" in told
    assert "1 perimeters have a flag" in told and "upper bound" in told
    assert "1 fires have no image of all bands after them: GINKGO" in left_out and "lack B02, B03, B04" in left_out


def test_what_a_person_edits_stays_and_what_is_the_same_is_not_written(prepare: Prepare, tmp_path: Path) -> None:
    world = prepare().settings_file
    before = {name: hash_file(tmp_path / "root" / name) for name in (INDEX, DAYS, EXTENT)}
    world.write_text(world.read_text().replace("days_after: [0, 30]", "days_after: [2, 40]"))
    assert prepare().settings.windows.days_after == (2, 40)
    assert pd.read_csv(tmp_path / "root" / DAYS).set_index("file").loc["ALDER_2023/post.tif", "end"] == "2023-08-10"
    world.write_text(world.read_text().replace("days_after: [2, 40]", "days_after: [0, 30]"))
    prepare()
    assert before == {name: hash_file(tmp_path / "root" / name) for name in (INDEX, DAYS, EXTENT)}


def test_set_ups_are_trained_with_seeds_and_random_weights_as_long_as_pretrained_ones(
    prepare: Prepare, tmp_path: Path
) -> None:
    settings = prepare().settings
    setups = {path.stem: yaml.safe_load(path.read_text()) for path in (tmp_path / "root" / "setups").glob("*.yaml")}
    assert {"galileo-random", "trees-per-pixel"} <= set(setups) and "nbr-threshold" not in setups
    assert setups["trees-per-pixel"]["seeds"] == [0, 1, 2]
    random = load_setup("galileo-random")
    assert "at the rate of the world's own network" in random.description
    training = random.applied_to(settings).training
    assert training.learning_rate == settings.training.learning_rate
    assert {"max_epochs": training.max_epochs, "early_stop_epochs": training.early_stop_epochs} == ENCODER_EPOCHS


def test_weights_that_are_not_the_published_ones_are_told(prepare: Prepare, tmp_path: Path) -> None:
    folder = tmp_path / "weights" / "models" / "nano"
    folder.mkdir(parents=True)
    for file, why in (("config.json", "has no encoder.pt"), ("encoder.pt", "has the SHA-256")):
        (folder / file).write_text("{}")
        left_out = " ".join(prepare(weights={"galileo": tmp_path / "weights"}).left_out)
        assert "has no weights that can be used" in left_out and why in left_out


def test_a_year_that_images_show_and_settings_leave_out_is_told(prepare: Prepare) -> None:
    world = prepare().settings_file
    assert "2023" not in " ".join(prepare().left_out).partition("images show fires of")[2]
    world.write_text(world.read_text().replace("first: 2023", "first: 2024"))
    assert "images show fires of 2023, which the settings leave out" in " ".join(prepare().left_out)


def test_a_data_root_of_another_world_is_refused(prepare: Prepare, tmp_path: Path) -> None:
    prepare()
    other = tmp_path / "other.geojson"
    shutil.copy(tmp_path / "images" / "perimeters.geojson", other)
    with pytest.raises(SettingsError, match=r"is of another world than .*give another --data"):
        prepare(other)


def test_a_containment_date_counts_and_no_field_of_it_is_needed(prepare: Prepare, images: Path, tmp_path: Path) -> None:
    edit(
        images / "perimeters.geojson",
        lambda fires: fires.assign(CONT_DATE=[f"{year}-07-20" for year in fires["YEAR_"]]),
    )
    done = prepare()
    assert "containment date" not in " ".join(done.told)
    assert pd.read_csv(tmp_path / "root" / DAYS).set_index("file").loc["ALDER_2023/post.tif", "start"] == "2023-07-20"


def test_perimeters_elsewhere_are_refused_with_both_places(prepare: Prepare, images: Path) -> None:
    edit(images / "perimeters.geojson", lambda fires: fires.set_geometry(fires.translate(0, -3)))
    with pytest.raises(InputError, match=r"no image lies on a fire: images are within -1.*correct the CRS of one"):
        prepare()


@pytest.mark.parametrize("missing", ["YEAR_", "ALARM_DATE"])
def test_perimeters_without_year_or_alarm_are_refused(prepare: Prepare, images: Path, missing: str) -> None:
    edit(images / "perimeters.geojson", lambda fires: fires.drop(columns=missing))
    with pytest.raises(InputError, match=f"lacks {missing}; its fields are"):
        prepare()


def test_empty_years_are_refused(prepare: Prepare, images: Path) -> None:
    edit(images / "perimeters.geojson", lambda fires: fires.assign(YEAR_=None))
    with pytest.raises(InputError, match=r"no fire in .* has a year"):
        prepare()


def test_metres_that_are_called_degrees_are_refused(prepare: Prepare, images: Path) -> None:
    path = images / "perimeters.geojson"
    content = gpd.read_file(path).to_crs(32610).__geo_interface__
    path.write_text(json.dumps(content | {"crs": {"type": "name", "properties": {"name": "EPSG:4326"}}}, default=str))
    with pytest.raises(InputError):
        prepare()


def test_images_whose_role_or_fire_nothing_tells_are_named(prepare: Prepare, images: Path) -> None:
    (images / "FIR_2024" / "post.tif").rename(images / "FIR_2024" / "image.tif")
    with pytest.raises(InputError, match=r"1 have no days, nor post or pre .*--days FILE.*FIR_2024/image.tif"):
        prepare()


def test_two_fires_under_one_image_are_told_apart_by_its_path(prepare: Prepare, images: Path) -> None:
    def doubled(fires: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        other = fires[fires["FIRE_NAME"] == "FIR"].assign(FIRE_NAME="OTHER", ALARM_DATE="2024-09-01")
        return pd.concat([fires, other.set_geometry(other.translate(0.003, 0.003))])

    edit(images / "perimeters.geojson", doubled)
    assert prepare().settings.years.first == 2023
    (images / "FIR_2024").rename(images / "X_2024")
    with pytest.raises(InputError, match=r"show no fire or several .*X_2024/post.tif"):
        prepare()


def test_images_of_one_name_are_refused(prepare: Prepare, images: Path) -> None:
    shutil.copy(images / "FIR_2024" / "post.tif", images / "FIR_2024" / "post.tiff")
    with pytest.raises(InputError, match="called as another image but for the ending"):
        prepare()


def test_bands_that_several_sensors_explain_differently_want_a_sensor(prepare: Prepare, images: Path) -> None:
    for path in images.glob("*/*.tif"):
        with rasterio.open(path, "r+") as target:
            target.descriptions = ["x"] * target.count
    with pytest.raises(InputError, match=r"no image has bands named for nir, swir2.*give --sensor NAME"):
        prepare()


def test_a_sensor_of_some_bands_takes_in_images_of_these_alone(prepare: Prepare, images: Path) -> None:
    done = prepare(bands=("B12", "B08"))
    assert done.settings.sensor.names == ("B08", "B12")
    assert "9 images have the bands B08, B12" in " ".join(done.told)
    assert "have no image" not in " ".join(done.left_out)
    assert prepare(bands=("B08", "B12")).settings == done.settings
    with pytest.raises(InputError, match=r"--bands B08,B12,B04: the sensor own, .*has B08, B12: give another --data"):
        prepare(bands=("B08", "B12", "B04"))


@pytest.mark.parametrize(
    ("bands", "said"),
    [
        (("B08", "B99"), "no image has all of them: names are B02, B03, B04, B08, B12"),
        (("B04", "B12"), "they don't show both nir and swir2"),
    ],
)
def test_bands_that_make_no_sensor_are_refused(prepare: Prepare, bands: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=f"--bands {','.join(bands)}: {said}"):
        prepare(bands=bands)


def test_images_of_the_burn_ratios_bands_alone_are_enough(prepare: Prepare, images: Path) -> None:
    shutil.rmtree(images)
    write_chips(images, CHIPS[-1:])
    assert prepare().settings.sensor.names == ("B08", "B12")


def test_a_study_of_change_takes_the_fires_that_have_images_before_and_after(prepare: Prepare, tmp_path: Path) -> None:
    done = prepare(change=True)
    root = tmp_path / "root"
    fires = gpd.read_parquet(root / EXTENT)
    assert sorted(map(tuple, fires["fire_years"])) == [(2023,), (2024,)]
    assert set(pd.read_parquet(root / INDEX)["id"]) == {
        "ALDER_2023__post", "ALDER_2023__pre", "CEDAR_2024__post", "CEDAR_2024__pre"
    }  # fmt: skip
    left_out = next(line for line in done.left_out if "none before" in line)
    assert left_out.startswith("4 fires have an image after") and "BIRCH" in left_out and "ALDER" not in left_out
    setups, own = load_setups(done.settings), done.settings.training
    assert {"dnbr-threshold", "trees-per-pixel-change"} < setups.keys()
    assert (setups["ensemble"].members, setups["ensemble"].seeds) == (("default", "trees-per-pixel"), (0, 1, 2))
    network = setups["unet-pre-post"]
    its = network.applied_to(done.settings).training
    assert (its.earlier_layers, network.seeds) == (("own_pre",), (0, 1, 2))
    assert (its.learning_rate, its.max_epochs, its.batch_size) == (own.learning_rate, own.max_epochs, own.batch_size)
    assert set(image_layers(open_dataset(write_dataset_config(done.settings.imagery, DataRoot(root)).parent))) == {
        "own", "own_pre"
    }  # fmt: skip
    assert prepare().settings == done.settings, "what the settings say counts"


def test_an_image_after_one_fire_and_before_another_is_kept(prepare: Prepare, images: Path, tmp_path: Path) -> None:
    for folder in images.glob("*_202?"):
        if folder.name != "ALDER_2023":
            shutil.rmtree(folder)
    for name, day in (("pre.tif", "20230620.tif"), ("post.tif", "20230720.tif")):
        (images / "ALDER_2023" / name).rename(images / "ALDER_2023" / day)
    path = images / "perimeters.geojson"
    alder = gpd.read_file(path).iloc[:1]
    ash = alder.assign(FIRE_NAME="ASH", ALARM_DATE=pd.Timestamp("2023-06-05")).set_geometry(alder.translate(0.012))
    edit(path, lambda fires: pd.concat([alder, ash]))
    done = prepare(change=True)
    assert set(pd.read_parquet(tmp_path / "root" / INDEX)["id"]) == {"ALDER_2023__20230620", "ALDER_2023__20230720"}
    assert any(line.startswith("1 fires have an image after") and "ASH" in line for line in done.left_out)


def test_change_of_a_world_without_images_before_is_refused(prepare: Prepare) -> None:
    prepare()
    with pytest.raises(SettingsError, match=r"--change: .*have no image before their fire: give another --data"):
        prepare(change=True)


def test_another_region_than_that_of_the_world_is_refused(prepare: Prepare) -> None:
    prepare()
    prepare(region="california")
    with pytest.raises(SettingsError, match=r"--region greece: .* lies in california: give another --data"):
        prepare(region="greece")


def test_change_wants_images_before(prepare: Prepare, images: Path) -> None:
    for path in images.glob("*/pre.tif"):
        path.unlink()
    with pytest.raises(InputError, match=r"no image in .* is of days 1 to 60 before the alarm"):
        prepare(change=True)


def years_later(images: Path) -> Path:
    """A table by which every image is of a year with no fire."""
    path = images.parent / "days.csv"
    names = [file.relative_to(images).as_posix() for file in images.glob("*/*.tif")]
    path.write_text("".join(["file,start\n", *(f"{name},2025-07-20\n" for name in names)]))
    return path


def test_images_of_a_shipped_sensor_are_taken_for_it(prepare: Prepare, images: Path) -> None:
    for path in images.glob("*/*.tif"):
        day = "20230720" if "2023" in str(path) else "20240725"
        with rasterio.open(path) as source:
            pixels, profile = source.read(), source.profile | {"dtype": "int16", "nodata": -9999, "count": 6}
            if source.count < len(BANDS):
                continue
        transform = profile["transform"]
        profile["transform"] = rasterio.Affine(30, 0, transform.c, 0, -30, transform.f)
        path.unlink()
        with rasterio.open(path.with_name(f"{path.stem}_{day}.tif"), "w", **profile) as target:
            target.write(pixels[[0, 1, 2, 3, 4, 4]].astype("int16"))
            target.descriptions = ["blue", "green", "red", "nir", "swir1", "swir2"]
    with pytest.raises(InputError, match=r"--bands nir,swir2: the images are of the shipped sensor hls: leave --bands"):
        prepare(bands=("nir", "swir2"))
    done = prepare()
    assert done.settings.imagery.sensor == "hls" and done.settings.windows.resolution_m == 30
    assert done.settings.perimeters.assumed_duration_days == 14
    assert "end is taken to be 14 days after the alarm" in " ".join(done.told)
    with pytest.raises(InputError, match=r"no image in .* is of days 0 to 30 after the end of a fire"):
        prepare(days=years_later(images))


def test_the_file_for_people_says_what_was_found(prepare: Prepare) -> None:
    text = prepare().settings_file.read_text()
    assert "# 7 of 7 fires have no containment date" in text
    assert yaml.safe_load(text)["imagery"]["allowed_hosts"][0].endswith("/images")


def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, "")
    monkeypatch.setenv(DATA_VARIABLE, "")
    write_chips(tmp_path / "images", CHIPS[:1])
    given = ["study", "--images", str(tmp_path / "none"), "--perimeters", str(tmp_path / "images/perimeters.geojson")]
    assert main([*given, "--data", str(tmp_path / "root")]) == 1
    assert f"{tmp_path / 'none'} is no folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*given, "--weights", "galileo"])
    assert "galileo is not ENCODER=FOLDER" in capsys.readouterr().err


def test_a_study_says_its_region_and_fires_elsewhere_are_refused(prepare: Prepare, tmp_path: Path) -> None:
    with in_region(default_region()):
        assert prepare().settings.ground == default_region()
        (tmp_path / "root" / "world.yaml").unlink()
        with pytest.raises(InputError, match="its records lie around"):
            prepare(region="greece")
