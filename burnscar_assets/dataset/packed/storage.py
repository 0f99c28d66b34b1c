"""rslearn's window storage on packed files: named by its class path as `storage` in a dataset's config.json."""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from rasterio.crs import CRS

# rslearn itself loads this module, by the class path in a dataset's configuration.
from rslearn.dataset import Window  # noqa: TID253
from rslearn.dataset.storage.storage import WindowStorage, WindowStorageFactory  # noqa: TID253
from rslearn.dataset.window import WindowLayerData  # noqa: TID253
from rslearn.utils.geometry import Projection  # noqa: TID253
from upath import UPath

from burnscar_assets.dataset.matched import is_note
from burnscar_assets.dataset.packed.pack import LayerItems, Pack, Vector, metadata_text, pack_groups, pack_path
from burnscar_assets.dataset.packed.rasters import Grid
from burnscar_assets.errors import InputError


def projection_of(grid: Grid) -> Projection:
    """The projection of a grid; one object for all that ask, so that comparing two costs nothing."""
    return _projection(*grid)


@functools.lru_cache(maxsize=256, typed=True)
def _projection(crs: str, x_resolution: float, y_resolution: float) -> Projection:
    return Projection(CRS.from_string(crs), x_resolution, y_resolution)


def grid_of(projection: Projection) -> Grid:
    """A projection as it is stored."""
    said = projection.serialize()
    return Grid(said["crs"], said["x_resolution"], said["y_resolution"])


class PackedWindowStorage(WindowStorage):
    """Windows of a dataset in one file a group, `packed/<group>.sqlite`.

    Besides what rslearn asks for there are bulk methods, and `transaction`, which makes one change of many. Can be
    pickled and used after a fork. Errors are those of `dataset.packed.database.Database`.

    Args:
        path: folder of the dataset, on a local disk.

    Raises:
        InputError: the dataset isn't on a local disk.
    """

    def __init__(self, path: UPath) -> None:
        if not isinstance(path.fs, LocalFileSystem):
            raise InputError(
                f"packed datasets lie on a local disk, not at {path}: choose another storage in config.json"
            )
        self.path = path
        self._folder = Path(path.path)
        self._packs: dict[str, Pack] = {}

    def pack(self, group: str) -> Pack:
        """The file of a group."""
        if group not in self._packs:
            if not group or group.startswith(".") or Path(group).name != group:
                raise InputError(f"{group!r} can't be the name of a group: it must be a file name")
            self._packs[group] = Pack(pack_path(self._folder, group))
        return self._packs[group]

    @contextmanager
    def transaction(self, group: str) -> Iterator[None]:
        """All changes to a group in the block happen, or none; other writers of the group wait meanwhile."""
        with self.pack(group).transaction():
            yield

    def get_window_root(self, group: str, name: str) -> UPath:
        """Where the window would lie as a folder; nothing is created."""
        return Window.get_window_root(self.path, group, name)

    def get_windows(
        self,
        groups: list[str] | None = None,
        names: list[str] | None = None,
        show_progress: bool = False,
        workers: int = 0,
    ) -> list[Window]:
        """Windows of groups (default: all) with names (default: all); the last two arguments change nothing."""
        return [
            self._window(group, name, json.loads(metadata))
            for group in groups or pack_groups(self._folder)
            for name, metadata in self.pack(group).windows(names or None)
        ]

    def create_or_update_window(self, window: Window) -> None:
        """Write a window's metadata; its layers stay."""
        self.pack(window.group).put_windows([(window.name, metadata_text(window.get_metadata()))])

    def get_layer_datas(self, group: str, name: str) -> dict[str, WindowLayerData]:
        """Items matched to a window, by layer; notes of ours are not among them."""
        found = self.layer_datas(group, [name]).get(name, {})
        return {layer: data for layer, data in found.items() if not is_note(layer)}

    def save_layer_datas(self, group: str, name: str, layer_datas: dict[str, WindowLayerData]) -> None:
        """Say what was matched to a window; notes of ours stay."""
        with self.transaction(group):
            found = self.layer_datas(group, [name]).get(name, {})
            notes = {layer: data for layer, data in found.items() if is_note(layer)}
            self.save_layer_datas_many(group, {name: layer_datas | notes})

    def list_completed_layers(self, group: str, name: str) -> list[tuple[str, int]]:
        """Completed item groups of a window, as layer and number."""
        return self.pack(group).completed_groups(name)

    def is_layer_completed(self, group: str, name: str, layer_name: str, group_idx: int = 0) -> bool:
        """Whether an item group of a window is completed."""
        return self.pack(group).is_completed(name, layer_name, group_idx)

    def mark_layer_completed(self, group: str, name: str, layer_name: str, group_idx: int = 0) -> None:
        """Mark an item group of a window completed."""
        self.pack(group).mark_completed([(name, layer_name, group_idx)])

    def put_windows(
        self, group: str, windows: Iterable[tuple[Mapping[str, Any] | Window, Mapping[str, Any] | None]], layer: str
    ) -> None:
        """Write many windows with their labels at once; what else they have stays.

        Args:
            group: group of all of them.
            windows: each window or its metadata (`Window.get_metadata()`) and its label, a FeatureCollection as
                `GeojsonVectorFormat` writes it, or None.
            layer: vector layer of the labels; marked completed.
        """
        metadata: list[tuple[str, str]] = []
        labels: list[Vector] = []
        for window, label in windows:
            said = window.get_metadata() if isinstance(window, Window) else window
            metadata.append((said["name"], metadata_text(said)))
            if label is not None:
                labels.append(Vector(said["name"], layer, 0, json.dumps(label)))
        pack = self.pack(group)
        with pack.transaction():
            pack.put_windows(metadata)
            pack.put_vectors(labels)
            pack.mark_completed((label.window, layer, 0) for label in labels)

    def remove_windows(self, group: str, names: Iterable[str]) -> int:
        """Remove windows with all that they have; returns how many there were."""
        return self.pack(group).remove_windows(names)

    def remove_layer(self, group: str, names: Iterable[str], layer: str) -> None:
        """Remove a layer's data and completed markers, in all item groups; matched items stay."""
        self.pack(group).remove_layer(names, layer)

    def completed(self, group: str, layer: str) -> set[str]:
        """Windows whose first item group of a layer is completed."""
        return self.pack(group).completed(layer)

    def layer_datas(self, group: str, names: Sequence[str] | None = None) -> dict[str, dict[str, WindowLayerData]]:
        """Items matched to windows by window and layer, with notes; equal items are one object: don't change them."""
        return {
            name: {layer: _layer_data(layer, items) for layer, items in layers.items()}
            for name, layers in self.pack(group).layer_items(names).items()
        }

    def save_layer_datas_many(self, group: str, windows: Mapping[str, Mapping[str, WindowLayerData]]) -> None:
        """Say what was matched to many windows, in place of all that was said of them before."""
        self.pack(group).put_layer_items(
            {
                name: {data.layer_name: _layer_items(data.serialize()) for data in layers.values()}
                for name, layers in windows.items()
            }
        )

    def _window(self, group: str, name: str, metadata: dict[str, Any]) -> Window:
        place, times, bounds = metadata["projection"], metadata["time_range"], metadata["bounds"]
        return Window(
            storage=self,
            group=group,
            name=name,
            projection=projection_of(Grid(place["crs"], place["x_resolution"], place["y_resolution"])),
            bounds=(bounds[0], bounds[1], bounds[2], bounds[3]),
            time_range=(datetime.fromisoformat(times[0]), datetime.fromisoformat(times[1])) if times else None,
            options=metadata["options"],
        )


class PackedWindowStorageFactory(WindowStorageFactory):
    """Makes `PackedWindowStorage`; goes with `burnscar_assets.dataset.packed.data.PackedDataStorageFactory`."""

    def get_storage(self, ds_path: UPath) -> PackedWindowStorage:
        """The storage of the dataset in a folder."""
        return PackedWindowStorage(ds_path)


def _layer_data(layer: str, items: LayerItems) -> WindowLayerData:
    return WindowLayerData.deserialize(
        {
            "layer_name": layer,
            "serialized_item_groups": items.groups,
            "group_time_ranges": items.time_ranges,
            "materialized": items.materialized,
        }
    )


def _layer_items(said: Mapping[str, Any]) -> LayerItems:
    return LayerItems(said["serialized_item_groups"], said["group_time_ranges"], said["materialized"])
