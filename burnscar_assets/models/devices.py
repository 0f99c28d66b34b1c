"""The devices on which networks train and answer; loads torch only where there is something to find out."""

from pathlib import Path
from typing import Any, Final, Literal

from burnscar_assets.errors import InputError
from burnscar_assets.settings import TrainingSettings
from burnscar_assets.settings.training import Accelerator

Device = Literal["cpu", "gpu"]

DRIVERS_GPUS = Path("/proc/driver/nvidia/gpus")
STRATEGY: Final = "burnscar_assets.models.strategy.WholeModelDDP"


def gpus_there() -> int:
    """GPUs of this machine as the driver lists them, for planning; whether torch can use them is another matter."""
    return len(list(DRIVERS_GPUS.iterdir())) if DRIVERS_GPUS.is_dir() else 0


def device_of(accelerator: Accelerator) -> Device:
    """The kind of device that `training.accelerator` stands for on this machine.

    Raises:
        InputError: a GPU is asked for, and there is none.
    """
    if accelerator == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "gpu"
    if accelerator == "gpu":
        raise InputError("training.accelerator is gpu, but torch finds none: set it to cpu or auto")
    return "cpu"


def torch_device(accelerator: Accelerator) -> Literal["cpu", "cuda"]:
    """Torch's name of the device on which a model answers.

    Raises:
        InputError: a GPU is asked for, and there is none.
    """
    return "cuda" if device_of(accelerator) == "gpu" else "cpu"


def choose_device(settings: TrainingSettings) -> Device:
    """The kind of device that a run trains on.

    Raises:
        InputError: GPUs are asked for and there aren't so many, or the windows of a step can't be shared among them.
    """
    import torch

    device = device_of(settings.accelerator)
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
