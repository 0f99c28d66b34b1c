"""The picture of a fire year's maps in the web UI."""

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST: Final = 12
BAR: Final = "#c1440e"
NOTE: Final = "#b00020"


def plot_maps(maps: pd.DataFrame, *, title: str, simulated: bool) -> "Figure":
    """Burned area with its interval, and agreement with the perimeter, of the largest fires.

    Args:
        maps: table `burned_area_maps`.
        title: of the picture.
        simulated: whether to say that the imagery is simulated.
    """
    from matplotlib.figure import Figure

    shown = maps[maps["complete"].fillna(False).astype(bool)].nlargest(MOST, "mapped_ha").iloc[::-1]
    figure = Figure(figsize=(9, 1.6 + 0.35 * max(len(shown), 2)), layout="constrained")
    areas, agreement = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(shown))
    low, high = (shown[name].fillna(shown["mapped_ha"]).to_numpy(float) for name in ("low_ha", "high_ha"))
    areas.hlines(places, low, high, color=BAR, alpha=0.4, linewidth=6, label="estimate, 95 %")
    areas.plot(shown["mapped_ha"], places, "o", color=BAR, label="mapped")
    areas.set(
        xlabel="burned area, ha", yticks=places, yticklabels=shown["fire_name"].map(as_drawn).tolist(), xlim=(0, None)
    )
    agreement.barh(places, shown["iou"].to_numpy(float), color=BAR)
    agreement.set(xlabel="IoU with the perimeter", xlim=(0, 1))
    if len(shown):
        areas.legend(frameon=False, fontsize="small")
    without = len(maps) - int(maps["complete"].fillna(False).astype(bool).sum())
    figure.suptitle(
        f"{as_drawn(title)}: {len(maps) - without} maps" + (f", {without} fires without imagery" if without else "")
    )
    if simulated:
        figure.text(0.99, 0.01, "SIMULATED imagery", ha="right", color=NOTE)
    return figure
