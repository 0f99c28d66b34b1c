import io
from pathlib import Path

import pytest

from burnscar_assets.labels.perimeters import clean_perimeters
from burnscar_assets.labels.plots import plot_perimeters
from burnscar_assets.labels.release import fetch_release
from burnscar_assets.settings import PerimeterSettings, ReleaseSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires, release_records

LIMITS = PerimeterSettings()


def test_a_simulated_map_says_so_and_counts_rejects() -> None:
    records = release_records(frap_fires({}, {}, {"CONT_DATE": None}))
    for simulated in (True, False):
        done = clean_perimeters(records, 2020, LIMITS, simulated=simulated)
        figure = plot_perimeters(done.perimeters, done.rejects, title="2020")
        axes = figure.axes[0]
        assert axes.get_title() == ("2020 (simulated)" if simulated else "2020")
        assert "1 rejected: containment_missing 1" in axes.get_xlabel()


def test_a_map_of_nothing_can_be_drawn() -> None:
    done = clean_perimeters(release_records(frap_fires({"CONT_DATE": None})), 2020, LIMITS, simulated=False)
    plot_perimeters(done.perimeters, done.rejects, title="nothing").savefig(io.BytesIO())


@pytest.mark.real_data
def test_a_map_of_a_real_year_is_small(real_data: Path, root: DataRoot) -> None:
    source = str(real_data / "frap" / "fire241gdb.zip")
    records = fetch_release(ReleaseSettings(source=source), root).records
    done = clean_perimeters(records, 2017, LIMITS, simulated=False)
    png = io.BytesIO()
    plot_perimeters(done.perimeters, done.rejects, title="2017").savefig(png)
    assert 10_000 < len(png.getvalue()) < 100_000
