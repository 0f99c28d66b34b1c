"""What a sensor's file says, checked; nothing is read here."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from burnscar_assets.section import Producer, Section

Role = Literal[
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir_narrow", "water_vapour", "swir1",
    "swir2",
]  # fmt: skip
"""What a band shows, whatever its sensor calls it."""

NEEDED: Final[tuple[Role, ...]] = ("nir", "swir2")
"""Roles that every sensor has a band of: the burn ratio is made of them."""

DN_PER_REFLECTANCE: Final = 10_000
"""Layers hold reflectance × 10,000 of whatever sensor, with `NO_DATA_DN` where there is none."""

NO_DATA_DN: Final = 0

BASELINE_OFFSET_DN: Final = 1000
"""What Sentinel-2's processing baselines from 04.00 (scenes from 2022-01-25) add to every digital number."""

LAYER_DTYPE: Final = "uint16"


class Band(Section):
    """A band of a sensor."""

    name: str = Field(min_length=1, description="As the raster layer and the model have it.")
    roles: tuple[Role, ...] = Field((), description="What it shows.")
    metres: float = Field(gt=0, le=10_000, description="Native ground sampling distance, in metres.")
    common_name: str | None = Field(None, description="Common name of STAC's electro-optical extension.")


class RadiometryRule(Section):
    """How numbers of files become reflectance, and what proves it."""

    rule: Literal["sentinel2-baseline", "fixed"] = Field(
        "fixed",
        description="fixed: number × scale + offset, and files or items that state another scale are set aside; "
        "sentinel2-baseline: an offset is taken off where pixels, neighbours in time or statements prove it.",
    )
    scale: float = Field(gt=0, description="Reflectance of one number.")
    offset: float = Field(0, description="Reflectance of the number 0.")

    @model_validator(mode="after")
    def _baselines_are_standard(self) -> Self:
        if self.rule == "sentinel2-baseline" and (self.scale, self.offset) != (1 / DN_PER_REFLECTANCE, 0):
            raise ValueError("rule sentinel2-baseline takes scale 0.0001 and finds the offset out itself")
        return self


class ClearGround(Section):
    """Which file of a scene tells where it shows the ground, and how it is read."""

    rule: Literal["scl", "qa_pixel", "fmask"] = Field(
        description="Sentinel-2's scene classification, Landsat's QA_PIXEL bits, or HLS's Fmask bits."
    )
    asset: str = Field(min_length=1, description="What the file is called, as a band is.")
    metres: float = Field(gt=0, le=10_000, description="Its ground sampling distance, in metres.")


class Sensor(Section):
    """What the images of an instrument are made of."""

    transport: ClassVar[frozenset[str]] = frozenset({"title", "producer", "scene_km", "scenes_per_day"})

    name: str = Field(description="The file's name without its ending.")
    title: str = Field(min_length=1, description="What people call it.")
    producer: Producer | None = Field(None, description="Who makes its images; empty: nobody is named.")
    layer: str = Field("imagery", pattern=r"^\w+$", description="Raster layer of its images, unless settings say.")
    resolution_m: float = Field(ge=0.1, le=1000, description="Side of a window's pixel unless settings say, in metres.")
    window_px: int = Field(32, ge=8, le=128, description="Side of a window unless settings say, in pixels.")
    kind: Literal["scenes", "composites"] = Field(
        "scenes",
        description="Whether an image is of one day, or made of images of several days, which must all be days that a "
        "window may be of.",
    )
    tiling: Literal["mgrs", "none"] = Field(
        "none", description="mgrs: scenes are Sentinel-2's tiles, which say where they lie and how large they are."
    )
    bands: tuple[Band, ...] = Field(min_length=1, description="Bands in the order that layers have them in.")
    dtype: Literal["uint8", "uint16", "int16", "float32"] = Field("uint16", description="Type of the files' numbers.")
    nodata: float | None = Field(0, description="Number without data where a file names none.")
    radiometry: RadiometryRule = Field(description="How numbers become reflectance.")
    clear_ground: ClearGround | None = Field(None, description="What tells clear ground; empty: nothing does.")
    assets: dict[str, dict[str, str]] = Field(
        {},
        description="By catalogue, the asset key of each band that isn't called by its name there; of several, an "
        "item is read by the one that fits it best.",
    )
    absent: dict[str, tuple[str, ...]] = Field(
        {},
        description="By catalogue, asset keys that its items never have: one that has any of them is not read by its "
        "names, even if they fit best.",
    )
    first_day: date | None = Field(None, description="Day of its first image; empty: any day may have one.")
    scene_km: float = Field(110, gt=0, description="Side of a scene, to plan searches, in km.")
    scenes_per_day: float = Field(0.4, gt=0, description="Scenes a day that cover a place, to plan searches.")

    @field_validator("assets")
    @classmethod
    def _keys_are_there(cls, value: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        empty = [catalogue for catalogue, keys in value.items() if not keys]
        if empty:
            raise ValueError(f"{empty[0]} has no keys: leave it out")
        return value

    @model_validator(mode="after")
    def _absent_keys_are_of_catalogues(self) -> Self:
        unknown = sorted(self.absent.keys() - self.assets.keys())
        if unknown:
            raise ValueError(f"absent names {', '.join(unknown)}, which assets doesn't: give its keys there")
        return self

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for what, given in (("name", self.names), ("role", [role for band in self.bands for role in band.roles])):
            twice = sorted({entry for entry in given if list(given).count(entry) > 1})
            if twice:
                raise ValueError(f"two bands have the {what} {twice[0]}")
        lacking = [role for role in NEEDED if not self.has(role)]
        if lacking:
            raise ValueError(f"no band has the role {', '.join(lacking)}: every sensor needs {', '.join(NEEDED)}")
        known = {*self.names, *([self.clear_ground.asset] if self.clear_ground else [])}
        unknown = sorted({name for keys in self.assets.values() for name in keys} - known)
        if unknown:
            raise ValueError(f"assets name {', '.join(unknown)}, which is no band: there are {', '.join(self.names)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bands, in their order."""
        return tuple(band.name for band in self.bands)

    def has(self, *roles: Role) -> bool:
        """Whether it has a band of each role."""
        return {role for band in self.bands for role in band.roles}.issuperset(roles)

    def band(self, role: Role) -> str:
        """Name of the band of a role.

        Raises:
            KeyError: it has none.
        """
        for band in self.bands:
            if role in band.roles:
                return band.name
        raise KeyError(f"{self.name} has no band of role {role}")

    def bands_of(self, roles: Iterable[Role]) -> tuple[str, ...]:
        """Names of the bands of roles, in the roles' order, each once; roles that it has no band of are left out."""
        return tuple(dict.fromkeys(self.band(role) for role in roles if self.has(role)))

    def place(self, role: Role) -> int:
        """Place of the band of a role in the sensor's order, from 0."""
        return self.names.index(self.band(role))

    @property
    def burn_ratio(self) -> tuple[str, str]:
        """Names of the two bands that the normalised burn ratio is made of: near infrared, short-wave infrared."""
        return self.band("nir"), self.band("swir2")

    @property
    def shown(self) -> tuple[str, str, str]:
        """Names of the bands that pictures show as red, green and blue: burnt ground is brown to red in them.

        Without a red band near infrared stands for it, and living plants are blue-green, not green.
        """
        near = self.band("nir")
        return self.band("swir2"), near, self.band("red") if self.has("red") else near

    def is_of(self, taken: tuple[datetime, datetime], wanted: tuple[datetime, datetime]) -> bool:
        """Whether an image is of a time range, ends included; a composite only if all its days are.

        A composite's other days show what was before or after.
        """
        if self.kind == "composites":
            return wanted[0] <= taken[0] and taken[1] <= wanted[1]
        return taken[0] <= wanted[1] and taken[1] >= wanted[0]

    def told(self) -> dict[str, Any]:
        """What the record of a map says of its imagery."""
        producer = None if self.producer is None else self.producer.model_dump()
        return {"sensor": self.title, "shown": [*self.shown], "producer": producer}

    def band_set(self) -> dict[str, Any]:
        """The band set of a layer of its images, as rslearn's configuration has it."""
        return {"dtype": LAYER_DTYPE, "bands": [*self.names], "nodata_value": NO_DATA_DN}
