"""What an encoder's file says, checked; nothing is read here."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from burnscar_assets.errors import SettingsError
from burnscar_assets.section import Section
from burnscar_assets.sensors.sensor import Role

Tuning = Literal["freeze-then-unfreeze", "frozen", "layer-decay", "lora"]
"""Ways to tune an encoder; the first two any encoder allows."""

Lacking = Literal["error", "zero", "nearest", "mask"]
"""What is done about bands that a sensor lacks."""

VARIABLES: Final = (
    "FOLDER", "WEIGHTS", "RANDOM", "PATCH_SIZE", "WIDTH", "BLOCKS", "BANDS", "STEPS", "METRES", "INPUT",
    "AUTOCAST", "COMPILE",
)  # fmt: skip
"""What `${…}` as a whole value of `init_args` may name; see `Encoder.init_args`."""


class EncoderBand(Section):
    """A band that an encoder reads."""

    name: str = Field(min_length=1, description="As its authors call it.")
    role: Role | tuple[Role, ...] | None = Field(
        None, description="What it shows: the sensor's band of this role feeds it, of several that of the first."
    )
    nm: float | None = Field(None, gt=0, description="Wavelength in nm, to find the nearest band by.")
    subtract: float = Field(0, description="Normalised is (number − subtract) / divide, of reflectance × 10,000.")
    divide: float = Field(1, gt=0, description="See subtract.")


class Constructed(Section):
    """A class and its arguments, as rslearn's configuration has them."""

    class_path: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$", description="Import path of the class.")
    init_args: dict[str, Any] = Field({}, description="Its arguments.")


class RadarInput(Section):
    """A second input for Sentinel-1."""

    input: str = Field(min_length=1, description="Name of the input in rslearn's sample.")
    bands: tuple[EncoderBand, ...] = Field(min_length=1, description="In order; normalised from decibels.")


class Variant(Section):
    """One of the published models of an encoder. What is empty is the encoder's."""

    width: int = Field(ge=1, description="Channels of its features.")
    blocks: int = Field(ge=1, description="Transformer blocks.")
    parameters: int = Field(ge=1, description="Parameters of the encoder.")
    repository: str | None = Field(None, description="On the Hugging Face hub, as owner/name.")
    revision: str | None = Field(None, description="Commit of the repository.")
    folder: str = Field("", description="Folder of its files within the repository, or the user's folder.")
    weights_file: str | None = Field(None, description="File of the tensors.")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="SHA-256 of that file; empty: any.")
    architecture: dict[str, Any] | None = Field(
        None, description="What the architecture's file holds, to build the model of without a network."
    )
    init_args: dict[str, Any] = Field({}, description="Arguments in place of the encoder's, or beside them.")
    lacking: Lacking | None = Field(None, description="What is done about bands that a sensor lacks.")
    pretraining: str | None = Field(None, description="What is published of its pretraining imagery.")


class Licence(Section):
    """Under which terms the weights may be used."""

    name: str = Field(min_length=1, description="Name of the licence.")
    url: str | None = Field(None, description="Address of its text.")
    notice: str = Field(min_length=1, description="What is said wherever a checkpoint of it is shown.")


class Encoder(Section):
    """A pretrained encoder, as rslearn builds it."""

    transport: ClassVar[frozenset[str]] = frozenset({"title", "licence", "pretraining"})

    name: str = Field(description="The file's name without its ending.")
    title: str = Field(min_length=1, description="What people call it.")
    class_path: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        description="Import path of an rslearn FeatureExtractor that answers with one feature map. That of a file of "
        "one's own must be in training.classes.",
    )
    init_args: dict[str, Any] = Field(
        {},
        description="Its arguments. A value ${…} becomes: FOLDER with the weights; WEIGHTS, their file; "
        "RANDOM, whether to build it without weights (then only the architecture's file is in FOLDER); PATCH_SIZE; "
        "WIDTH; BLOCKS; BANDS, names of those bands that are there; STEPS, images of a window; METRES, side of a "
        "pixel; INPUT, name of the input; AUTOCAST, bfloat16 or null; COMPILE.",
    )
    input: str = Field(min_length=1, description="Name of the input in rslearn's sample.")
    bands: tuple[EncoderBand, ...] = Field(min_length=1, description="In the order in which it reads them.")
    lacking: Lacking = Field(
        "error",
        description="Bands that a sensor lacks. error: it can't be trained on; zero: 0 after normalisation; nearest: "
        "the one nearest in wavelength stands in; mask: its class is given BANDS only and masks the others.",
    )
    radar: RadarInput | None = Field(None, description="Its input for Sentinel-1, if it has one.")
    normaliser: Constructed | None = Field(
        None,
        description="Transform in place of subtract and divide, for encoders whose class doesn't do it; INPUT and "
        "BANDS as in init_args. Read by rslearn's own loader, which is slower.",
    )
    patch_sizes: tuple[int, ...] = Field(min_length=1, description="Sides of a patch that it allows, in pixels.")
    patch_size: int = Field(description="Side of a patch unless settings say, in pixels.")
    sides_px: tuple[int, int] = Field((1, 1024), description="Least and largest side of a window, in pixels.")
    whole_patches: bool = Field(True, description="Whether a window's side must be a multiple of the patch size.")
    features_px: int | None = Field(
        None, ge=1, description="Window's pixels along a feature's side; empty: the patch size."
    )
    most_steps: int = Field(1, ge=1, description="Images of a window that it takes at most.")
    wants_dates: bool = Field(False, description="Whether it is told when an image was acquired.")
    tunings: tuple[Tuning, ...] = Field(
        ("freeze-then-unfreeze", "frozen"),
        description="Ways to tune it; layer-decay takes a class with blocks at model.blocks, where rslearn seeks them.",
    )
    projections: tuple[str, ...] = Field(
        (), description="By lora: names of the linear layers of an attention that are added to, such as q, k, v, proj."
    )
    repository: str | None = Field(None, description="On the Hugging Face hub, as owner/name, unless the variant says.")
    revision: str = Field("main", description="Commit of the repository, unless the variant says.")
    weights_file: str | None = Field(None, description="File of the tensors; empty: it has no weights.")
    architecture_file: str | None = Field(
        None, description="JSON file beside it that the class builds the model of; kept with each checkpoint."
    )
    architecture_width: tuple[str, ...] = Field(
        (), description="Keys of the width within that file, to see that a folder holds the variant."
    )
    architecture_blocks: tuple[str, ...] = Field((), description="The same of the number of blocks.")
    architecture_classes: tuple[str, ...] = Field(
        (), description="Prefixes of the classes that the architecture's file may name under `_CLASS_`."
    )
    packages: tuple[str, ...] = Field((), description="Packages whose versions a checkpoint keeps.")
    licence: Licence = Field(description="Terms of its weights.")
    pretraining: str = Field("unknown", description="What is published of the places and years of its pretraining.")
    variants: dict[str, Variant] = Field(min_length=1, description="Published models, by name.")
    variant: str = Field(description="The one that is taken unless settings say.")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [band.name for band in self.bands]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two bands have the name {twice[0]}")
        if self.variant not in self.variants:
            raise ValueError(f"variant {self.variant} is none of {', '.join(self.variants)}")
        if self.patch_size not in self.patch_sizes:
            raise ValueError(
                f"patch_size {self.patch_size} is none of patch_sizes {', '.join(map(str, self.patch_sizes))}"
            )
        if self.sides_px[0] > self.sides_px[1]:
            raise ValueError("sides_px: the least is above the largest")
        if "lora" in self.tunings and not self.projections:
            raise ValueError("tuning by lora needs projections")
        nearest = "nearest" in {self.lacking, *(variant.lacking for variant in self.variants.values())}
        if nearest and any(band.nm is None for band in self.bands):
            raise ValueError("lacking: nearest needs the wavelength nm of each band")
        unknown = sorted(
            set(variables([self.init_args, *(v.init_args for v in self.variants.values())])) - set(VARIABLES)
        )
        if unknown:
            raise ValueError(f"init_args name ${{{unknown[0]}}}; there are {', '.join(VARIABLES)}")
        return self

    def published(self, name: str | None = None) -> "Variant":
        """A variant with what it leaves to the encoder.

        Args:
            name: of the variant; empty: the one that is taken unless settings say.

        Raises:
            SettingsError: there is no such variant; names those that there are.
        """
        chosen = self.variant if name is None else name
        if chosen not in self.variants:
            raise SettingsError(
                f"training.model.variant: there is no {self.title} {chosen}; choose one of {', '.join(self.variants)}"
            )
        variant = self.variants[chosen]
        left = ("repository", "revision", "weights_file", "lacking", "pretraining")
        return variant.model_copy(
            update={field: getattr(self, field) for field in left if getattr(variant, field) is None}
        )


def filled(node: Any, values: Mapping[str, Any]) -> Any:
    """Arguments with a value in the place of each `${NAME}`; names without a value stay as they are."""
    if isinstance(node, dict):
        return {key: filled(value, values) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [filled(value, values) for value in node]
    name = _name(node)
    return node if name is None else values.get(name, node)


def variables(node: Any) -> Iterator[str]:
    """Names of the variables in arguments, as often as they stand there."""
    if isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from variables(value)
    elif (name := _name(node)) is not None:
        yield name


def _name(value: Any) -> str | None:
    """The variable that a value is."""
    is_one = isinstance(value, str) and value.startswith("${") and value.endswith("}")
    return value[2:-1] if is_one else None
