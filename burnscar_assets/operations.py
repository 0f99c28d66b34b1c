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
    keep_runs_days: int = Field(
        90, ge=1, description="Runs that ended longer ago are deleted, but for those that partitions are of, in days."
    )
    keep_evaluations_days: int = Field(
        7,
        ge=1,
        description="Older evaluations of what to run by itself are deleted, in days; after 30 days in any case.",
    )
    forget_cron: str = Field("30 4 * * *", description="When that is done, as cron in UTC.")
    verify_cron: str = Field(
        "0 3 * * 0", description="When all results are read again and held against their hashes, as cron in UTC."
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

    runs_on: Literal["local", "ray", "kubernetes"] = Field(
        "local",
        description="Where training, evaluation and mapping run: processes of this machine, jobs of a Ray cluster, or "
        "pods. Elsewhere than here the data root must be seen at the same path.",
    )
    cores: int | None = Field(
        None, ge=1, description="Processor cores that a refresh uses; empty: all that this process may use."
    )
    memory_gib: float | None = Field(
        None,
        gt=0,
        description="Main memory that the runs of a refresh may take together, in GiB; empty: that of this machine, or "
        "of this container.",
    )
    stage_memory_gib: float = Field(
        1.5,
        gt=0,
        description="Main memory that one training, evaluation or mapping is counted with here, in GiB; training's "
        "pixels (training.memory_gb) come on top.",
    )
    stage_cores: int = Field(
        1,
        ge=1,
        description="Cores, and so threads, of one training, evaluation or mapping where that is on a CPU; with "
        "others, sums come out otherwise in the last digits. OMP_NUM_THREADS of the environment counts instead.",
    )
    gpus: int | None = Field(
        None,
        ge=1,
        description="GPU stages that may run at once; empty: as many as this machine has GPUs, at least 1, or where "
        "training is on a CPU as many as its cores and memory hold.",
    )
    gpu_cpus: float = Field(4, gt=0, description="Processor cores that a GPU stage asks Kubernetes or Ray for.")
    gpu_memory_gib: float = Field(16, gt=0, description="Main memory that a GPU stage asks them for, in GiB.")
    shared_memory_gib: float | None = Field(
        None, gt=0, description="Shared memory of a pod (/dev/shm) at most, in GiB; empty: up to its memory."
    )
    gpu_node_selector: dict[str, str] = Field(
        {}, description="Labels that a Kubernetes node must have to run a GPU stage; empty: any with a GPU."
    )
    gpu_tolerations: tuple[dict[str, str], ...] = Field(
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},),
        description="Taints of Kubernetes nodes that a GPU stage puts up with, as a pod's tolerations.",
    )
    ray_address: str | None = Field(
        None, description="Ray's job server, e.g. http://head:8265; empty: RAY_ADDRESS of the environment."
    )
    namespace: str | None = Field(None, description="Kubernetes namespace of the pods; empty: this one's own.")
    image: str | None = Field(None, description="Image of the pods, see deploy/Dockerfile.")
    volume_claim: str | None = Field(None, description="Claim of the volume that the data root lies on.")
    volume_path: str | None = Field(
        None, description="Where the volume is mounted, here and in the pods; empty: at the data root."
    )
    secret: str | None = Field(None, description="Secret whose keys the pods get as environment variables.")

    @model_validator(mode="after")
    def _pods_have_an_image_and_the_data(self) -> Self:
        missing = [name for name in ("image", "volume_claim") if getattr(self, name) is None]
        if self.runs_on == "kubernetes" and missing:
            raise ValueError(f"runs_on: kubernetes needs {' and '.join(missing)}")
        return self
