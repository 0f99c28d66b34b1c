"""Finds the pretrained OlmoEarth encoder that the settings ask for, without importing torch.

A local folder comes first, then the hub's cache on this machine, then the hub. Where none has it and the
settings allow it, the true v1.2 Nano architecture with random weights stands in, and everything says so.
"""

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from burnscar_assets.classes import BANDS
from burnscar_assets.errors import InputError, SettingsError, SourceUnavailableError
from burnscar_assets.models.classes import foreign_encoder_classes
from burnscar_assets.settings import ModelSettings
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.hashing import hash_file
from burnscar_assets.storage.paths import DataRoot

CONFIG_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "weights.pth"
HUB_TIMEOUT_S: Final = 5.0
_SHA256 = re.compile("[0-9a-f]{64}")

LICENCE_NOTICE: Final = (
    "OlmoEarth weights: (c) Allen Institute for AI, under the OlmoEarth Artifact License (no military, surveillance "
    "or extractive use; pass these terms on with every copy and derivative; cite Ai2's OlmoEarth)."
)
RANDOM_NOTICE: Final = (
    "RANDOM WEIGHTS: the encoder is OlmoEarth v1.2 Nano's architecture without its pretraining. "
    "Figures of this checkpoint say nothing about OlmoEarth."
)

PRETRAINING_OF_V1: Final = (
    "285,288 places of 2.56 km all over the world, chosen by features of OpenStreetMap, each seen by Sentinel-1, "
    "Sentinel-2 and Landsat 8 and 9 in 360 days within 2016–2024 (github.com/allenai/olmoearth_pretrain, "
    "docs/Pretraining-Dataset.md)"
)
UNKNOWN_IMAGERY: Final = "unknown"


@dataclass(frozen=True)
class Architecture:
    """Size of a published encoder."""

    embedding_size: int
    depth: int
    parameters: int


ARCHITECTURES: Final = {
    ("v1", "nano"): Architecture(128, 4, 1_361_024),
    ("v1", "tiny"): Architecture(192, 12, 6_202_560),
    ("v1", "base"): Architecture(768, 12, 88_953_600),
    ("v1", "large"): Architecture(1024, 24, 307_770_368),
    ("v1_1", "nano"): Architecture(128, 4, 1_697_328),
    ("v1_1", "tiny"): Architecture(192, 12, 12_461_296),
    ("v1_1", "base"): Architecture(768, 12, 113_973_952),
    ("v1_2", "nano"): Architecture(128, 4, 1_698_096),
    ("v1_2", "tiny"): Architecture(192, 12, 12_464_752),
    ("v1_2", "small"): Architecture(384, 12, 35_615_200),
    ("v1_2", "base"): Architecture(768, 12, 113_987_776),
    ("v1_3", "base"): Architecture(768, 12, 128_266_048),
}
"""Published models by version and size; parameters of the encoder, as olmoearth-pretrain-minimal builds it."""


@dataclass(frozen=True)
class Encoder:
    """What a training run starts from.

    Attributes:
        model_id: Identity on the hub, e.g. `allenai/OlmoEarth-v1_2-Nano`.
        path: Folder with `config.json` and, unless random, `weights.pth`.
        random: Whether the weights are random.
        embedding_size: Channels of its features.
        depth: Number of transformer blocks.
        parameters: Number of parameters.
        sha256: Hash of `weights.pth`; none if random.
        revision: Commit of the hub that it was fetched of; none if random or from a folder.
        notice: What a person must be told: the licence, or that the weights are random.
    """

    model_id: str
    path: Path
    random: bool
    embedding_size: int
    depth: int
    parameters: int
    sha256: str | None
    notice: str
    revision: str | None = None


def pretraining_imagery(identity: str, *, random: bool) -> str:
    """What is published of the places and years that an encoder was pretrained on.

    Args:
        identity: on the hub, as `model_id`.
        random: whether its weights are random.
    """
    if random:
        return "none, its weights are random"
    version = identity.removeprefix("allenai/OlmoEarth-").rpartition("-")[0]
    if version == "v1":
        return PRETRAINING_OF_V1
    if any(version == known for known, _ in ARCHITECTURES):
        return f"{UNKNOWN_IMAGERY} for {version}; published of v1: {PRETRAINING_OF_V1}"
    return UNKNOWN_IMAGERY


def model_id(settings: ModelSettings) -> str:
    """Identity of the model on the hub.

    Raises:
        SettingsError: there is no such model; names those that there are.
    """
    if (settings.version, settings.size) not in ARCHITECTURES:
        known = ", ".join(f"{version} {size}" for version, size in ARCHITECTURES)
        raise SettingsError(
            f"training.model: there is no OlmoEarth {settings.version} {settings.size}; choose one of {known}"
        )
    return f"allenai/OlmoEarth-{settings.version}-{settings.size.capitalize()}"


def resolve_encoder(settings: ModelSettings, root: DataRoot, warn: Callable[[str], None] = warnings.warn) -> Encoder:
    """Find the encoder's folder; `warn` is told where random weights stand in for it.

    Raises:
        SettingsError: there is no such model, or random weights are allowed for another than v1.2 Nano only.
        InputError: the folder lacks a file, holds another model, or weights of another hash than they should have.
        SourceUnavailableError: the hub doesn't answer, and random weights are not allowed.
    """
    identity = model_id(settings)
    if settings.weights is not None:
        return _pretrained(identity, settings, root.resolve(settings.weights))
    try:
        folder = _from_hub(identity, settings.revision)
    except SourceUnavailableError:
        if not settings.allow_random:
            raise
        warn(f"{identity}: {RANDOM_NOTICE}")
        return _random(identity, settings, root)
    encoder = _pretrained(identity, settings, folder)
    return replace(encoder, revision=folder.name)


def _pretrained(identity: str, settings: ModelSettings, folder: Path) -> Encoder:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise InputError(f"{folder} has no {name}: put both files of {identity} there (training.model.weights)")
    expected, sha256 = ARCHITECTURES[settings.version, settings.size], _checked_hash(folder / WEIGHTS_FILE, settings)
    embedding_size, depth = _read_architecture(folder / CONFIG_FILE)
    if (embedding_size, depth) != (expected.embedding_size, expected.depth):
        raise InputError(
            f"{folder / CONFIG_FILE} describes an encoder of {embedding_size} channels and {depth} blocks; {identity} "
            f"has {expected.embedding_size} and {expected.depth}: set training.model to the model that is there"
        )
    return Encoder(
        identity,
        folder,
        random=False,
        embedding_size=embedding_size,
        depth=depth,
        parameters=expected.parameters,
        sha256=sha256,
        notice=LICENCE_NOTICE,
    )


def _checked_hash(weights: Path, settings: ModelSettings) -> str:
    """Hash of the weights: that of the settings, and that under which the hub's cache keeps a large file."""
    found, kept_as = hash_file(weights), weights.resolve().name
    if _SHA256.fullmatch(kept_as) and found != kept_as:
        raise InputError(f"{weights} is damaged (its hash is not the hub's): delete it, and it is fetched anew")
    if settings.sha256 not in (None, found):
        raise InputError(f"{weights} has the SHA-256 {found}, not that of training.model.sha256: find out why")
    return found


def _read_architecture(path: Path) -> tuple[int, int]:
    try:
        config = json.loads(path.read_bytes())
        if foreign := foreign_encoder_classes(config["model"]):
            raise InputError(f"{path} names {', '.join(foreign)}, which is no part of OlmoEarth: fetch it anew")
        encoder = config["model"]["encoder_config"]
        return int(encoder["embedding_size"]), int(encoder["depth"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no OlmoEarth configuration ({error!r}): fetch it anew") from error


def _from_hub(identity: str, revision: str) -> Path:
    """Folder of the model in the hub's cache, named by its commit, fetched if need be."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = [try_to_load_from_cache(identity, name, revision=revision) for name in (CONFIG_FILE, WEIGHTS_FILE)]
    if all(isinstance(path, str) for path in cached):
        return Path(str(cached[0])).parent
    try:
        _probe_hub(identity, revision)
        weights, config = (
            hf_hub_download(identity, name, revision=revision, etag_timeout=HUB_TIMEOUT_S)
            for name in (WEIGHTS_FILE, CONFIG_FILE)
        )
    except (OSError, ValueError) as error:
        raise SourceUnavailableError(
            f"cannot fetch {identity} from the hub ({type(error).__name__}): try again with a network, put its "
            f"{CONFIG_FILE} and {WEIGHTS_FILE} in a folder and set training.model.weights to it, or set "
            "training.model.allow_random to try the chain without pretraining"
        ) from error
    if Path(weights).parent != Path(config).parent:
        raise SourceUnavailableError(f"{identity} changed on the hub while it was fetched: try again")
    return Path(config).parent


def _probe_hub(identity: str, revision: str) -> None:
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
            f"{constants.ENDPOINT}/{identity}/resolve/{revision}/{CONFIG_FILE}",
            headers={"authorization": f"Bearer {token}"} if token else {},
        )
    if response.status_code in (401, 403, 404):
        raise InputError(
            f"the hub answers {response.status_code} for {identity}: accept its licence there and set HF_TOKEN, or "
            f"put its {CONFIG_FILE} and {WEIGHTS_FILE} in a folder and set training.model.weights to it"
        )
    response.raise_for_status()


def _random(identity: str, settings: ModelSettings, root: DataRoot) -> Encoder:
    if (settings.version, settings.size) != ("v1_2", "nano"):
        raise SettingsError(
            f"no weights of {identity} are to be had, and random ones stand in for v1_2 nano only: set "
            "training.model.weights, or training.model to {version: v1_2, size: nano}"
        )
    folder = root.pretrained / f"{identity.rpartition('/')[2]}-random"
    config = random_nano_config()
    path = folder / CONFIG_FILE
    if not path.exists() or json.loads(path.read_bytes()) != config:
        write_json(path, config)
    architecture = ARCHITECTURES["v1_2", "nano"]
    return Encoder(
        identity,
        folder,
        random=True,
        embedding_size=architecture.embedding_size,
        depth=architecture.depth,
        parameters=architecture.parameters,
        sha256=None,
        notice=RANDOM_NOTICE,
    )


def random_nano_config() -> dict[str, Any]:
    """The `config.json` of OlmoEarth v1.2 Nano, in the form that olmoearth-pretrain-minimal reads.

    It says what `OlmoEarthPretrain_v1("nano", "v1.2")` of that package builds; a test compares the two.
    """
    nn = "olmoearth_pretrain.nn."
    seen = ["sentinel2_l2a", "sentinel1", "landsat"]
    decoded = ["worldcover", "srtm", "openstreetmap_raster", "wri_canopy_height_map", "cdl", "worldcereal"]
    landsat = ["B8", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9", "B10", "B11"]
    band_groups = {"sentinel2_l2a": [list(BANDS)], "landsat": [landsat]}
    shared = {
        "depth": 4,
        "num_heads": 8,
        "mlp_ratio": 4.0,
        "supported_modality_names": seen + decoded,
        "max_sequence_length": 12,
        "position_encoding": "rope_3d_mixed",
        "rope_temporal_coordinate_scale": 1 / 30,
        "tokenization_config": {
            "_CLASS_": f"{nn}tokenization.TokenizationConfig",
            "overrides": {
                name: {"_CLASS_": f"{nn}tokenization.ModalityTokenization", "band_groups": groups}
                for name, groups in band_groups.items()
            },
        },
    }
    encoder = shared | {
        "_CLASS_": f"{nn}flexi_vit.EncoderConfig",
        "embedding_size": 128,
        "max_patch_size": 8,
        "drop_path": 0.1,
        "use_linear_patch_embed": True,
        "patch_embed_hidden_sizes": [12],
        "band_dropout_rate": 0.2,
        "random_band_dropout": True,
        "band_dropout_modalities": ["sentinel2_l2a", "landsat"],
        "rope_mixed_base": 10_000.0,
    }
    decoder = shared | {
        "_CLASS_": f"{nn}flexi_vit.PredictorConfig",
        "encoder_embedding_size": 128,
        "decoder_embedding_size": 128,
    }
    masking = {"strategy_config": {"only_decode_modalities": decoded}}
    return {
        "model": {"_CLASS_": f"{nn}latent_mim.LatentMIMConfig", "encoder_config": encoder, "decoder_config": decoder},
        "train_module": {"masking_config": masking},
    }
