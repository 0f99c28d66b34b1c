"""Settings of operation: what runs by itself, when, and on which machines. They decide no result."""

from typing import Literal, Self

from pydantic import Field, model_validator

from burnscar_assets.section import Section


class AutomationSettings(Section):
    """What the daemon does by itself."""

    enabled: bool = Field(True, description="Whether sensors and schedules run as soon as a daemon does.")
    check_release_minutes: float = Field(60, gt=0, description="How often the release's source is looked at.")
    stale_source_days: float = Field(
        8, gt=0, description="Days without a successful look after which the source's freshness fails."
    )
    gpu: Literal["person", "schedule", "budget"] = Field(
        "person",
        description="What stale training and evaluation wait for: a person, the schedule, or the schedule within "
        "gpu_hours_per_day.",
    )
    gpu_cron: str = Field("0 1 * * *", description="When the schedule looks for stale GPU stages, as cron in UTC.")
    gpu_hours_per_day: float | None = Field(None, gt=0, description="GPU hours that the schedule may use in 24 hours.")
    look_again_cron: str = Field(
        "0 5 * * *", description="When windows whose imagery was missing or cloudy are looked at again, in UTC."
    )
    webhook_variable: str = Field(
        "BURNSCAR_WEBHOOK",
        description="Environment variable with the address that alerts are posted to; none if unset.",
    )

    @model_validator(mode="after")
    def _budget_has_hours(self) -> Self:
        if self.gpu == "budget" and self.gpu_hours_per_day is None:
            raise ValueError("gpu: budget needs gpu_hours_per_day")
        return self


class ComputeSettings(Section):
    """Which machines the stages run on."""

    gpus: int | None = Field(
        None, ge=1, description="GPU stages that may run at once; empty: as many as this machine has GPUs, at least 1."
    )
    gpu_cpus: float = Field(4, gt=0, description="Processor cores that a GPU stage asks Kubernetes or Ray for.")
    gpu_memory_gib: float = Field(16, gt=0, description="Main memory that a GPU stage asks them for, in GiB.")
    gpu_node_selector: dict[str, str] = Field(
        {}, description="Labels that a Kubernetes node must have to run a GPU stage; empty: any with a GPU."
    )
