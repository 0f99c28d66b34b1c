"""On what, and on how many of them, a run trains; loads torch only where there is something to find out."""

from typing import Any, Final, Literal

from burnscar_assets.errors import InputError
from burnscar_assets.settings import TrainingSettings

Device = Literal["cpu", "gpu"]

STRATEGY: Final = "burnscar_assets.models.strategy.WholeModelDDP"


def choose_device(settings: TrainingSettings) -> Device:
    """The kind of device that the setting stands for on this machine.

    Raises:
        InputError: GPUs are asked for and there aren't so many, or the windows of a step can't be shared among them.
    """
    import torch

    available = torch.cuda.is_available()
    if settings.accelerator == "gpu" and not available:
        raise InputError("training.accelerator is gpu, but torch finds none: set it to cpu or auto")
    device: Device = "cpu" if settings.accelerator == "cpu" or not available else "gpu"
    count, there = device_count(settings, device), torch.cuda.device_count()
    if device == "gpu" and count > there:
        raise InputError(f"training.devices is {count}, but torch finds {there} GPUs: lower it, or set it to auto")
    if settings.batch_size % (count * settings.accumulation):
        raise InputError(
            f"training.batch_size {settings.batch_size} can't be shared by {count} GPUs in {settings.accumulation} "
            "parts: take a multiple"
        )
    return device


def device_count(settings: TrainingSettings, device: Device) -> int:
    """Processes that train together, each on a device of its own."""
    if settings.devices != "auto":
        return settings.devices
    if device == "cpu":
        return 1
    import torch

    return max(torch.cuda.device_count(), 1)


def on_devices(config: dict[str, Any], count: int) -> dict[str, Any]:
    """A configuration for so many devices."""
    if count == 1:
        return config
    strategy = {"class_path": STRATEGY, "init_args": {"find_unused_parameters": True}}
    return config | {"trainer": config["trainer"] | {"devices": count, "strategy": strategy}}
