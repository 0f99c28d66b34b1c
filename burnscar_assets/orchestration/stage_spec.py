"""What a stage is: the type of the records of `stages.py`, and no stage itself."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from burnscar_assets.setups import Kind
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table

if TYPE_CHECKING:
    from burnscar_assets.orchestration.partitions import World

OWN_KIND: Kind = "fine_tuned"
"""Kind of the world's own set-up."""

_PACKAGE = __name__.rpartition(".")[0]


class Partitions(Enum):
    """What an asset is partitioned by."""

    FIRE_YEARS = "fire years"
    MODEL_YEARS = "fire years; in a world with folds the last one alone"
    NONE = "nothing"


class Years(Enum):
    """The fire years of an input that one fire year of a stage is made from."""

    SAME = "the same"
    LOOK_BACK = "the same and those before that are trained on"
    JUDGED = "the same; all in a world with folds"
    BEFORE = "the one before"
    SEASON = "those before that a season's checkpoint may be of"
    ALL = "all"


def _always(_world: "World") -> bool:
    return True


class Input(NamedTuple):
    """What a stage is made from.

    Attributes:
        asset: a stage's or a source's; of a stage that each set-up has, that of the same set-up.
        years: which of its fire years.
        of: of which set-ups instead, as an asset of a stage that each set-up has: of all, of an ensemble's members, or
            of the one that maps.
        where: which worlds' stage reads it, as a set-up sees them.
    """

    asset: str
    years: Years = Years.SAME
    of: Literal["same", "all", "members", "maps"] = "same"
    where: "Callable[[World], bool]" = _always


class Folder(NamedTuple):
    """A folder that a stage writes beside its tables.

    Attributes:
        path: of a data root and a fire year; of a stage that each set-up has, once for each checkpoint.
        proof: the file in it that must be there once it was written; empty: the folder itself.
    """

    path: Callable[[DataRoot, Any], Path]
    proof: str = ""


@dataclass(frozen=True)
class StageSpec:
    """One stage: what it reads, makes and needs.

    Attributes:
        name: of the stage, and of the function that makes its result.
        version: raised when its code comes to give another result for the same input.
        group: of its asset; of a stage that each set-up has, that of the world's own set-up.
        kinds: what its asset is labelled with.
        module: which has its body, relative to this package; the body's docstring is the asset's description.
        inputs: what it is made from, plain names for the same fire year.
        settings: sections or single fields of the settings that decide its result.
        files: fields of the settings that name files which decide its result.
        code: modules that its body calls, that it runs in a process, or that its configuration files name.
        tables: that it writes, its own first, whose rows are its content.
        folders: that it writes beside them.
        partitions: of its asset.
        where: which worlds have it, as a set-up sees them.
        asset: name of its asset, if not its own.
        per_setup: whether each set-up has an asset of its own.
        setup_kinds: kinds of set-ups that it makes the asset of; empty: all.
        gpu: whether it runs a network, where its set-up has any.
        needs_config: whether it reads the dataset's config.json, which follows from the settings.
        in_dataset: whether its files are in the dataset's folders of a fire year, which such stages share.
        watched: whether sensors or schedules ask for it where its inputs change; else it follows by itself.
        can_look_wrong: whether what it fetches is refused if it looks wrong, unless a person's word is given.
        inputs_alone: whether it reads nothing of what its inputs were made from.
    """

    name: str
    version: str
    group: str
    kinds: frozenset[str]
    module: str
    inputs: tuple[str | Input, ...]
    code: tuple[str, ...]
    settings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    folders: tuple[Folder, ...] = ()
    partitions: Partitions = Partitions.FIRE_YEARS
    where: "Callable[[World], bool]" = _always
    asset: str = ""
    per_setup: bool = False
    setup_kinds: tuple[Kind, ...] = ()
    gpu: bool = False
    needs_config: bool = False
    in_dataset: bool = False
    watched: bool = False
    can_look_wrong: bool = False
    inputs_alone: bool = False

    @property
    def makes(self) -> str:
        """Name of its asset, without that of the set-up."""
        return self.asset or self.name

    @property
    def is_partitioned(self) -> bool:
        """Whether its asset has fire years."""
        return self.partitions is not Partitions.NONE

    def is_for(self, kind: Kind) -> bool:
        """Whether it makes its asset of set-ups of a kind."""
        return not self.setup_kinds or kind in self.setup_kinds

    @property
    def reads(self) -> tuple[Input, ...]:
        """Its inputs, each with its years."""
        return tuple(Input(one) if isinstance(one, str) else one for one in self.inputs)

    @property
    def body(self) -> Callable[..., Any]:
        """The function that makes its result."""
        found: Callable[..., Any] = getattr(import_module(self.module, _PACKAGE), self.name)
        return found

    @property
    def description(self) -> str:
        """What its body's docstring says, in one paragraph."""
        return " ".join((inspect.getdoc(self.body) or "").split())
