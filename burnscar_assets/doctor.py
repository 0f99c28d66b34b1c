"""What this machine has for the platform and what it lacks, with the way to get it.

Looks, but changes nothing: no heavy library is imported (versions come from the packages' metadata), the
network is asked once for each source with a short timeout, and what is merely optional is a note.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from burnscar_assets.encoders.chosen import identity
from burnscar_assets.encoders.load import load_encoder
from burnscar_assets.encoders.weights import RANDOM, weight_files
from burnscar_assets.environment import CONFIGS_DIR, INSTANCE_FILE, config_file, weights_folder
from burnscar_assets.errors import BurnscarError, InputError, SettingsError
from burnscar_assets.network.addresses import host_of, with_secrets
from burnscar_assets.settings import Settings
from burnscar_assets.storage.paths import DataRoot

DISTRIBUTION: Final = "burnscar-assets"
MIN_FREE_GB: Final = 5
MIN_MEMORY_GB: Final = 4
NETWORK_TIMEOUT_S: Final = 5

_SOURCE_HOSTS: Final = {
    "planetary_computer": ("Planetary Computer", "https://planetarycomputer.microsoft.com/api/stac/v1"),
    "aws_sentinel2_element84": ("Element 84 Earth Search", "https://earth-search.aws.element84.com/v1"),
    "gcp_public_data": ("Google Cloud public data", "https://storage.googleapis.com/gcp-public-data-sentinel-2"),
}
_HUB: Final = "https://huggingface.co"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        ok: True if it is there, False if something will fail without it, None for a note.
        detail: What was found.
        remedy: What to do about it; empty if there is nothing to do.
    """

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""


def checks(settings: Settings, root: DataRoot) -> list[Check]:
    """Everything there is to check for a world, quick enough to run at any time (seconds)."""
    return [
        _python(),
        *_libraries(),
        _shipped(),
        _data_folder(root),
        _free_space(root),
        _machine(),
        _gpu(settings),
        *_sources(settings, root),
        _weights(settings, root),
        _browser(),
    ]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", sys.version_info >= (3, 11), version, "install Python 3.11 or later")


def _libraries() -> Iterator[Check]:
    """One check for each direct dependency of the installed package."""
    from packaging.requirements import Requirement

    try:
        declared = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Check(
            "library burnscar-assets", False, "not installed", "install its wheel: uv pip install burnscar_assets-*.whl"
        )
        return
    for requirement in map(Requirement, declared):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, remedy = f"library {requirement.name}", f'uv pip install "{requirement}"'
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Check(name, False, "not installed", remedy)
            continue
        fits = requirement.specifier.contains(version, prereleases=True)
        yield Check(name, fits, version if fits else f"{version}, but {requirement.specifier} is needed", remedy)


def _shipped() -> Check:
    """Where the configurations lie that a world of one's own can be copied from."""
    there = (CONFIGS_DIR / "demo.yaml").is_file() and INSTANCE_FILE.is_file()
    found = str(CONFIGS_DIR) if there else f"not all are in {CONFIGS_DIR}"
    return Check("shipped configurations", there, found, "install the package anew")


def _existing_parent(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())


def _data_folder(root: DataRoot) -> Check:
    there = _existing_parent(root.path)
    remedy = "set BURNSCAR_DATA to a folder that you may write to"
    if not there.is_dir():
        return Check("data folder", False, f"{there} is a file", remedy)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Check("data folder", False, f"{there}: {error.strerror}", remedy)
    found = "writable" if there == root.path else "not made yet; it can be"
    return Check("data folder", True, f"{root.path}: {found}", remedy)


def _free_space(root: DataRoot) -> Check:
    free_gb = shutil.disk_usage(_existing_parent(root.path)).free / 1e9
    enough = True if free_gb >= MIN_FREE_GB else (False if free_gb < 1 else None)
    return Check(
        "free space", enough, f"{free_gb:.1f} GB", f"free {MIN_FREE_GB} GB (the demo), or set BURNSCAR_DATA elsewhere"
    )


def _memory_bytes() -> int:
    """Memory of the machine, or of the container if that is less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    content = limit.read_text().strip() if limit.is_file() else ""
    return min(memory, int(content)) if content.isdigit() else memory


def _machine() -> Check:
    memory_gb = _memory_bytes() / 1e9
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    enough = True if memory_gb >= 0.95 * MIN_MEMORY_GB else None
    return Check(
        "memory and cores",
        enough,
        f"{memory_gb:.1f} GB, {cores} cores",
        f"{MIN_MEMORY_GB} GB are wanted: lower training.batch_size and imagery.workers",
    )


def _gpu(settings: Settings) -> Check:
    wanted = settings.training.accelerator == "gpu"
    missing = False if wanted else None
    without = "set training.accelerator: cpu" if wanted else "none needed: training runs on the CPU, slower"
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return Check("GPU", missing, "no NVIDIA GPU found", without)
    names = "; ".join(answer.stdout.strip().splitlines())
    try:
        seen = subprocess.run(
            [sys.executable, "-P", "-c", "import torch; print(torch.cuda.is_available())"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout.strip()
    except subprocess.SubprocessError:
        seen = ""
    if seen == "True":
        return Check("GPU", True, names)
    return Check("GPU", missing, f"{names}, but torch cannot use it", "install a CUDA build of torch for this driver")


def _sources(settings: Settings, root: DataRoot) -> Iterator[Check]:
    """The release and the imagery: local files are looked for, addresses are asked."""
    addresses: list[tuple[str, str]] = []
    perimeters = [
        ("release of perimeters", f"release.further[{place - 1}].source" if place else "release.source", source.source)
        for place, source in enumerate(settings.release.every)
    ]
    if settings.in_season.enabled:
        perimeters.append(("in-season perimeters", settings.in_season.setting, settings.in_season.source))
    for name, setting, source in perimeters:
        if source.startswith(("http://", "https://")):
            addresses.append((name, source))
        else:
            yield _local(settings, name, root.resolve(source), f"set {setting}")
    archive = settings.imagery.archive
    if archive and archive.startswith(("http://", "https://")):
        addresses.append(("imagery archive", archive))
    elif archive and "://" not in archive:
        yield _local(settings, "imagery archive", root.resolve(archive), "set imagery.archive")
    try:
        classes = re.findall(r'"class_path":\s*"([^"]+)"', config_file(settings.imagery.dataset_config).read_text())
    except SettingsError as error:
        yield Check("dataset configuration", False, settings.imagery.dataset_config, str(error))
        classes = []
    addresses += [host for module, host in _SOURCE_HOSTS.items() if any(module in path for path in classes)]
    if settings.training.model.weights is None and not settings.training.model.allow_random:
        addresses.append(("pretrained weights on the hub", _HUB))
    with ThreadPoolExecutor(max_workers=4) as pool:
        yield from pool.map(_reachable, addresses)


def _local(settings: Settings, name: str, path: Path, remedy: str) -> Check:
    if path.exists():
        return Check(name, True, str(path))
    if settings.demo is not None:
        return Check(name, None, f"{path}: not made yet", "run burnscar demo, which makes it")
    return Check(name, False, f"{path}: not found", remedy)


def _reachable(address: tuple[str, str]) -> Check:
    import requests

    from burnscar_assets.network.session import Limits, Session

    name, url = address
    host = host_of(url)
    limits = Limits(timeout_s=NETWORK_TIMEOUT_S, deadline_s=2 * NETWORK_TIMEOUT_S)
    try:
        with Session(limits, [host]) as session:
            session.head(with_secrets(url), allow_redirects=False)
    except SettingsError as error:
        return Check(name, False, str(error), "set the variable, or give the address without it")
    except (requests.RequestException, InputError):
        return Check(
            name,
            None,
            f"{host} does not answer",
            "what was fetched before still works, and so do local files (release.source, imagery.archive, "
            "training.model.weights) and burnscar demo; check the network or the proxy",
        )
    return Check(name, True, f"{host} answers")


def _weights(settings: Settings, root: DataRoot) -> Check:
    """The pretrained encoder's weights: in the folder of the settings, or in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    model = settings.training.model
    try:
        encoder = load_encoder(model.encoder)
        published, what = encoder.published(model.variant), identity(encoder, model.variant)
    except BurnscarError as error:
        said = f"{model.encoder} {model.variant or ''}".strip()
        return Check("pretrained weights", False, f"{said}: no such model", str(error))
    files = [str(Path(published.folder) / name) for name in weight_files(encoder, published)]
    if published.weights_file is None or model.weights == RANDOM:
        return Check("pretrained weights", True, f"{what} needs none" if published.weights_file is None else "random")
    folder = weights_folder(root, encoder.name) if model.weights is None else root.resolve(model.weights)
    missing = [name for name in files if not (folder / name).is_file()]
    if model.weights is not None or not missing:
        found = f"no {' and '.join(missing)} in it" if missing else "found"
        remedy = f"put {' and '.join(files)} there, or leave training.model.weights empty"
        return Check("pretrained weights", not missing, f"{folder}: {found}", remedy)
    repository = published.repository or ""
    if repository and all(isinstance(try_to_load_from_cache(repository, name), str) for name in files):
        return Check("pretrained weights", True, f"{what} is in the hub's cache")
    remedy = f"with a network they are fetched by themselves, or now: hf download {repository}"
    if model.allow_random:
        remedy += "; without them training starts from random weights, and says so"
    return Check("pretrained weights", None, f"{what} is not in the hub's cache", remedy)


def _browser() -> Check:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if browser and driver:
        return Check("Chromium and its driver", True, browser)
    lacking = " and ".join(n for n, p in (("Chromium", browser), ("chromedriver", driver)) if not p)
    return Check(
        "Chromium and its driver",
        None,
        f"no {lacking}",
        "only the browser tests need them: apt-get install chromium chromium-driver",
    )
