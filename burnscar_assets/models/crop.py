"""How much of a window a model sees: all of it, or its middle.

The middle is cut by rslearn's own `Pad`, written into the configuration behind all other transforms, so `model.yaml`
beside a checkpoint stays one that rslearn runs as it is.
"""

from typing import Any, Final

from burnscar_assets.errors import SettingsError

PAD: Final = "rslearn.train.transforms.pad.Pad"


def cropped(config: dict[str, Any], inputs: list[str], crop_px: int | None, *, per_pixel: bool) -> dict[str, Any]:
    """A configuration whose model sees the middle of each window; changed in place, too.

    Args:
        config: resolved.
        inputs: names of its images.
        crop_px: side of the middle in pixels; None for whole windows.
        per_pixel: whether it trains on label rasters.

    Raises:
        SettingsError: a model that answers pixel by pixel would have no answer beyond the middle.
    """
    if crop_px is None:
        return config
    if per_pixel:
        raise SettingsError("training.crop_px is for models that answer for whole windows: this one answers by pixel")
    for name, said in config["data"]["init_args"].items():
        if name.endswith("_config") and "transforms" in said:
            arguments = {"size": crop_px, "mode": "center", "image_selectors": list(inputs)}
            said["transforms"].append({"class_path": PAD, "init_args": arguments})
    return config


def crop_of(config: dict[str, Any]) -> int | None:
    """The side of the middle that a resolved configuration's model sees; None for whole windows."""
    transforms = config["data"]["init_args"]["default_config"].get("transforms") or ()
    cuts = [said["init_args"] for said in transforms if said["class_path"] == PAD]
    return next((cut["size"] for cut in cuts if cut.get("mode") == "center"), None)


def middle(image: Any, crop_px: int | None) -> Any:
    """The middle of an array or tensor, whose last two axes are rows and columns."""
    if crop_px is None:
        return image
    top, left = ((side - crop_px) // 2 for side in image.shape[-2:])
    return image[..., top : top + crop_px, left : left + crop_px]
