"""The doctor says what is missing and how to get it, quickly, and changes nothing."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from burnscar_assets import doctor
from burnscar_assets.doctor import Check, checks
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.settings import Settings, load_settings, parse_settings
from burnscar_assets.storage.paths import DataRoot

DEMO = load_settings(CONFIGS_DIR / "demo.yaml")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address but this machine's own is behind a proxy that isn't there."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[str]:
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def world(**changes: object) -> Settings:
    content = {"name": "x", "years": {"first": 2019}, "release": {"source": "release.zip"}}
    return parse_settings(content | changes, "x")


def found(settings: Settings, root: DataRoot, name: str) -> Check:
    return next(check for check in checks(settings, root) if check.name == name)


def test_the_demo_lacks_nothing_here_and_everything_is_named(root: DataRoot) -> None:
    results = checks(DEMO, root)
    assert not [check for check in results if check.ok is False]
    names = {check.name for check in results}
    assert {"Python", "data folder", "free space", "memory and cores", "GPU", "pretrained weights"} <= names
    assert {"library torch", "library rslearn", "library dagster", "library duckdb"} <= names
    assert all(check.detail for check in results)
    assert all(check.remedy for check in results if check.ok is None)
    assert not root.path.exists()


def test_shipped_configurations_are_where_it_says_or_missing(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(DEMO, root, "shipped configurations").detail == str(CONFIGS_DIR)
    monkeypatch.setattr(doctor, "INSTANCE_FILE", CONFIGS_DIR / "absent.yaml")
    lacking = found(DEMO, root, "shipped configurations")
    assert lacking.ok is False and lacking.remedy == "install the package anew"


def test_development_libraries_are_not_asked_for(root: DataRoot) -> None:
    assert "library hypothesis" not in {check.name for check in checks(DEMO, root)}


@pytest.mark.parametrize("version", [None, "0.1"])
def test_a_missing_or_old_library_names_the_command(
    version: str | None, root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_version = metadata.version

    def pretend(name: str) -> str:
        if name != "geopandas":
            return true_version(name)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", pretend)
    check = found(DEMO, root, "library geopandas")
    assert check.ok is False and check.remedy == 'uv pip install "geopandas>=1.0"'


def test_an_uninstalled_package_is_named(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISTRIBUTION", "no-such-distribution")
    assert found(DEMO, root, "library burnscar-assets").ok is False


def test_a_data_root_that_cannot_be_written_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/burnscar")):
        check = found(DEMO, DataRoot(path), "data folder")
        assert check.ok is False and "BURNSCAR_DATA" in check.remedy


def test_a_small_machine_is_noted(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_memory_bytes", lambda: 2e9)
    monkeypatch.setattr(doctor, "MIN_FREE_GB", 1e9)
    assert found(DEMO, root, "memory and cores").ok is None
    assert found(DEMO, root, "free space").ok is None


def test_a_source_that_answers_anything_is_reachable(server: str, root: DataRoot) -> None:
    settings = world(release={"source": f"{server}/release.zip"}, imagery={"archive": f"{server}/index.parquet"})
    assert found(settings, root, "release of perimeters").ok is True
    assert found(settings, root, "imagery archive").ok is True


def test_sources_of_the_configuration_that_do_not_answer_are_notes(root: DataRoot) -> None:
    settings = world(
        release={"source": "https://fire.invalid/x.zip"}, imagery={"dataset_config": "dataset-planetary-computer.json"}
    )
    for name in ("release of perimeters", "Planetary Computer", "pretrained weights on the hub"):
        check = found(settings, root, name)
        assert check.ok is None and "still works" in check.remedy


def test_a_local_source_is_made_by_the_demo_or_missing(root: DataRoot) -> None:
    assert found(DEMO, root, "release of perimeters").remedy == "run burnscar demo, which makes it"
    missing = found(world(), root, "release of perimeters")
    assert missing.ok is False and "release.source" in missing.remedy
    root.path.mkdir()
    (root.path / "release.zip").write_text("")
    assert found(world(), root, "release of perimeters").ok is True


def test_an_unknown_dataset_configuration_is_named(root: DataRoot) -> None:
    check = found(world(imagery={"dataset_config": "absent.json"}), root, "dataset configuration")
    assert check.ok is False and "dataset.json" in check.remedy


def test_a_gpu_that_was_asked_for_and_is_not_there_fails(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert found(world(), root, "GPU").ok is None
    wanted = found(world(training={"accelerator": "gpu"}), root, "GPU")
    assert wanted.ok is False and "accelerator: cpu" in wanted.remedy


def test_a_gpu_that_torch_cannot_use_is_told_apart(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100, 81559 MiB'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho False\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    check = found(world(), root, "GPU")
    assert check.ok is None and "H100" in check.detail and "CUDA build" in check.remedy
    python.write_text("#!/bin/sh\necho True\n")
    assert found(world(), root, "GPU").ok is True


def test_weights_are_looked_for_in_the_folder_and_in_the_cache(
    root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    settings = world(training={"model": {"weights": str(folder)}})
    assert found(settings, root, "pretrained weights").detail == f"{folder}: no weights.pth in it"
    (folder / "weights.pth").write_text("")
    assert found(settings, root, "pretrained weights").ok is True

    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    absent = found(DEMO, root, "pretrained weights")
    assert absent.ok is None and "random weights" in absent.remedy and "allenai/OlmoEarth-v1_2-Nano" in absent.remedy
    repository = cache / "models--allenai--OlmoEarth-v1_2-Nano"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    for name in ("config.json", "weights.pth"):
        (repository / "snapshots" / "abc").mkdir(parents=True, exist_ok=True)
        (repository / "snapshots" / "abc" / name).write_text("")
    assert found(DEMO, root, "pretrained weights").ok is True


def test_a_model_that_was_never_published_is_named(root: DataRoot) -> None:
    settings = world(training={"model": {"variant": "v1_3-nano"}})
    check = found(settings, root, "pretrained weights")
    assert check.ok is False and "v1_3" in check.detail + check.remedy


def test_no_heavy_library_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from burnscar_assets.doctor import checks;"
        "from burnscar_assets.environment import CONFIGS_DIR; from burnscar_assets.settings import load_settings;"
        "from burnscar_assets.storage.paths import DataRoot;"
        f"checks(load_settings(CONFIGS_DIR / 'demo.yaml'), DataRoot(Path({str(tmp_path)!r})));"
        "print({'torch', 'rslearn', 'dagster', 'matplotlib'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
