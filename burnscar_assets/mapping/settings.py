"""Settings of maps and fire scenes: how windows overlap, what counts as a burned patch, how large frames are."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from burnscar_assets.section import Section


class MappingSettings(Section):
    """How burned-area maps are made."""

    transport: ClassVar[frozenset[str]] = frozenset({"batch_size", "block_px", "ask_hours", "max_km2"})

    setup: str = Field(
        "default",
        description="Set-up whose checkpoints map the fires and the season; default: that of this settings file.",
    )
    buffer_m: float = Field(
        1000,
        ge=0,
        description="Margin around the perimeter of a fire in season that is mapped too, in metres; held-out fires "
        "have the frames of fire_scenes.",
    )
    mosaics: int = Field(
        3, ge=1, le=12, description="Coverings of each block with scenes that are looked at, least cloudy first."
    )
    overlap: float = Field(0.5, ge=0.25, le=0.75, description="Share of a window's side that the next one shares, 0–1.")
    stride_px: int | None = Field(
        None, ge=1, description="From one window to the next, in pixels; empty: what overlap says."
    )
    min_clear_share: float = Field(
        0.75, gt=0, le=1, description="A window counts if this share of it shows the ground, 0–1."
    )
    min_area_ha: float = Field(0.5, ge=0, description="Smallest burned patch that polygons show, in hectares.")
    min_hole_ha: float = Field(0.1, ge=0, description="Smallest unburned island that polygons show, in hectares.")
    reference: str | None = Field(
        None,
        description="Vector file of points that a person drew on maps of fires and looked at, from which their areas "
        "are estimated, beside the settings file or by a full path.",
    )
    block_px: int = Field(512, ge=64, le=4096, description="Side of the blocks that a map is made in, in pixels.")
    batch_size: int = Field(
        128,
        ge=1,
        description="Windows that go through the model at once: about what a CPU's cache holds; more on a GPU.",
    )
    ask_hours: float = Field(
        1.0, gt=0, description="An area of interest that would keep the model busy for longer needs a --yes, in hours."
    )
    max_km2: float = Field(
        100_000, gt=0, description="Largest rectangle of one map, in km²; larger areas are to be cut."
    )

    def stride_of(self, size_px: int) -> int:
        """From one window of a side to the next, in pixels."""
        if self.stride_px is None:
            return max(1, round(size_px * (1 - self.overlap)))
        return min(self.stride_px, size_px)


class FireScenesSettings(Section):
    """The frames that fires are judged on, and those without fire."""

    margin_share: float = Field(
        0.5, ge=0, le=5, description="Margin of a frame about its fire's bounds, in square roots of the fire's area."
    )
    margin_m: tuple[float, float] = Field((1000, 5000), description="Least and greatest margin, in metres.")
    without_fire: int = Field(4, ge=0, le=1000, description="Frames without fire of each split and fire year.")
    without_fire_m: float = Field(3000, ge=500, le=50_000, description="Side of a frame without fire, in metres.")

    @model_validator(mode="after")
    def _margins_in_order(self) -> Self:
        if not 0 < self.margin_m[0] <= self.margin_m[1]:
            raise ValueError("margin_m must be [least, greatest], above 0")
        return self

    def margin_of(self, area_m2: float) -> float:
        """Margin of the frame of a fire of an area, in metres."""
        return float(min(max(self.margin_share * area_m2**0.5, self.margin_m[0]), self.margin_m[1]))
