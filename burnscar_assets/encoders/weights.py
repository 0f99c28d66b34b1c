"""Finds the pretrained weights of the encoder that the settings ask for, without importing torch.

The settings' folder comes first, then that of `weights_folder`, the hub's cache on this machine, the hub. Where none
has them and the settings allow it, the true architecture with random weights stands in, and everything says so.
"""

import json
import re
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from burnscar_assets.encoders.chosen import RANDOM_NOTICE, ChosenEncoder, identity
from burnscar_assets.encoders.encoder import Encoder, Variant, variables
from burnscar_assets.encoders.load import foreign_classes_of_architecture, load_encoder
from burnscar_assets.environment import weights_folder
from burnscar_assets.errors import InputError, SettingsError, SourceUnavailableError
from burnscar_assets.network.retries import within
from burnscar_assets.settings import ModelSettings
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.hashing import hash_file
from burnscar_assets.storage.paths import DataRoot

HUB_TIMEOUT_S: Final = 5.0
HUB_DEADLINE_S: Final = 3600.0
"""All files of an encoder, of a gigabyte or two, must have come from the hub by then."""

RANDOM: Final = "random"
"""In place of a folder: no weights, whatever there are."""

_SHA256 = re.compile("[0-9a-f]{64}")


def resolve_encoder(
    settings: ModelSettings, root: DataRoot, warn: Callable[[str], None] = warnings.warn
) -> ChosenEncoder:
    """Find the encoder's folder; `warn` is told where random weights stand in for its own.

    Raises:
        SettingsError: there is no such encoder or variant, it has no such patch size, or random weights are asked for
            that it can't be built with.
        InputError: the folder lacks a file, holds another model, or weights of another hash than they should have.
        SourceUnavailableError: the hub doesn't answer, and random weights are not allowed.
    """
    encoder = load_encoder(settings.encoder)
    name, published = settings.variant or encoder.variant, encoder.published(settings.variant)
    patch_size = settings.patch_size or encoder.patch_size
    if patch_size not in encoder.patch_sizes:
        raise SettingsError(
            f"training.model.patch_size: {encoder.title} has no patches of {patch_size} px; choose one of "
            f"{', '.join(map(str, encoder.patch_sizes))}"
        )
    chosen = ChosenEncoder(encoder=encoder, name=name, patch_size=patch_size, path=root.pretrained, random=False)
    if published.weights_file is None:
        return chosen
    if settings.weights == RANDOM:
        return _random(chosen, published, root, warn)
    folder = _local_folder(settings, encoder, published, root)
    if settings.weights is not None or (folder / published.weights_file).is_file():
        return _pretrained(chosen, published, settings, folder)
    try:
        folder = _from_hub(chosen, published, settings.revision or published.revision or "main")
    except SourceUnavailableError:
        if not settings.allow_random:
            raise
        return _random(chosen, published, root, warn)
    found = _pretrained(chosen, published, settings, folder)
    levels = len(Path(published.folder).parts)
    return found.model_copy(update={"revision": (folder.parents[levels - 1] if levels else folder).name})


def local_files(settings: ModelSettings, root: DataRoot) -> dict[str, str]:
    """Hashes of an encoder's files in the folder of the settings or the person's own, by name; none of the hub's.

    The file of the weights is taken to be of the hash that it must have, which training sees to; without one, its
    content is read.

    Raises:
        SettingsError: there is no such encoder or variant.
    """
    encoder = load_encoder(settings.encoder)
    published = encoder.published(settings.variant)
    if settings.weights == RANDOM:
        return {}
    folder = _local_folder(settings, encoder, published, root)
    there = [folder / name for name in weight_files(encoder, published) if (folder / name).is_file()]
    pinned = {published.weights_file: _expected_hash(settings, published)}
    return {path.name: pinned.get(path.name) or _hash_of(path, *_state(path)) for path in there}


def _local_folder(settings: ModelSettings, encoder: Encoder, published: Variant, root: DataRoot) -> Path:
    own = weights_folder(root, encoder.name) if settings.weights is None else root.resolve(settings.weights)
    return own / published.folder


def _expected_hash(settings: ModelSettings, published: Variant) -> str | None:
    """The SHA-256 that the file of the weights must have, if anybody says."""
    return settings.sha256 or (published.sha256 if settings.revision is None else None)


def _state(path: Path) -> tuple[int, ...]:
    """What changes with a file's content; the system sets the last of them, whatever a copy claims to be."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache
def _hash_of(path: Path, *_state: int) -> str:
    return hash_file(path)


def weight_files(encoder: Encoder, published: Variant) -> list[str]:
    """Files of an encoder, as they lie within its folder."""
    return [name for name in (encoder.architecture_file, published.weights_file) if name is not None]


def _pretrained(chosen: ChosenEncoder, published: Variant, settings: ModelSettings, folder: Path) -> ChosenEncoder:
    encoder, weights = chosen.encoder, str(published.weights_file)
    for name in weight_files(encoder, published):
        if not (folder / name).is_file():
            files = " and ".join(weight_files(encoder, published))
            raise InputError(f"{folder} has no {name}: put {files} of {chosen.model_id} there (training.model.weights)")
    sha256 = _checked_hash(folder / weights, _expected_hash(settings, published))
    if encoder.architecture_file is not None:
        _check_architecture(chosen, published, folder / encoder.architecture_file)
    return chosen.model_copy(update={"path": folder, "sha256": sha256})


def _checked_hash(weights: Path, expected: str | None) -> str:
    """Hash of the weights: that of the settings, and that under which the hub's cache keeps a large file."""
    found, kept_as = hash_file(weights), weights.resolve().name
    if _SHA256.fullmatch(kept_as) and found != kept_as:
        raise InputError(f"{weights} is damaged (its hash is not the hub's): delete it, and it is fetched anew")
    if expected not in (None, found):
        raise InputError(
            f"{weights} has the SHA-256 {found}, not that of training.model.sha256 or else of the encoder's file, "
            f"{expected}: find out why"
        )
    return found


def _check_architecture(chosen: ChosenEncoder, published: Variant, path: Path) -> None:
    """Check that a folder holds the variant that the settings name, and that its file runs no foreign code.

    Raises:
        InputError: it doesn't.
    """
    encoder = chosen.encoder
    try:
        content = json.loads(path.read_bytes())
        if foreign := foreign_classes_of_architecture(content, encoder.architecture_classes):
            raise InputError(f"{path} names {', '.join(foreign)}, which is no part of {encoder.title}: fetch it anew")
        found = [_at(content, keys) for keys in (encoder.architecture_width, encoder.architecture_blocks) if keys]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no {encoder.title} configuration ({error!r}): fetch it anew") from error
    sought = [(encoder.architecture_width, published.width), (encoder.architecture_blocks, published.blocks)]
    if found != [number for keys, number in sought if keys]:
        raise InputError(
            f"{path} describes an encoder of {' channels and '.join(map(str, found))} blocks; {chosen.model_id} has "
            f"{published.width} and {published.blocks}: set training.model.variant to the model that is there"
        )


def _at(content: Any, keys: tuple[str, ...]) -> int:
    for key in keys:
        content = content[key]
    return int(content)


def _from_hub(chosen: ChosenEncoder, published: Variant, revision: str) -> Path:
    """Folder of the model in the hub's cache, below one named by its commit, fetched if need be."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    repository, files = published.repository, weight_files(chosen.encoder, published)
    if repository is None:
        raise SourceUnavailableError(
            f"{chosen.title} is on no hub: put {' and '.join(files)} in a folder and set training.model.weights to it"
        )
    names = [str(Path(published.folder) / name) for name in files]
    cached = [try_to_load_from_cache(repository, name, revision=revision) for name in names]
    if all(isinstance(path, str) for path in cached):
        return Path(str(cached[0])).parent

    def fetch() -> list[str]:
        return [hf_hub_download(repository, name, revision=revision, etag_timeout=HUB_TIMEOUT_S) for name in names]

    try:
        _probe_hub(repository, revision, names)
        fetched = within(HUB_DEADLINE_S, fetch)
    except InputError:
        raise
    except Exception as error:  # a connection that breaks off is an error of the HTTP library of the hub's client
        raise SourceUnavailableError(
            f"cannot fetch {chosen.model_id} from the hub ({type(error).__name__}): try again with a network, put its "
            f"{' and '.join(names)} in a folder and set training.model.weights to it, or set "
            "training.model.allow_random to try the chain without pretraining"
        ) from error
    folders = {Path(path).parent for path in fetched}
    if len(folders) > 1:
        raise SourceUnavailableError(f"{chosen.model_id} changed on the hub while it was fetched: try again")
    return folders.pop()


def _probe_hub(repository: str, revision: str, names: list[str]) -> None:
    """Ask once, because the hub's own client tries for half a minute when there is no network.

    Raises:
        InputError: the hub answers that there is no such file, or not for this user.
        OSError: the hub doesn't answer, or the hub's client was told to stay offline.
    """
    from huggingface_hub import constants, get_token

    from burnscar_assets.network.addresses import host_of
    from burnscar_assets.network.session import Limits, Session

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    token = get_token()
    limits = Limits(timeout_s=HUB_TIMEOUT_S, deadline_s=2 * HUB_TIMEOUT_S)
    with Session(limits, [host_of(constants.ENDPOINT)]) as session:
        response = session.head(
            f"{constants.ENDPOINT}/{repository}/resolve/{revision}/{names[0]}",
            headers={"authorization": f"Bearer {token}"} if token else {},
        )
    if response.status_code in (401, 403, 404):
        raise InputError(
            f"the hub answers {response.status_code} for {repository}: accept its licence there and set HF_TOKEN, or "
            f"put its {' and '.join(names)} in a folder and set training.model.weights to it"
        )
    response.raise_for_status()


def _random(chosen: ChosenEncoder, published: Variant, root: DataRoot, warn: Callable[[str], None]) -> ChosenEncoder:
    """The encoder without weights, its architecture written from the encoder's file."""
    encoder = chosen.encoder
    needs_file = encoder.architecture_file is not None
    if "RANDOM" not in variables([encoder.init_args, published.init_args]) or (
        needs_file and not published.architecture
    ):
        raise SettingsError(
            f"no weights of {chosen.model_id} are to be had, and random ones can't stand in, as its file doesn't say "
            "how it is built without a network: set training.model.weights to a folder with them"
        )
    folder = root.pretrained / f"{encoder.name}-{chosen.name}-random"
    path = folder / str(encoder.architecture_file)
    if needs_file and (not path.exists() or json.loads(path.read_bytes()) != published.architecture):
        write_json(path, published.architecture)
    warn(f"{identity(encoder, chosen.name)}: {RANDOM_NOTICE.format(title=chosen.title)}")
    return chosen.model_copy(update={"path": folder, "random": True})
