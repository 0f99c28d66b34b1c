"""The picture of a year's windows."""

import io

from burnscar_assets.dataset.window_plots import PLACES_SHOWN, plot_windows
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, WINDOWS
from burnscar_assets_tests.dataset.window_tables import FIRES, windows_of
from burnscar_assets_tests.sampling.fire_worlds import perimeters_of


def test_the_picture_is_small_and_shows_the_fires_with_most_windows() -> None:
    windows = windows_of()
    figure = plot_windows(windows, perimeters_of(FIRES), title="Windows 2020", simulated=True)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    assert 10_000 < picture.tell() < 100_000
    assert figure.get_suptitle() == "Windows 2020 (simulated)"
    assert len(figure.axes) == PLACES_SHOWN + 2
    totals = {int(text.get_text()) for text in figure.axes[PLACES_SHOWN].texts}
    assert totals == set(windows["category"].value_counts())


def test_a_year_without_windows_has_a_picture_too() -> None:
    figure = plot_windows(WINDOWS.empty(), FIRE_PERIMETERS.empty(), title="Windows", simulated=False)
    assert figure.get_suptitle() == "Windows"
    figure.savefig(io.BytesIO(), format="png")
