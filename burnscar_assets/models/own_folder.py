"""A model configuration that works in the folder that it lies in, so that it can be moved or copied with its world.

rslearn takes relative paths from the current folder. Absolute ones would have a copied world train into the one that it
was copied from. So `model.yaml` has relative paths and names `InOwnFolder`, with which `rslearn model …` goes to the
folder of the configuration before it looks for data and checkpoints. It offers no place for that, so its command line
is wrapped as the configuration is read.
"""

import os
import sys
from pathlib import Path

from jsonargparse.typing import register_type

# rslearn itself loads this module, by the class path in a model configuration.
from lightning.pytorch import Callback  # noqa: TID253
from rslearn.lightning_cli import RslearnLightningCLI  # noqa: TID253


class OwnFolder(str):
    """Path of a folder, relative to the configuration that it stands in."""

    __slots__ = ()


class InOwnFolder(Callback):
    """Has the command work in a folder; there is nothing left to do once training begins."""

    def __init__(self, folder: OwnFolder) -> None:
        self.folder = folder


def _read(folder: str) -> OwnFolder:
    """Read the argument; jsonargparse is in the configuration's folder while it does so."""
    target = Path(folder).resolve()
    begin = RslearnLightningCLI.before_instantiate_classes

    def in_folder(cli: RslearnLightningCLI) -> None:
        # processes that share the training are started with the same arguments, from where this one is then
        sys.argv = [str(Path(part).resolve()) if Path(part).is_file() else part for part in sys.argv]
        os.chdir(target)
        RslearnLightningCLI.before_instantiate_classes = begin
        begin(cli)

    RslearnLightningCLI.before_instantiate_classes = in_folder
    return OwnFolder(folder)


register_type(OwnFolder, serializer=str, deserializer=_read)
