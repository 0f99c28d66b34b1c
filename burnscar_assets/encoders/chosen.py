"""The encoder that a training run starts from, as it stands in specifications and in the manifests of checkpoints."""

from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from burnscar_assets.encoders.encoder import Encoder, Variant, filled
from burnscar_assets.encoders.feed import FILLED, Feed, feed
from burnscar_assets.sensors.sensor import Sensor

RANDOM_NOTICE: Final = (
    "RANDOM WEIGHTS: the encoder is the architecture of {title} without its pretraining. "
    "Figures of this checkpoint say nothing about {title}."
)


class ChosenEncoder(BaseModel):
    """An encoder with the weights that were found for it."""

    model_config = ConfigDict(frozen=True)

    encoder: Encoder
    name: str = Field(description="Of the variant.")
    patch_size: int = Field(description="Side of a patch, in pixels.")
    path: Path = Field(description="Folder with its files; of random weights with the architecture's at most.")
    random: bool = Field(description="Whether its weights are random.")
    sha256: str | None = Field(None, description="Hash of the weights; none if random.")
    revision: str | None = Field(None, description="Commit of the hub that they were fetched of.")

    @property
    def variant(self) -> Variant:
        """The published model, with what it leaves to the encoder."""
        return self.encoder.published(self.name)

    @property
    def model_id(self) -> str:
        """Its identity: the repository on the hub, and the variant where several are in one."""
        return identity(self.encoder, self.name)

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.encoder.title} {self.name}"

    @property
    def notice(self) -> str:
        """What a person must be told: the licence, or that the weights are random."""
        return RANDOM_NOTICE.format(title=self.title) if self.random else self.encoder.licence.notice

    @property
    def features_px(self) -> int:
        """Window's pixels along a feature's side."""
        return self.encoder.features_px or self.patch_size

    def feed(self, sensor: Sensor) -> Feed:
        """What a sensor feeds it, see `feed`."""
        return feed(self.encoder, sensor, self.variant.lacking)

    def constructed(self, sensor: Sensor, values: dict[str, Any]) -> dict[str, Any]:
        """The class and its arguments, as rslearn's configuration has them.

        Args:
            sensor: whose bands it reads.
            values: by name, the variables that this doesn't know: FOLDER, RANDOM, STEPS, METRES, AUTOCAST, COMPILE.
        """
        there, published = self.feed(sensor), self.variant
        own = {
            "PATCH_SIZE": self.patch_size,
            "WIDTH": published.width,
            "BLOCKS": published.blocks,
            "BANDS": there.names,
            "INPUT": self.encoder.input,
        }
        if "FOLDER" in values:
            own["WEIGHTS"] = f"{values['FOLDER']}/{published.weights_file}"
        arguments = filled(self.encoder.init_args | published.init_args, own | values)
        made = {"class_path": self.encoder.class_path, "init_args": arguments}
        if there.complete:
            return made
        return {
            "class_path": FILLED,
            "init_args": {"encoder": made, "input": self.encoder.input, "places": [*there.places]},
        }


class EncoderRecord(BaseModel):
    """The encoder that training started from, and how it is built from a checkpoint's folder alone."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    model_id: str
    random: bool
    sha256: str | None
    revision: str | None = None
    embedding_size: int
    parameters: int
    licence: str
    pretraining: str = Field(description="What is published of its pretraining imagery.")
    class_path: str = Field(description="Its class in model.yaml.")
    bare: dict[str, Any] = Field(
        description="Its arguments without weights; ${FOLDER} is a folder with the architecture's file, ${AUTOCAST} "
        "the arithmetic, ${WEIGHTS} nothing."
    )
    architecture_file: str | None = Field(None, description="What encoder.json is called in that folder.")


def record(chosen: ChosenEncoder, sensor: Sensor, steps: int, metres: float) -> EncoderRecord:
    """What a manifest keeps of an encoder."""
    left = {"RANDOM": True, "COMPILE": False, "STEPS": steps, "METRES": metres}
    made = chosen.constructed(sensor, left)
    own = made["init_args"]["encoder"] if made["class_path"] == FILLED else made
    pretraining = "none, its weights are random" if chosen.random else chosen.variant.pretraining
    return EncoderRecord(
        name=chosen.encoder.name,
        title=chosen.title,
        model_id=chosen.model_id,
        random=chosen.random,
        sha256=chosen.sha256,
        revision=chosen.revision,
        embedding_size=chosen.variant.width,
        parameters=chosen.variant.parameters,
        licence=chosen.encoder.licence.name,
        pretraining=pretraining or chosen.encoder.pretraining,
        class_path=own["class_path"],
        bare=own["init_args"],
        architecture_file=chosen.encoder.architecture_file,
    )


def identity(encoder: Encoder, variant: str | None = None) -> str:
    """Identity of a published model: its repository on the hub, and the variant where several are in one.

    Raises:
        SettingsError: there is no such variant.
    """
    published = encoder.published(variant)
    name = variant or encoder.variant
    if published.repository is None:
        return f"{encoder.name} {name}"
    return published.repository if published.repository != encoder.repository else f"{published.repository} ({name})"


def point(node: Any, encoder: EncoderRecord, values: dict[str, Any]) -> Any:
    """A model configuration in which the encoder is built without its weights.

    Args:
        node: the configuration, or a part of it.
        encoder: as the manifest has it.
        values: FOLDER and AUTOCAST.
    """
    if isinstance(node, list):
        return [point(value, encoder, values) for value in node]
    if not isinstance(node, dict):
        return node
    if node.get("class_path") == encoder.class_path:
        return {"class_path": encoder.class_path, "init_args": filled(encoder.bare, {"WEIGHTS": "", **values})}
    return {key: point(value, encoder, values) for key, value in node.items()}
