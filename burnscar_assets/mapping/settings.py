"""Settings of maps: which imagery, how windows overlap, and what counts as a patch of burned ground."""

from typing import ClassVar

from pydantic import Field

from burnscar_assets.section import Section


class MappingSettings(Section):
    """How burned-area maps are made."""

    transport: ClassVar[frozenset[str]] = frozenset({"batch_size", "block_px", "ask_hours", "max_km2"})

    buffer_m: float = Field(1000, ge=0, description="Margin around a fire's perimeter that is mapped too, in metres.")
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
