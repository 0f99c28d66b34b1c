"""Settings of the labels: fire years, where perimeters come from, which are good enough."""

from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    model_validator,
)

from burnscar_assets.labels.layer_address import without_token
from burnscar_assets.plausible import FIRST_YEAR, LAST_YEAR
from burnscar_assets.regions.load import working_region
from burnscar_assets.section import Section
from burnscar_assets.sources.load import DEFAULT, SEASON, load_source
from burnscar_assets.sources.source import FieldMap, LabelSource, Role


class YearSettings(Section):
    """The fire years that are partitions."""

    first: int = Field(ge=FIRST_YEAR, le=LAST_YEAR, description="First fire year.")
    last: int | None = Field(
        None, ge=FIRST_YEAR, le=LAST_YEAR, description="Last fire year; empty: the current year, as it comes."
    )
    exclude: tuple[Annotated[int, Field(ge=FIRST_YEAR, le=LAST_YEAR)], ...] = Field(
        (), description="Fire years between first and last that are left out."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last is not None and self.last < self.first:
            raise ValueError(f"last ({self.last}) must not be before first ({self.first})")
        if self.last is not None and not set(range(self.first, self.last + 1)) - set(self.exclude):
            raise ValueError(f"exclude leaves no year of {self.first} to {self.last}: leave out fewer")
        return self


class ServiceSettings(Section):
    """How a server of perimeters is asked."""

    setting: ClassVar[str]
    """The setting that names the server, for errors."""

    layers: ClassVar[frozenset[str]] = frozenset({"source"})
    """Fields that may hold the address of an ArcGIS layer, and in it a token."""

    user_agent: str = Field("Mozilla/5.0 (X11; Linux x86_64) burnscar-assets", description="User-Agent of requests.")
    referer: str = Field("https://www.fire.ca.gov/", description="Referer of requests; FRAP's server wants one.")
    timeout_s: float = Field(60, gt=0, description="How long to wait for the server, in seconds.")
    retries: int = Field(4, ge=0, description="How often a broken download or request is tried again.")
    deadline_s: float = Field(
        900,
        gt=0,
        description="Longest time for one request and its whole answer, in seconds; a download goes on after.",
    )
    max_answer_mb: float = Field(
        1000, gt=0, description="A larger answer of a service is refused, in megabytes after decompression."
    )
    redirect_hosts: tuple[str, ...] = Field(
        (), description="Other hosts that the server may redirect to, as names or patterns (*.azureedge.net)."
    )

    carried: ClassVar[frozenset[str]] = frozenset(
        {"user_agent", "referer", "timeout_s", "retries", "deadline_s", "max_answer_mb", "redirect_hosts"}
    )
    """Fields that say how the server is asked, not what for."""

    _tokens: dict[str, SecretStr] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _tokens_apart(cls, content: Any, build: ModelWrapValidatorHandler[Self]) -> Self:
        """Keep tokens of ArcGIS addresses out of all that is shown, stored or hashed."""
        if not isinstance(content, dict):
            return build(content)
        parted = {n: without_token(v) for n, v in content.items() if n in cls.layers and isinstance(v, str)}
        section = build(content | {name: address for name, (address, _) in parted.items()})
        section._tokens = {urlsplit(url).netloc: SecretStr(token) for url, token in parted.values() if token}
        return section

    def token_for(self, url: str) -> str | None:
        """The token that the settings' address of the same host had."""
        token = self._tokens.get(urlsplit(url).netloc)
        return token.get_secret_value() if token else None


class SourceSettings(ServiceSettings):
    """Where fire perimeters come from, and whose they are."""

    setting = "release.source"
    role: ClassVar[Role] = "label"
    """What its fires are read for."""

    layers = frozenset({"source", "prescribed_layer"})
    transport = ServiceSettings.carried | {"max_download_mb"}

    source: str = Field(
        description="A local zip, FileGDB, GeoPackage, shapefile, GeoParquet or GeoJSON (relative paths: under "
        "the data root), the https address of a FRAP zip, or of an ArcGIS REST layer (…/FeatureServer/0), "
        "with its token if it wants one."
    )
    format: str = Field(
        DEFAULT,
        min_length=1,
        description="Whose perimeters they are: the name of a label source's file in `sources/`, a shipped one or "
        "one's own.",
    )
    fields: FieldMap | None = Field(
        None, description="Which of the layer's fields becomes which of ours, in the place of what that file says."
    )
    fire_layer: str | None = Field(
        None, description="Layer of fires; empty: detected by its name (FRAP's firepNN_1), or the only one."
    )
    prescribed_layer: str | None = Field(
        None, description="Layer of prescribed burns; empty: detected by its name (rxburnNN_1), may be absent."
    )
    max_download_mb: int = Field(2000, ge=1, description="A larger download is refused, in megabytes.")

    @model_validator(mode="after")
    def _source_is_there(self) -> Self:
        _ = self.label_source  # read, to see that it is there and has what it needs
        return self

    @property
    def label_source(self) -> LabelSource:
        """Whose perimeters they are, read from the file, with the fields that the settings name.

        Raises:
            SettingsError: there is none, or naming what is wrong with it.
        """
        return load_source(self.format).with_fields(self.fields)


class ReleaseSettings(SourceSettings):
    """Where the fire perimeters come from: one source, or several in the order in which they are believed."""

    further: tuple[SourceSettings, ...] = Field(
        (),
        description="Further sources, each of a format of its own. Of a fire that is in two, the record of the one "
        "named first is taken: `source` before these, and these in their order.",
    )

    @model_validator(mode="after")
    def _formats_differ(self) -> Self:
        sources = [source.label_source for source in self.every]
        names = [source.name for source in sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"two sources have format {twice[0]}, so that nothing tells their records apart: copy its file into "
                "the folder sources beside the settings, under another name"
            )
        if len(plain := [source.name for source in sources if not source.prefix_ids]) > 1:
            raise ValueError(
                f"the sources {' and '.join(plain)} have prefix_ids: false, so that their records may have one id: "
                "leave it out of the file of all but one"
            )
        return self

    @property
    def every(self) -> tuple[SourceSettings, ...]:
        """All sources, the one that is believed most first."""
        return (self, *self.further)

    @property
    def wider(self) -> frozenset[str]:
        """Names of the sources that hold more than the region."""
        return frozenset(one.name for one in (source.label_source for source in self.every) if one.reaches_beyond)

    def decisive(self) -> dict[str, Any]:
        """The values that decide what comes of the section; see `Section`."""
        return super().decisive() | {"further": [source.decisive() for source in self.further]}


class InSeasonSettings(SourceSettings):
    """Perimeters of fires that the release doesn't have yet: they are mapped, and never trained on."""

    setting = "in_season.source"
    role = "map"
    transport = SourceSettings.transport | {"enabled", "check_minutes", "maps"}

    enabled: bool = Field(False, description="Whether the agencies' perimeters of the current season are followed.")
    source: str = Field(
        "https://services3.arcgis.com/T4QMspbfLg3qTGWY/arcgis/rest/services/"
        "WFIGS_Interagency_Perimeters/FeatureServer/0",
        description="Where they come from, as release.source; WFIGS's layer that keeps contained fires.",
    )
    format: str = Field(
        SEASON,
        min_length=1,
        description="Whose perimeters they are: the name of a label source's file, as release.format.",
    )
    state: str | None = Field(
        None,
        pattern=r"^\w[\w .-]{0,40}$",
        description="State of origin, as the source writes it; empty: the region's, if the source has ISO codes.",
    )
    min_area_ha: float = Field(
        10, ge=0, le=1_000_000, description="Smaller fires aren't mapped, in hectares; a window has 10.2."
    )
    check_minutes: float = Field(30, gt=0, description="How often the layer is looked at.")
    maps: bool = Field(
        True, description="Whether fires are mapped by themselves as they are contained, and again as imagery comes."
    )

    @model_validator(mode="after")
    def _source_is_of_its_format(self) -> Self:
        if "source" not in self.model_fields_set and self.format != SEASON:
            raise ValueError(f"format {self.format} needs a source of its own: name its file or layer")
        if self.state is not None and "state" not in super().label_source.fields.named:
            raise ValueError(f"state {self.state} can't be told: format {self.format} names no field of it")
        return self

    @property
    def label_source(self) -> LabelSource:
        """Whose perimeters they are, with all that decides whether a fire is mapped."""
        return super().label_source.followed(by_state=self.of_state is not None)

    @property
    def of_state(self) -> str | None:
        """The state whose fires are followed; None: those of the region, wherever they are from."""
        named = super().label_source
        region = working_region().iso_code if named.iso_states else None
        return (self.state or region) if "state" in named.fields.named else None


class PerimeterSettings(Section):
    """Which perimeters are good enough to be labels."""

    max_duration_days: int = Field(
        240, ge=1, description="Longest credible time from alarm to containment, in days; longer is a reject."
    )
    assumed_duration_days: int | None = Field(
        None,
        ge=0,
        description="Days from alarm to containment that are assumed where no containment date is known; empty: such "
        "records are rejects.",
    )
    max_repair_area_change: float = Field(
        0.05, ge=0, le=1, description="Largest share of area that repairing a geometry may change before it is flagged."
    )
    max_area_mismatch: float = Field(
        0.25, ge=0, description="Relative difference of computed and reported area above which a record is flagged."
    )
    scar_years: int = Field(
        10, ge=0, le=50, description="How many years a scar may still show; fires this old are no negatives."
    )
    scar_years_prescribed: int = Field(3, ge=0, le=50, description="How many years a prescribed burn may still show.")
