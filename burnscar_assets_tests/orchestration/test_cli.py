"""The command line: help, and one clear line for each mistake, with what was there untouched."""

import errno
import json
import zipfile
from pathlib import Path

import pytest

from burnscar_assets.cli import main
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE, settings_path
from burnscar_assets.orchestration.demo import DemoOptions, demo_world
from burnscar_assets.settings import load_settings
from burnscar_assets_tests.imported import imported_by
from burnscar_assets_tests.labels.label_records import frap_fires


@pytest.fixture(autouse=True)
def _own_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    for name in (CONFIG_VARIABLE, "DAGSTER_HOME", "WANDB_MODE"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize(
    "command", [[], ["demo"], ["plan"], ["refresh"], ["ui"], ["sql"], ["windows"], ["index"], ["export"], ["doctor"]]
)
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: burnscar" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "code"), [(["plan"], 0), (["sql", "from windows"], 0), (["compare"], 1)])
def test_commands_that_look_start_without_geometry_or_pictures(command: list[str], code: int) -> None:
    started = imported_by("-m", "burnscar_assets", *command)
    assert started.code == code, started.said
    assert "pandas" in started.packages
    assert not {"geopandas", "rasterio", "matplotlib", "torch", "rslearn"} & started.packages


def test_settings_with_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nyears: {first: 2022, last: 2019}\nrelease: {sauce: x}\n")
    assert main(["plan", "--config", str(path)]) == 1
    said = capsys.readouterr().err
    for expected in (str(path), "years", "release.source", "release.sauce"):
        assert expected in said.replace("\n", "")


def test_brackets_are_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "[mine].yaml"
    path.write_text("name: x\nyears: {first: 2019}\nrelease: {source: x}\nsampling: {granule_km: [30, 5]}\n")
    assert main(["plan", "--config", str(path)]) == 1
    said = capsys.readouterr().err
    assert str(path) in said and "[nearest, farthest]" in said


def test_answers_are_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", "select '[/x]' as \"[a]\", repeat('y', 300) as b"]) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("[/x]", "[a]", "y" * 300))


def test_a_year_that_the_world_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("plan", "refresh", "demo"):
        assert main([command, "--years", "1999"]) == 1
        assert "no fire year 1999" in capsys.readouterr().err


def test_a_missing_settings_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--config", "nowhere.yaml"]) == 1
    assert "nowhere.yaml" in capsys.readouterr().err


def test_given_perimeters_need_a_file_and_years(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--perimeters", str(tmp_path / "absent.zip"), "--years", "2018"]) == 1
    assert "absent.zip" in capsys.readouterr().err
    present = tmp_path / "fires.zip"
    present.touch()
    assert main(["demo", "--perimeters", str(present)]) == 1
    assert "--years" in capsys.readouterr().err
    assert main(["demo", "--fires", "3"]) == 1
    assert "--perimeters" in capsys.readouterr().err


def test_a_world_of_given_perimeters_is_remembered(tmp_path: Path) -> None:
    release = tmp_path / "fires.gdb.zip"
    release.touch()
    path, root = demo_world(DemoOptions(release, [2020, 2017, 2018], 5))
    settings = load_settings(path)
    assert (settings.years.first, settings.years.last, settings.years.exclude) == (2017, 2020, (2019,))
    assert settings.sampling.max_fires_per_year == settings.demo.fires_per_year == 5
    assert settings.simulated_imagery and not settings.simulated_perimeters
    assert settings_path(root.path) == path
    written = path.stat().st_mtime_ns
    assert demo_world(DemoOptions(release, [2020, 2017, 2018], 5))[0].stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["truncated", "climbing", "no perimeters"])
def test_a_bad_release_is_one_error(damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fires.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../escaped.txt" if damage == "climbing" else "readme.txt", "x" * 1000)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    assert main(["demo", "--perimeters", str(path), "--years", "2018"]) == 1
    said = capsys.readouterr().err
    assert said.count("error:") == 1 and "Traceback" not in said
    assert not (tmp_path / "escaped.txt").exists()
    assert not list((tmp_path / "data").glob("tables/**/*.parquet"))


def test_a_year_that_is_not_in_the_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fires.gpkg"
    frap_fires({"YEAR_": 2018}).to_file(path, driver="GPKG")
    assert main(["demo", "--perimeters", str(path), "--years", "2016"]) == 1
    assert "2018" in capsys.readouterr().err


def test_a_data_root_that_may_not_be_looked_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    assert main(["plan"]) == 1
    assert f"error: no permission for {tmp_path / 'data'}" in capsys.readouterr().err


def test_an_unwritable_data_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["demo", "--data", str(tmp_path / "file" / "data")]) == 1
    assert "BURNSCAR_DATA" in capsys.readouterr().err


def test_plan_names_years_and_assets_that_do_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--years", "1999"]) == 1
    assert "1999" in capsys.readouterr().err
    assert main(["refresh", "--select", "tile"]) == 1
    assert "tiles" in capsys.readouterr().err


def test_plan_as_json_without_the_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--json", "--no-gpu", "--years", "2019", "2020"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert {pair["fire_year"] for pair in planned} == {None, 2019, 2020}
    assert {pair["status"] for pair in planned} == {"MISSING"}
    assert "tiles" in {pair["asset"] for pair in planned}
    assert not {pair["asset"] for pair in planned} & {"checkpoint", "evaluation_metrics"}
    assert main(["refresh", "--dry-run"]) == 0
    assert main(["plan", "--json"]) == 0, "a dry run runs nothing"


def test_assets_before_the_simulated_archive_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refresh", "--years", "2021"]) == 1
    assert "run burnscar demo" in capsys.readouterr().err
