"""Every mistake in a settings file is named with file, field and what is allowed."""

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from burnscar_assets.environment import CONFIGS_DIR, config_file, data_root, settings_path
from burnscar_assets.errors import SettingsError
from burnscar_assets.section import Section
from burnscar_assets.settings import Settings, load_settings, parse_settings

LEAST = {"name": "x", "years": {"first": 2019, "last": 2022}, "release": {"source": "a.zip"}}


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        kinds = get_args(field.annotation) if isinstance(field.annotation, UnionType) else (field.annotation,)
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from sections(kind)


def mistake(content: dict) -> str:
    with pytest.raises(SettingsError) as raised:
        parse_settings(content, "world.yaml")
    return str(raised.value)


@pytest.mark.parametrize("name", ["demo", "california"])
def test_both_worlds_load(name: str) -> None:
    settings = load_settings(CONFIGS_DIR / f"{name}.yaml")
    assert settings.simulated_imagery is (name == "demo") is settings.simulated_perimeters


@pytest.mark.parametrize("section", sorted(set(sections(Settings)), key=lambda s: s.__name__))
def test_every_value_is_described(section: type[BaseModel]) -> None:
    for name, field in section.model_fields.items():
        is_section = isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        described = bool(field.description) or is_section or (section is Settings and name in ("demo", "years"))
        assert described, f"{section.__name__}.{name}"


@pytest.mark.parametrize(
    ("change", "field", "allowed"),
    [
        ({"years": {"first": 1800}}, "years.first", "greater than or equal to 1985"),
        ({"years": {"first": 2022, "last": 2019}}, "years", "last (2019) must not be before first (2022)"),
        ({"years": {"first": "soon"}}, "years.first", "valid integer"),
        ({"colour": "red"}, "colour", "no such field; allowed are name, years, release"),
        ({"windows": {"size": 32}}, "windows.size", "allowed are size_px, resolution_m, days_after"),
        ({"training": {"model": {"id": 1}}}, "training.model.id", "allowed are encoder, variant, weights"),
        ({"demo": {"fires": 3}}, "demo.fires", "allowed are seed, fires_per_year, perimeters"),
        ({"windows": {"size_px": 4}}, "windows.size_px", "greater than or equal to 8"),
        ({"training": {"model": {"size": "base"}}}, "training.model.size", "part of training.model.variant now"),
        ({"training": {"accelerator": "tpu"}}, "training.accelerator", "'auto', 'cpu' or 'gpu'"),
        ({"sampling": {"unburnt_per_burnt": {"burnt": 1}}}, "sampling", "ring, granule, land, hard, old_scar"),
        ({"sampling": {"unburnt_per_burnt": {"lake": 1}}}, "sampling.unburnt_per_burnt.lake.[key]", "'hard'"),
        ({"sampling": {"granule_km": [30, 5]}}, "sampling", "[nearest, farthest]"),
        ({"sampling": {"granule_km": [-5, 30]}}, "sampling", "0 or more"),
        ({"sampling": {"unburnt_per_burnt": {"ring": -1}}}, "sampling.unburnt_per_burnt.ring", "or equal to 0"),
        ({"windows": {"days_after": [30, 0]}}, "windows", "[first, last]"),
        ({"windows": {"days_after": [-5, 30]}}, "windows", "0 or more"),
        ({"windows": {"days_before": [60, 1]}}, "windows", "days_before must be [first, last]"),
        ({"mapping": {"days_after": [1, 30]}}, "mapping.days_after", "windows.days_after now, for windows and maps"),
        ({"mapping": {"days_before": [1, 60]}}, "mapping.days_before", "windows.days_before now"),
        ({"sampling": {"splits": {"train": 0.9, "val": 0.2}}}, "sampling.splits", "must leave a share for test"),
        ({"imagery": {"max_cloud_cover": 150}}, "imagery.max_cloud_cover", "less than or equal to 100"),
        ({"evaluation": {"confidence": 1}}, "evaluation.confidence", "less than 1"),
        ({"name": ""}, "name", "at least 1 character"),
        ({"release": {}}, "release.source", "Field required"),
    ],
)
def test_a_mistake_is_named_with_file_field_and_what_is_allowed(change: dict, field: str, allowed: str) -> None:
    message = mistake(LEAST | change)
    assert message.startswith("world.yaml has 1 mistake(s):\n")
    assert f"  {field}: " in message and allowed in message


def test_all_mistakes_are_named_at_once() -> None:
    message = mistake(LEAST | {"windows": {"size_px": 1, "resolution_m": -1}, "colour": 1})
    assert "has 3 mistake(s)" in message and message.count("\n") == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [("name: [", "is not valid YAML"), ("- a\n- b\n", "must hold a mapping"), ("", "must hold a mapping")],
)
def test_a_file_that_is_no_mapping_is_named(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=message) as raised:
        load_settings(path)
    assert str(path) in str(raised.value)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    path.write_bytes("name: Cañada".encode("latin-1"))
    with pytest.raises(SettingsError, match="is not valid YAML"):
        load_settings(path)


def test_a_missing_file_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read settings .*absent\.yaml.*BURNSCAR_CONFIG"):
        load_settings(tmp_path / "absent.yaml")


def test_settings_are_frozen_and_survive_a_round_trip(tmp_path: Path) -> None:
    settings = load_settings(CONFIGS_DIR / "demo.yaml")
    with pytest.raises(ValueError, match="frozen"):
        settings.name = "other"  # type: ignore[misc]
    (tmp_path / "world.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    assert load_settings(tmp_path / "world.yaml") == settings


def test_a_digest_changes_with_its_own_section_only() -> None:
    base = parse_settings(LEAST, "a")
    larger = parse_settings(LEAST | {"windows": {"size_px": 64}}, "b")
    same = parse_settings(LEAST | {"windows": {"size_px": 32}}, "c")
    assert base.windows.digest() == same.windows.digest() != larger.windows.digest()
    assert base.sampling.digest() == larger.sampling.digest()


def test_the_environment_chooses_world_and_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BURNSCAR_DATA", raising=False)
    monkeypatch.delenv("BURNSCAR_CONFIG", raising=False)
    assert data_root() == tmp_path / "data" / "demo"
    assert settings_path(tmp_path) == CONFIGS_DIR / "demo.yaml"
    (tmp_path / "world.yaml").write_text("")
    assert settings_path(tmp_path) == tmp_path / "world.yaml"
    monkeypatch.setenv("BURNSCAR_CONFIG", "california")
    assert settings_path(tmp_path) == CONFIGS_DIR / "california.yaml"
    (tmp_path / "california").mkdir()
    assert settings_path(tmp_path) == CONFIGS_DIR / "california.yaml", "a folder is no settings file"
    monkeypatch.setenv("BURNSCAR_CONFIG", str(tmp_path / "own.yaml"))
    assert settings_path(tmp_path) == tmp_path / "own.yaml"
    monkeypatch.setenv("BURNSCAR_DATA", str(tmp_path / "there"))
    assert data_root() == tmp_path / "there"


def test_configuration_files_are_found_by_path_or_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text("{}")
    assert config_file(str(own)) == own
    assert config_file("demo.yaml") == CONFIGS_DIR / "demo.yaml"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"no configuration 'own\.json'"):
        config_file("own.json")
    monkeypatch.setenv("BURNSCAR_CONFIG", str(tmp_path / "world.yaml"))
    assert config_file("own.json") == own
    beside = tmp_path / "dataset.json"
    assert config_file("dataset.json") == CONFIGS_DIR / "dataset.json"
    beside.write_text("{}")
    assert config_file("dataset.json") == beside, "a world's own comes first"
    with pytest.raises(SettingsError, match=r"no configuration 'absent\.json'.*demo\.yaml"):
        config_file("absent.json")
