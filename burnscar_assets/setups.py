"""Set-ups: other ways to the same answer, each a file `setups/<name>.yaml` with a checkpoint and metrics of its own.

A file says what differs from the world's own set-up. It lies in `setups/` beside the world's settings or is a shipped
one (`configs/setups/`); of two files of one name the one beside the settings counts. Results go to
`<data root>/setups/<name>/`.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from burnscar_assets.dataset.config import LAYER_VARIABLE
from burnscar_assets.environment import CONFIGS_DIR, data_root, settings_path
from burnscar_assets.errors import SettingsError
from burnscar_assets.section import Section, read_named
from burnscar_assets.settings import Settings, parse_settings
from burnscar_assets.storage.paths import OWN

FOLDER: Final = "setups"
NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

Kind = Literal["fine_tuned", "threshold", "trees", "ensemble"]


class ThresholdParameters(Section):
    """How a threshold on a burn index is tuned."""

    index: Literal["nbr", "dnbr", "rbr"] = Field("nbr", description="Burn index, mean over the window.")
    before_layer: str | None = Field(
        None,
        description="Raster layer of the image before the fire, which dnbr and rbr compare with; empty: that of the "
        "dataset beside the layer of the image after it.",
    )

    @model_validator(mode="after")
    def _only_change_needs_two_images(self) -> Self:
        if self.index == "nbr" and self.before_layer is not None:
            raise ValueError("nbr compares with no image before the fire: leave before_layer out")
        return self


class TreesParameters(Section):
    """How gradient-boosted trees are grown (LightGBM)."""

    per: Literal["window", "pixel"] = Field(
        "window", description="What they tell: a window by its statistics, or a pixel by its own and its surroundings'."
    )
    change: bool = Field(
        False,
        description="Of trees per pixel, whether they read the image before the fire too: the dataset's layer beside "
        "that of the image after it.",
    )
    pixels_per_class: int = Field(
        24, ge=1, description="Of trees per pixel, pixels of each class that a window gives at most, drawn at random."
    )
    rounds: int = Field(200, ge=1, le=10_000, description="Trees at most; the best round on validation is kept.")
    stop_rounds: int = Field(30, ge=1, description="Stop after so many rounds without a better validation loss.")
    learning_rate: float = Field(0.05, gt=0, le=1, description="Shrinkage of each tree.")
    leaves: int = Field(15, ge=2, le=1024, description="Leaves of a tree at most.")
    min_windows_in_leaf: int = Field(10, ge=1, description="Windows, or pixels, in a leaf at least.")

    @model_validator(mode="after")
    def _change_is_of_pixels(self) -> Self:
        if self.change and self.per == "window":
            raise ValueError("change is of trees per pixel: say per: pixel")
        return self


class Setup(Section):
    """One set-up: what differs from the settings of the world."""

    name: str = Field(description="The file's name without its ending.")
    title: str = Field(min_length=1, description="A few words for charts and tables.")
    description: str = Field("", description="What it is, and when to use it.")
    kind: Kind = Field(
        "fine_tuned",
        description="What is trained: a network, a threshold on an index, or trees; or the weights of an ensemble.",
    )
    training: dict[str, Any] = Field({}, description="What replaces values of the section training, field by field.")
    layer: str | None = Field(None, description="Raster layer of the image after the fire; empty: imagery.layer.")
    seeds: tuple[int, ...] = Field(
        (), description="Seeds to train with, one after another; empty: training.seed. The first is the set-up's own."
    )
    threshold: ThresholdParameters | None = Field(None, description="Of kind threshold.")
    trees: TreesParameters | None = Field(None, description="Of kind trees.")
    members: tuple[str, ...] | None = Field(
        None,
        min_length=2,
        max_length=4,
        description="Of kind ensemble: set-ups whose probabilities are averaged, by name; default: the world's own.",
    )

    @model_validator(mode="before")
    @classmethod
    def _parameters_of_its_kind(cls, content: Any) -> Any:
        kind = content.get("kind", "fine_tuned") if isinstance(content, dict) else None
        given = {name for name in ("threshold", "trees") if isinstance(content, dict) and name in content}
        if given - {kind}:
            raise ValueError(f"{', '.join(sorted(given - {kind}))} is not of kind {kind}")
        return content | {kind: content.get(kind) or {}} if kind in ("threshold", "trees") else content

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ")
        if "seed" in self.training and self.seeds:
            raise ValueError("give seeds, or training.seed, not both")
        return self

    @model_validator(mode="after")
    def _members_are_of_an_ensemble(self) -> Self:
        if (self.kind == "ensemble") != (self.members is not None):
            raise ValueError("members are of kind ensemble, which needs them")
        if self.members and len(set(self.members)) < len(self.members):
            raise ValueError("members must differ")
        if self.members and (self.training or self.layer):
            raise ValueError("an ensemble trains nothing: say training and layer in the files of its members")
        return self

    @property
    def is_neural(self) -> bool:
        """Whether it trains a network, which a GPU speeds up."""
        return self.kind == "fine_tuned"

    @property
    def runs_network(self) -> bool:
        """Whether a network may answer for it: its own, or one of its members."""
        return self.kind in ("fine_tuned", "ensemble")

    @property
    def per_pixel(self) -> bool:
        """Whether it trains trees on label rasters; of a network its configuration says so."""
        return self.trees is not None and self.trees.per == "pixel"

    def further_seeds(self) -> tuple[int, ...]:
        """The seeds after the first."""
        return self.seeds[1:]

    def decisive(self) -> dict[str, Any]:
        """The values that decide what comes of it, beside the settings that it changes."""
        return self.model_dump(
            mode="json", include={"kind", "seeds", "threshold", "trees", "members"}, exclude_none=True
        )

    def judged(self) -> dict[str, Any]:
        """What an evaluation reads of it, beside its checkpoints."""
        return self.model_dump(mode="json", include={"seeds"})

    def compared(self) -> dict[str, Any]:
        """What a comparison reads of it, beside its results."""
        return self.model_dump(mode="json", include={"title", "kind", "seeds"})

    def applied_to(self, settings: Settings, seed: int | None = None) -> Settings:
        """The settings of the world with what this set-up replaces.

        `${BURNSCAR_LAYER}` in `earlier_layers` stands for the layer of the world, as in dataset configurations.

        Args:
            settings: of the world.
            seed: one of its seeds; empty: the first.

        Raises:
            SettingsError: naming this set-up, the field, and what is allowed.
        """
        content = settings.model_dump(mode="json")
        content["training"] = _merged(_of_encoder(content["training"], self.training), self.training)
        content["training"]["further_seeds"] = ()
        if seed is not None or self.seeds:
            content["training"]["seed"] = self.seeds[0] if seed is None else seed
        if self.layer is not None:
            content["imagery"]["layer"] = self.layer
        content["training"]["earlier_layers"] = [
            name.replace(LAYER_VARIABLE, settings.imagery.layer) for name in content["training"]["earlier_layers"]
        ]
        return parse_settings(content, f"set-up {self.name}")


def setup_files() -> dict[str, Path]:
    """Every set-up file of this process's world, by name, in alphabetical order.

    Raises:
        SettingsError: a file's name is not one for a set-up.
    """
    beside = settings_path(data_root()).resolve().parent / FOLDER
    found = {path.stem: path for folder in (CONFIGS_DIR / FOLDER, beside) for path in sorted(folder.glob("*.yaml"))}
    for name, path in found.items():
        if not NAME.fullmatch(name) or name == OWN:
            raise SettingsError(
                f"{path}: a set-up's file is named with small letters, digits and single hyphens, and not {OWN}"
            )
    return dict(sorted(found.items()))


def load_setups(settings: Settings) -> dict[str, Setup]:
    """The set-ups of a world, by name, without those that its settings leave out, or a member of which they do.

    Raises:
        SettingsError: a file is malformed, changes a setting that doesn't exist, names a member that is no set-up, or
            has a name that is none.
    """
    excluded = settings.setups.exclude
    chosen = [name for name in setup_files() if not any(fnmatchcase(name, pattern) for pattern in excluded)]
    setups = _with_members({name: load_setup(name) for name in chosen})
    for setup in setups.values():
        setup.applied_to(settings)
    _check_there("mapping.setup", settings.mapping.setup, setups)
    if setups:  # else nothing is compared
        _check_there("setups.reference", settings.setups.reference, setups)
    return setups


def _check_there(field: str, name: str, setups: Mapping[str, Setup]) -> None:
    if name not in (OWN, *setups):
        raise SettingsError(f"{field}: no set-up {name!r}; there are {', '.join((OWN, *setups))}")


def load_setup(name: str) -> Setup:
    """Read one set-up by its name.

    Raises:
        SettingsError: there is none, or see `read_named`.
    """
    files = setup_files()
    if name not in files:
        raise SettingsError(f"no set-up {name!r}: there are {', '.join(files) or 'none'}")
    return read_named(files[name], "set-up", Setup)


def _with_members(setups: Mapping[str, Setup]) -> dict[str, Setup]:
    """Set-ups without ensembles of which a member is left out."""
    known = setup_files()
    for name, setup in setups.items():
        for member in setup.members or ():
            if member != OWN and member not in known:
                raise SettingsError(f"set-up {name}: no member {member!r}; there are {OWN}, {', '.join(known)}")
            if member in setups and setups[member].members:
                raise SettingsError(f"set-up {name}: its member {member} is an ensemble; name that one's members")
    return {name: setup for name, setup in setups.items() if {*(setup.members or ())} <= {OWN, *setups}}


def _of_encoder(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of training without what the world says of another encoder than a set-up's."""
    model = changes.get("model")
    named = model.get("encoder") if isinstance(model, dict) else None
    return {**values, "model": {}} if named not in (None, values["model"]["encoder"]) else dict(values)


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values with changes in their place, mappings within mappings too."""
    merged = dict(values)
    for name, change in changes.items():
        old = values.get(name)
        merged[name] = _merged(old, change) if isinstance(old, dict) and isinstance(change, dict) else change
    return merged
