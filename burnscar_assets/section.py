"""What every section of settings is: frozen, strict, with a digest of what decides a result; and files of one each."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from burnscar_assets.errors import SettingsError
from burnscar_assets.network.masking import masked

Named = TypeVar("Named", bound="Section")


class Section(BaseModel):
    """Base of every section: frozen, and unknown fields are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    transport: ClassVar[frozenset[str]] = frozenset()
    """Fields that say how work is carried out, not what comes of it; code versions leave them out."""

    def decisive(self) -> dict[str, Any]:
        """The values that decide what comes of the section, as JSON has them; secrets of addresses decide nothing."""
        values: dict[str, Any] = masked(self.model_dump(mode="json", exclude=set(self.transport)))
        return values

    def digest(self) -> str:
        """Short hash of the decisive values."""
        return hashlib.sha256(json.dumps(self.decisive(), sort_keys=True).encode()).hexdigest()[:12]


class Producer(Section):
    """Who makes images or perimeters, and what has to be said of them."""

    name: str = Field(min_length=1, description="Who.")
    url: str = Field(description="Address of a page about it.")
    terms: str | None = Field(None, description="Address of the terms of use; empty: they are to be looked up at url.")
    credit: str = Field(min_length=1, description="What has to be said; {year} becomes that of the last image.")


def read_unless_known(path: Path, kind: str, section: type[Named]) -> Named:
    """As `read_named`, for files that are long or asked for often: again only once the file was edited."""
    found = _read(path, path.stat().st_mtime_ns, kind, section)
    assert isinstance(found, section)  # noqa: S101 - of the class that it was asked for
    return found


def read_named(path: Path, kind: str, section: type[Named]) -> Named:
    """Read a file that is named for what it holds, such as a sensor or a set-up.

    Args:
        path: the YAML file; its name without the ending becomes the field `name`.
        kind: what it holds, for errors.
        section: what that is.

    Raises:
        SettingsError: in one line, naming the file and, for every mistake at once, field and what is allowed.
    """
    known = ", ".join(name for name in section.model_fields if name != "name")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError) as error:  # a day such as 0000-00-00 is a ValueError
        raise SettingsError(f"{kind} {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or "name" in content:
        raise SettingsError(f"{kind} {path} must hold a mapping, and no name; a {kind} has {known}")
    try:
        return section.model_validate(content | {"name": path.stem})
    except ValidationError as error:
        mistakes = []
        for mistake in error.errors():
            unknown = mistake["type"] == "extra_forbidden" and len(mistake["loc"]) == 1
            allowed = f"no such field; a {kind} has {known}" if unknown else mistake["msg"]
            mistakes.append(f"{'.'.join(map(str, mistake['loc'])) or '(file)'}: {allowed}")
        raise SettingsError(f"{kind} {path}: {'; '.join(mistakes)}") from error


@lru_cache
def _read(path: Path, _modified_ns: int, kind: str, section: type[Section]) -> Section:
    return read_named(path, kind, section)
