"""What a region's file says, checked; nothing is read here."""

from datetime import UTC, date, datetime
from typing import ClassVar, Final, Self
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pandas as pd
import pyproj
import shapely
from pydantic import Field, field_validator, model_validator
from pyproj.exceptions import CRSError

from burnscar_assets.section import Section

Ring = tuple[tuple[float, float], ...]

EQUAL_AREA: Final = ("albers", "lambert azimuthal equal area", "cylindrical equal area", "equal area", "mollweide")
"""What names of the methods of equal-area projections have in them."""


class FirstDay(Section):
    """The day of the calendar on which fire years begin."""

    month: int = Field(1, ge=1, le=12, description="Month, 1 to 12.")
    day: int = Field(1, ge=1, le=31, description="Day of the month.")

    @model_validator(mode="after")
    def _is_in_every_year(self) -> Self:
        try:
            date(2001, self.month, self.day)
        except ValueError as error:
            raise ValueError(f"day {self.day} of month {self.month} isn't in every year") from error
        return self


class Place(Section):
    """A real place that simulated fires are named after and lie near."""

    name: str = Field(min_length=1, description="Its name, one word.")
    biome: str = Field(description="What grows there, as the simulation knows it.")
    unit_id: str = Field(description="Unit that looks after it, as records have it.")
    lon: float = Field(ge=-180, le=180, description="Longitude, degrees.")
    lat: float = Field(ge=-80, le=84, description="Latitude, degrees.")


class Region(Section):
    """A part of the world that fires are mapped in."""

    transport: ClassVar[frozenset[str]] = frozenset({"title", "locator", "places", "usual_crs", "usual_crs_feet"})

    name: str = Field(description="The file's name without its ending.")
    title: str = Field(min_length=1, description="What people call it.")
    crs: str = Field(
        pattern=r"^[A-Z]+:\d+$", description="Equal-area CRS in metres that tables, areas and splits are in."
    )
    time_zone: str = Field(description="IANA name of the zone whose days records are dated in.")
    fire_year_starts: FirstDay = Field(
        FirstDay(), description="First day of a fire year, which is named for the calendar year that it begins in."
    )
    bounds_m: tuple[float, float, float, float] = Field(
        description="West, south, east, north of where fires of the region may lie, in metres of `crs`."
    )
    outline: tuple[Ring, ...] = Field(
        min_length=1,
        description="Coarse outlines of its land, longitude and latitude in degrees: land to sample unless settings "
        "name a layer, and what records of a release lie on.",
    )
    locator: tuple[Ring, ...] = Field(
        (), description="Outlines to draw beneath maps' places, in metres of `crs`; empty: `outline` is drawn."
    )
    iso_code: str | None = Field(
        None, pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$", description="ISO 3166 code that records of its own fires have."
    )
    places: tuple[Place, ...] = Field(
        (), description="Real places that simulated fires lie near; the first lies on the border of two UTM zones."
    )
    usual_crs: tuple[str, ...] = Field(
        (), description="What else layers of the region come in, to tell what a wrong CRS was meant to be."
    )
    usual_crs_feet: tuple[str, ...] = Field((), description="The same, of those in feet.")

    @field_validator("crs")
    @classmethod
    def _is_equal_area(cls, value: str) -> str:
        try:
            found = pyproj.CRS.from_user_input(value)
        except CRSError as error:
            raise ValueError(f"{value} is no coordinate reference system") from error
        method = found.coordinate_operation.method_name.lower() if found.coordinate_operation else ""
        if not any(known in method for known in EQUAL_AREA) or found.axis_info[0].unit_name != "metre":
            raise ValueError(f"{value} ({found.name}) is no equal-area CRS in metres: areas would be wrong")
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value} is no time zone: give an IANA name such as Australia/Sydney")
        return value

    @model_validator(mode="after")
    def _lies_within_its_bounds(self) -> Self:
        west, south, east, north = self.bounds_m
        if not (west < east and south < north):
            raise ValueError("bounds_m must be [west, south, east, north]")
        if not self.land.is_valid:
            raise ValueError(f"outline is no valid polygon: {shapely.is_valid_reason(self.land)}")
        if not shapely.box(*self.bounds_m).intersects(self.land):
            raise ValueError("outline lies outside of bounds_m: is one of them in another CRS?")
        return self

    @property
    def land(self) -> shapely.Geometry:
        """Its coarse outline, a polygon or polygons in `crs`."""
        degrees = shapely.MultiPolygon([shapely.Polygon(ring) for ring in self.outline])
        shape = degrees if len(self.outline) > 1 else degrees.geoms[0]
        return _moved(shape, "EPSG:4326", self.crs)

    @property
    def drawn(self) -> list[shapely.Polygon]:
        """What is drawn beneath maps' places, polygons in `crs`."""
        return [shapely.Polygon(ring) for ring in self.locator] or list(shapely.get_parts(self.land))

    def first_day(self, fire_year: int) -> datetime:
        """The first moment of a fire year, as the days of records are kept: midnight UTC."""
        return datetime(fire_year, self.fire_year_starts.month, self.fire_year_starts.day, tzinfo=UTC)

    def fire_year(self, day: date) -> int:
        """The fire year of a day: the calendar year, or the one before where that one's fire year begins later."""
        begins = (self.fire_year_starts.month, self.fire_year_starts.day)
        return day.year - ((day.month, day.day) < begins)

    def fire_years(self, days: pd.Series) -> pd.Series:
        """The fire years of days, `Int64`; missing where there is no day."""
        starts = self.fire_year_starts
        before = (days.dt.month < starts.month) | ((days.dt.month == starts.month) & (days.dt.day < starts.day))
        return days.dt.year.astype("Int64") - before.astype("Int64")

    def day_in(self, fire_year: int, month: int, day: int) -> date:
        """The day of a fire year that is as far into it as a day of the calendar is into a calendar year."""
        years, month_of = divmod(self.fire_year_starts.month - 1 + month - 1, 12)
        return date(fire_year + years, month_of + 1, day)

    def day_of_year(self, day: date) -> int:
        """Which day of its fire year a day is, from 1."""
        return (day - self.first_day(self.fire_year(day)).date()).days + 1

    def months_into(self, days: pd.Series) -> pd.Series:
        """How many months of the calendar after the one that fire years begin in days are, 0 to 11."""
        return (days.dt.month - self.fire_year_starts.month) % 12

    def midnight(self, day: date) -> datetime:
        """Midnight at the beginning of a day in the region, in UTC."""
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.time_zone)).astimezone(UTC)


def _moved(shape: shapely.Geometry, source: str, target: str) -> shapely.Geometry:
    project = pyproj.Transformer.from_crs(source, target, always_xy=True).transform
    return shapely.transform(shape, lambda xy: np.column_stack(project(xy[:, 0], xy[:, 1])))
