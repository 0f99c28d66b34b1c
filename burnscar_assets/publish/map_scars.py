"""Old scars of one map in the making, block by block: the rule, and what it kept off the map."""

from collections.abc import Iterable

import numpy as np

from burnscar_assets.mapping.mosaic import Validity
from burnscar_assets.mapping.old_scars import BurnRatios, Mask, change_counts, mode_of
from burnscar_assets.publish.rasters import MadeBlock
from burnscar_assets.sensors.indices import dnbr


class MapScars:
    """The rule of old scars on a map.

    `blocks` are all of the map, each with (height, width) what of it is mapped; without a bound there is no rule.
    """

    def __init__(
        self, bound: float | None, blocks: Iterable[tuple[MadeBlock, Mask]], pixel_ha: float, *, has_red: bool
    ) -> None:
        self._bound, self._pixel_ha, self._has_red, self._refused = bound, pixel_ha, has_red, 0
        total, self._has_before = change_counts(np.zeros(0, np.float32), np.zeros(0, bool)), False
        for block, inside in blocks if bound is not None else ():
            ratios = self._ratios(block)
            if ratios is not None:
                self._has_before = True
                total += change_counts(dnbr(ratios.before, ratios.after), inside & ~ratios.water)
        self._mode = mode_of(total)

    def of(self, block: MadeBlock) -> Mask | None:
        """(height, width) old scars of a block; None where there is no rule, or the map has no image before."""
        if not self._has_before:
            return None
        ratios = self._ratios(block)
        if ratios is None:
            return np.zeros(block.validity.shape, dtype=bool)
        return ratios.old_scars(self._bound, self._mode)

    def _ratios(self, block: MadeBlock) -> BurnRatios | None:
        if not block.before.size:
            return None
        clear = block.before_clear & (block.validity == Validity.VALID)
        return BurnRatios.of(block.before, block.after, clear, has_red=self._has_red)

    def count(self, refused: Mask) -> None:
        """Count what of a block the model calls burnt and the rule doesn't."""
        self._refused += int(refused.sum())

    def figures(self) -> dict[str, float | None] | None:
        """Bound of NBR before, mode of dNBR, and hectares that the rule kept off the map; None as in `of`."""
        if not self._has_before:
            return None
        return {"nbr_before_below": self._bound, "dnbr_mode": self._mode, "refused_ha": self._refused * self._pixel_ha}

    def notes(self) -> list[str]:
        """What a reader must know."""
        if self._bound is None:
            return []
        if not self._has_before:
            return ["there is no image before, so that a scar of an earlier season may be taken for a fresh one"]
        said = "that the model calls burnt are mapped unburnt, as the image before shows the scar already"
        return [f"{self._refused * self._pixel_ha:,.1f} ha {said}"] if self._refused else []
