"""Scenes that give way at a window: those that can't be used there, and why, and what is read in their place."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from burnscar_assets.catalog.items import SerializedItem, is_of_fallback, use_instead
from burnscar_assets.dataset.config import data_source, fallback_layer, selection_of
from burnscar_assets.dataset.materialize_batch import Groups, TileOutcome
from burnscar_assets.settings import ImagerySettings

if TYPE_CHECKING:
    from rslearn.config import LayerConfig
    from rslearn.data_sources import DataSource
    from rslearn.dataset import Dataset, Window

NO_PIXELS = "it has no pixels there"
TOO_FEW_PIXELS = "too many of its pixels there are without data"


class GivingWay:
    """One layer's windows that are not, or can't be, made of the scenes that they were matched with.

    Attributes:
        passed_over: by window, scenes that gave way and why.
    """

    def __init__(self, dataset: "Dataset", layer: str, settings: ImagerySettings) -> None:
        """Know whose windows; nothing is read yet."""
        self._dataset = dataset
        self._layer = layer
        self._settings = settings
        self.passed_over: dict[str, dict[str, str]] = {}
        self._sources: dict[bool, tuple[LayerConfig, DataSource]] = {}

    def next(self, window: "Window", groups: Groups, outcome: TileOutcome, *, lacks_data: bool) -> Groups:
        """What a window is to be made of after an attempt; empty where it was good, may pass, or nothing is left.

        Args:
            window: the window.
            groups: scenes that it was made of.
            outcome: what came of it.
            lacks_data: whether too many of its pixels are without data.
        """
        from burnscar_assets.catalog.selection import next_match

        unfit = _unfit(groups, outcome, lacks_data)
        if not unfit or (outcome.failure is not None and not outcome.failure.lasting):
            return []
        passed = self.passed_over.setdefault(window.name, {})
        passed |= unfit
        config, source = self._read_from(is_of_fallback(groups))
        selection = selection_of(self._layer, self._settings)
        found = next_match(window, self._layer, source, config, selection, passed.keys())
        if found:
            use_instead(window, self._layer, found)
        return found

    def choice(self, window: "Window") -> list[str]:
        """What decides which scenes take the place of others: how they are chosen, and names of those there are."""
        return [selection_of(self._layer, self._settings), *self._candidates(window)]

    def groups_of(self, window: "Window", names: Sequence[Sequence[str]]) -> Groups:
        """Groups of scenes by their names; empty where one isn't among the window's scenes any more."""
        known = self._candidates(window)
        if not all(name in known for group in names for name in group):
            return []
        return [[known[name] for name in group] for group in names]

    def _candidates(self, window: "Window") -> dict[str, SerializedItem]:
        from burnscar_assets.catalog.items import read_candidates

        return {item["name"]: item for item in read_candidates(window, self._layer)}

    def _read_from(self, is_fallback: bool) -> "tuple[LayerConfig, DataSource]":
        """The layer's configuration and source, or those that stand behind it."""
        if is_fallback not in self._sources:
            second = fallback_layer(self._dataset, self._layer) if is_fallback else None
            config = second or self._dataset.layers[self._layer]
            self._sources[is_fallback] = config, data_source(self._dataset, self._layer, fallback=is_fallback)
        return self._sources[is_fallback]


def _unfit(groups: Groups, outcome: TileOutcome, lacks_data: bool) -> dict[str, str]:
    """Scenes that an attempt showed to be of no use, and why."""
    if outcome.failure is not None:
        return {outcome.failure.scene: outcome.failure.reason}
    if not lacks_data:
        return {}
    if outcome.empty:
        return dict.fromkeys(outcome.empty, NO_PIXELS)
    return {groups[0][0]["name"]: TOO_FEW_PIXELS} if groups else {}
