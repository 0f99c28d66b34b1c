import io
from pathlib import Path

import pytest

from burnscar_assets.labels.history import burn_history
from burnscar_assets.labels.perimeters import clean_perimeters
from burnscar_assets.labels.plots import plot_history, plot_perimeters, plot_release
from burnscar_assets.labels.release import fetch_release
from burnscar_assets.sampling.land import load_land
from burnscar_assets.settings import PerimeterSettings, ReleaseSettings
from burnscar_assets.storage.contracts import BURN_HISTORY, RELEASE_RECORDS
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


def test_records_are_counted_by_kind_and_those_without_a_year_named() -> None:
    records = release_records(frap_fires({}, {"YEAR_": 2018}, {"YEAR_": None}))
    figure = plot_release(records, title="Release", simulated=True)
    assert figure.get_suptitle() == "Release (simulated)"
    assert [axes.get_title() for axes in figure.axes] == ["3 wildfires, 1 without a year", "0 prescribed burns"]
    assert [bar.get_height() for bar in figure.axes[0].patches] == [1, 1]


def test_burns_that_could_show_are_counted_by_kind() -> None:
    records = release_records(frap_fires({}, {"YEAR_": 2018}))
    burns = burn_history(records, 2020, LIMITS).burns
    figure = plot_history(burns, title="Burns", simulated=False, land=load_land(None))
    assert figure.get_suptitle() == "Burns"
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["2 wildfires, 200 ha", "0 prescribed burns, 0 ha"]


def test_a_map_of_nothing_can_be_drawn() -> None:
    done = clean_perimeters(release_records(frap_fires({"CONT_DATE": None})), 2020, LIMITS, simulated=False)
    for figure in (
        plot_perimeters(done.perimeters, done.rejects, title="nothing"),
        plot_history(BURN_HISTORY.empty(), title="nothing", simulated=False),
        plot_release(RELEASE_RECORDS.empty(), title="nothing", simulated=False),
    ):
        drawn = io.BytesIO()
        figure.savefig(drawn)
        assert drawn.getvalue().startswith(b"\x89PNG")


@pytest.mark.real_data
def test_pictures_of_a_real_release_are_small(real_data: Path, root: DataRoot) -> None:
    source = str(real_data / "frap" / "fire241gdb.zip")
    records = fetch_release(ReleaseSettings(source=source), root).records
    done = clean_perimeters(records, 2017, LIMITS, simulated=False)
    burns = burn_history(records, 2017, LIMITS).burns
    for figure in (
        plot_release(records, title="Release", simulated=False),
        plot_perimeters(done.perimeters, done.rejects, title="2017", land=load_land(None)),
        plot_history(burns, title="2017", simulated=False, land=load_land(None)),
    ):
        png = io.BytesIO()
        figure.savefig(png)
        assert 10_000 < len(png.getvalue()) < 100_000
