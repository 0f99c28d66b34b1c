"""What a label source's file says, checked; nothing is read here.

A publisher's records become one table of events, `RELEASE_RECORDS`. The file says which of its fields becomes which of
ours, and what its values mean; `labels/normalise.py` reads any layer by it.
"""

import re
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final, Literal, Self, get_args

from pydantic import ConfigDict, Field, field_validator, model_validator

from burnscar_assets.labels.dates import FIRST_YEAR, tells_days
from burnscar_assets.plausible import LAST_YEAR
from burnscar_assets.section import Producer, Section

Role = Literal["label", "map"]
"""What a source's fires are read for: to train and judge by, or just to be mapped, as those of a running season."""

DECIDES_SEASON: Final = ("kind", "start", "end", "percent_contained", "perimeter_date")
"""Fields that decide whether a fire of the season is mapped: those that a source's file names must be there."""

Kind = Literal["fire", "prescribed", "other"]
"""Wildfire, prescribed burn, or ground that burned for a reason that isn't known: a burn, but no label."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

EndKind = Literal["contained", "controlled", "last_detection", "scene_date"]
"""What a source's last day of a fire is; `assumed` beside them is the settings' word, not a source's."""

HECTARES: Final = {"hectares": 1.0, "acres": 0.40468564224, "km2": 100.0, "m2": 1e-4}
"""Hectares of each unit of area."""


_PLAIN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""Parts of a regular expression that mean characters: what is escaped, and sets."""

_REPEATED_GROUP: Final = re.compile(r"\)\s*(?:[*+]|\{\d*,?\d*\})")


def _pattern(value: str | None, groups: int | None = None) -> str | None:
    """Check a regular expression, and how many groups it has.

    Raises:
        ValueError: it isn't one, has others, or repeats a group, which a search may take hours for.
    """
    if value is None:
        return None
    try:
        found = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from error
    if _REPEATED_GROUP.search(_PLAIN.sub("x", value)):
        raise ValueError(f"{value!r} repeats a group, so that a search could take hours: repeat sets such as [a-z_]+")
    if groups is not None and found != groups:
        raise ValueError(f"{value!r} must have {groups} group, which holds the value; it has {found}")
    return value


class FieldOf(Section):
    """Where a value stands in a layer, and how it is written; a name or a list of names is short for `names`."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    names: tuple[str, ...] = Field(
        (),
        description="Names that the field has had; the first that a layer has is read. Case, blanks and punctuation "
        "don't count, nor what follows the ten letters of a shapefile.",
    )
    missing: tuple[str, ...] = Field((), description="Values that stand for none, such as -9999.")
    pattern: str | None = Field(
        None, description="Regular expression whose one group is the value; what it isn't found in has none."
    )
    values: dict[str, str] = Field(
        {}, description="What values mean, whatever their case; `lightning*` stands for all that begin so."
    )
    others: str | None = Field(None, description="What all other values mean; empty: they count as missing.")
    empty: str | None = Field(None, description="What it means that a record has no value.")
    by_record: bool = Field(
        False, description="Whether each record has the first of the names that it fills, not all the same one."
    )

    @model_validator(mode="before")
    @classmethod
    def _names_alone(cls, content: Any) -> Any:
        if not isinstance(content, dict | str | list | tuple):
            return content  # a field that was read already
        field = content if isinstance(content, dict) else {"names": content}
        names = field.get("names", ())
        return field | {"names": (names,) if isinstance(names, str) else names}

    @field_validator("pattern")
    @classmethod
    def _has_one_group(cls, value: str | None) -> str | None:
        return _pattern(value, 1)

    def meaning(self, value: str) -> str | None:
        """What a value means; None if nothing says."""
        plain = value.strip().casefold()
        for key, meant in self.values.items():
            if fnmatchcase(plain, key.strip().casefold()):
                return meant
        return self.others


class DayOf(FieldOf):
    """Where a day stands in a layer."""

    format: str | None = Field(
        None,
        description="How text is written, as Python's strptime has it (%d/%m/%Y); empty: ISO, or milliseconds since "
        "1970.",
    )

    @field_validator("format")
    @classmethod
    def _tells_a_day(cls, value: str | None) -> str | None:
        if value is not None and not tells_days(value):
            raise ValueError(f"{value!r} tells no day: it must hold year, month and day, as %d/%m/%Y does")
        return value


class EndOf(DayOf):
    """Where a fire's last day stands in a layer, and what it is the day of."""

    kind: EndKind = Field(
        "contained",
        description="contained or controlled, as reported; last_detection: a satellite saw it burn; scene_date: an "
        "image shows the whole scar.",
    )
    precision_days: float = Field(1, ge=0, le=1000, description="How far off the day may be, in days.")
    within_days: int | None = Field(
        None, ge=0, description="A day that is farther from the start is not read; empty: any later one is."
    )
    called: str | None = Field(
        None, min_length=1, description="What `contained_by` of a season's records calls it; empty: as its kind."
    )


class AreaOf(FieldOf):
    """Where a burn's area stands in a layer."""

    unit: Literal["hectares", "acres", "km2", "m2"] = Field("hectares", description="What it is measured in.")
    of: Literal["polygon", "fire"] = Field(
        "polygon", description="Whether each of several polygons of a fire names its own area, or the fire's."
    )


class FieldMap(Section):
    """Which of a layer's fields becomes which of ours; of several of one, each record has the first that it fills."""

    id: FieldOf = Field(FieldOf(), description="Identity of the record, or of the fire if it has several polygons.")
    fire_year: FieldOf = Field(FieldOf(), description="Fire year; without one it is that of the start.")
    kind: FieldOf = Field(
        FieldOf(), description="What tells fire, prescribed and other; `values` say which, the rest is other."
    )
    state: FieldOf = Field(FieldOf(), description="State or province.")
    agency: FieldOf = Field(FieldOf(), description="Agency.")
    unit_id: FieldOf = Field(FieldOf(), description="Unit of the agency.")
    fire_name: FieldOf = Field(FieldOf(), description="Name.")
    inc_num: FieldOf = Field(FieldOf(), description="Number of the incident.")
    irwin_id: FieldOf = Field(FieldOf(), description="Interagency identifier of the United States.")
    complex_id: FieldOf = Field(FieldOf(), description="Identifier of the complex.")
    complex_name: FieldOf = Field(FieldOf(), description="Name of the complex.")
    cause: FieldOf = Field(FieldOf(), description="Cause, a code of FRAP's domain, or `values` that mean one.")
    c_method: FieldOf = Field(FieldOf(), description="How it was mapped, a code of FRAP's domain, or such `values`.")
    start: tuple[DayOf, ...] = Field((), description="First day.")
    end: tuple[EndOf, ...] = Field((), description="Last day, the best first.")
    area: tuple[AreaOf, ...] = Field((), description="Area as reported.")
    flag: FieldOf = Field(FieldOf(), description="What the source remarks on the perimeter.")
    incident_id: FieldOf = Field(FieldOf(), description="In season: identifier of the incident, for people.")
    percent_contained: FieldOf = Field(FieldOf(), description="In season: percent of its edge that is contained.")
    perimeter_date: tuple[DayOf, ...] = Field(
        (), description="In season: day that the perimeter is of; of several polygons of one `id` the newest counts."
    )
    edited: DayOf = Field(
        DayOf(), description="In season: day of the record's last edit; an end after it was expected, not seen."
    )

    @field_validator("start", "end", "area", "perimeter_date", mode="before")
    @classmethod
    def _one_is_enough(cls, content: Any) -> Any:
        is_one = isinstance(content, str | dict) or all(isinstance(part, str) for part in content)
        return (content,) if is_one and content else content

    @field_validator("kind")
    @classmethod
    def _knows_kinds(cls, value: FieldOf) -> FieldOf:
        meanings = (*value.values.values(), value.others, value.empty)
        if odd := [meant for meant in meanings if meant not in (*KINDS, None)]:
            raise ValueError(f"{odd[0]!r} is no kind of burn: there are {', '.join(KINDS)}")
        return value

    @field_validator("cause", "c_method")
    @classmethod
    def _means_codes(cls, value: FieldOf) -> FieldOf:
        if odd := [meant for meant in (*value.values.values(), value.others) if meant and not meant.isdigit()]:
            raise ValueError(f"{odd[0]!r} is no code of FRAP's domain, which are numbers")
        return value

    def every(self) -> dict[str, FieldOf]:
        """All fields by name; of several of one they are `end.0`, `end.1` and so on."""
        found: dict[str, FieldOf] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            found |= {name: value} if isinstance(value, FieldOf) else {f"{name}.{n}": v for n, v in enumerate(value)}
        return found

    @property
    def named(self) -> tuple[str, ...]:
        """Those of its fields that it has names for."""
        there = {name.partition(".")[0] for name, field in self.every().items() if field.names}
        return tuple(name for name in type(self).model_fields if name in there)

    def replaced_by(self, others: "FieldMap") -> "FieldMap":
        """The map with those fields that others name in the place of its own."""
        return self.model_copy(update={name: getattr(others, name) for name in others.model_fields_set})


class LayerNames(Section):
    """How layers are called, as regular expressions that are searched for, whatever their case."""

    fires: str | None = Field(None, description="Layers of fires; a group holds the number of the release.")
    prescribed: str | None = Field(None, description="Layers that hold nothing but prescribed burns.")
    never: str | None = Field(None, description="Layers that aren't fires, even where there is no other.")
    file: str | None = Field(None, description="Names of files whose group holds the number of the release.")
    every: bool = Field(
        False, description="Whether all layers of fires are read; else the one with the highest number."
    )

    @field_validator("fires", "prescribed", "never", "file")
    @classmethod
    def _is_an_expression(cls, value: str | None) -> str | None:
        return _pattern(value)


class LabelSource(Section):
    """A publisher's fire perimeters."""

    transport: ClassVar[frozenset[str]] = frozenset({"title", "producer", "usual_crs"})

    name: str = Field(description="The file's name without its ending.")
    title: str = Field(min_length=1, description="What people call it.")
    producer: Producer | None = Field(None, description="Who publishes it; empty: nobody is named.")
    fields: FieldMap = Field(description="Which of its fields becomes which of ours.")
    needed: tuple[str, ...] = Field(("start",), description="Fields without which a layer of fires is refused.")
    layers: LayerNames = Field(LayerNames(), description="How its layers are called.")
    usual_crs: str | None = Field(None, description="CRS that its layers come in, for advice where one has none.")
    dissolve: bool = Field(False, description="Whether several polygons of one `id` are one fire.")
    prefix_ids: bool = Field(True, description="Whether identities begin with the source's name.")
    reaches_beyond: bool = Field(
        False,
        description="Whether its layers hold more than a region: records elsewhere are passed over, or no labels.",
    )
    iso_states: bool = Field(
        False, description="Whether `state` holds ISO 3166 codes, so that a season's fires of a region are told by it."
    )
    first_fire_year: int = Field(
        FIRST_YEAR, ge=FIRST_YEAR, le=LAST_YEAR, description="Fire years before this one count as none."
    )

    @model_validator(mode="after")
    def _finds_what_it_needs(self) -> Self:
        self._check_needed()
        return self

    def _check_needed(self) -> None:
        if unknown := [name for name in self.needed if name not in self.fields.named]:
            raise ValueError(f"needed names {', '.join(unknown)}, for which `fields` has no names")
        if self.dissolve and "id" not in self.fields.named:
            raise ValueError("dissolve needs `fields.id`, which tells polygons of one fire")

    def followed(self, *, by_state: bool) -> "LabelSource":
        """The source as a season's is read: with all that decides whether a fire is mapped.

        Args:
            by_state: whether its records are told by their state, wherever they lie.
        """
        wanted = [name for name in (*DECIDES_SEASON, *(["state"] if by_state else [])) if name in self.fields.named]
        needed = tuple(dict.fromkeys((*self.needed, *wanted)))
        return self.model_copy(update={"needed": needed, "reaches_beyond": self.reaches_beyond and not by_state})

    def with_fields(self, fields: FieldMap | None) -> "LabelSource":
        """The source with some fields as settings have them; a layer must have those that settings name.

        Raises:
            ValueError: settings take away the names of a field that is needed.
        """
        if fields is None:
            return self
        # whoever names a field means one that is there: a typo in `kind` would make wildfires of prescribed burns
        needed = dict.fromkeys((*self.needed, *(name for name in fields.named if name in fields.model_fields_set)))
        changed = self.model_copy(update={"fields": self.fields.replaced_by(fields), "needed": tuple(needed)})
        changed._check_needed()
        return changed
