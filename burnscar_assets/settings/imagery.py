"""Settings of imagery: which, and how it is matched and read."""

from typing import Literal, Self

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from burnscar_assets.network.masking import mask_address
from burnscar_assets.section import Section
from burnscar_assets.sensors.load import DEFAULT, default_sensor


class ImagerySettings(Section):
    """Which imagery, and how it is matched and read."""

    transport = frozenset({"late_days", "workers", "ray_address", "retries", "retry_backoff_s"})

    sensor: str = Field(
        DEFAULT,
        description="Sensor whose images these are: name of a file in sensors/ beside the settings or of a shipped "
        "one, or a path; what dataset_config, layer and windows don't say follows it.",
    )
    dataset_config: str = Field(
        "dataset.json", description="rslearn dataset configuration, beside the settings file or a shipped one."
    )
    archive: str | None = Field(
        None, description="What ${BURNSCAR_ARCHIVE} stands for: stac-geoparquet or STAC catalogue, under the data root."
    )
    layer: str = Field(default_factory=lambda: default_sensor().layer, description="Raster layer that the model reads.")
    max_cloud_cover: float = Field(
        60, ge=0, le=100, description="Scenes above this granule cloud cover are no match, in percent."
    )
    selection: Literal["granule", "window"] = Field(
        "granule",
        description="How scenes are chosen: the least cloudy granule, as in the tutorial, or by what the window shows.",
    )
    # 0.9: in the demo's cloudiest year F1 of burnt was 0.65 on all held-out windows, 28 of 73 of which were less than
    # half clear, and 0.92 on those at least 0.9 clear. So what was scored below was the weather.
    min_clear_fraction: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Windows of which a smaller share is clear are neither trained on nor scored, and are told beside; "
        "by window, a scene with this share is good enough, 0–1.",
    )
    candidates: int = Field(
        8,
        ge=1,
        description="Scenes kept for each window, least cloudy first: further choices where the first can't be read; "
        "by window, those looked at.",
    )
    exclude: tuple[str, ...] = Field(
        (), description="Scenes that are left out: their ids, or patterns of them (`S2?_MSIL2A_20220810T*`)."
    )
    fallback: str | None = Field(
        None,
        description="A second dataset configuration, whose layers are searched where the first has no scene for a "
        "window or does not answer; beside the settings file or a shipped one.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Hosts, buckets (s3://name) and folders whose files a catalogue may name, beside its own and those "
        "of the public archives; a pattern as *.example.org allows no host of a private network.",
    )
    max_nodata_fraction: float = Field(
        0.05, ge=0, le=1, description="Windows with a larger share of pixels without data are left out."
    )
    max_unreadable_fraction: float = Field(
        0.05, ge=0, le=1, description="With a larger share of windows whose scenes can't be read, tiles fail, 0–1."
    )
    late_days: int = Field(
        10, ge=0, description="Imagery may come so many days late: windows searched before are searched again, in days."
    )
    drop_granules: bool = Field(
        False, description="Scenes that were fetched whole are deleted once no window waits for them."
    )
    workers: int = Field(0, ge=0, description="Processes that make tiles; 0: threads of the calling one.")
    ray_address: str | None = Field(
        None,
        description="Ray cluster that materializes instead, as ray.init takes it, or local for one on this machine; "
        "its nodes must see the data root.",
    )
    retries: int = Field(3, ge=0, description="How often a failed search or read is tried again.")
    retry_backoff_s: float = Field(2, ge=0, description="Base of the wait between tries, in seconds.")

    @field_validator("max_cloud_cover")
    @classmethod
    def _is_in_percent(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError(f"{value} looks like a share: give percent, did you mean {value * 100:g}?")
        return value

    @model_validator(mode="after")
    def _archive_shows_no_secret(self) -> Self:
        if self.archive is not None and mask_address(self.archive) != self.archive:
            raise ValueError(
                "the address in archive holds a secret, which would stand in the dataset's config.json: put it into an "
                "environment variable and write ${NAME} in its place"
            )
        return self
