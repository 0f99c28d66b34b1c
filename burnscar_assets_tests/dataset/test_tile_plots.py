import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.tile_plots import plot_chips, plot_matches
from burnscar_assets.sensors.indices import dnbr, nbr, rbr
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.storage.contracts import SCENE_MATCHES, TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import SmallScene, make_dataset, make_windows, write_archive

SENTINEL2 = default_sensor()

DN = arrays("uint16", (4, 4), elements=st.integers(0, 20_000))


def png_bytes(figure: object) -> int:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=70, bbox_inches="tight")
    return buffer.tell()


def texts(figure: object) -> str:
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


@given(DN, DN)
def test_nbr_is_bounded_antisymmetric_and_unknown_without_data(nir: np.ndarray, swir: np.ndarray) -> None:
    index = nbr(nir, swir)
    assert index.dtype == np.float32
    unknown = (nir == 0) | (swir == 0)
    np.testing.assert_array_equal(np.isnan(index), unknown)
    assert (np.abs(index[~unknown]) < 1).all()
    np.testing.assert_allclose(index, -nbr(swir, nir), atol=1e-6)


def test_indices_agree_with_their_formulas() -> None:
    before = nbr(np.array([4000]), np.array([1000]))
    after = nbr(np.array([1500]), np.array([2500]))
    assert before[0] == pytest.approx(0.6)
    assert dnbr(before, after)[0] == pytest.approx(0.85)
    assert rbr(before, after)[0] == pytest.approx(0.85 / 1.601)


def test_pictures_say_what_they_show_and_stay_small(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, SmallScene("s")))
    places = [(column, row) for column in range(0, 200, 40) for row in range(0, 200, 40)] + [(900, 900)]
    windows = make_windows(root, places)
    matches, _ = match_scenes(windows, root.dataset, settings)
    tiles, _ = materialize_tiles(windows, matches, root.dataset, settings)
    chips = plot_chips(root.dataset, SENTINEL2, windows, tiles, title="Tiles 2022", simulated=True)
    assert sum(bool(axes.images) for axes in chips.axes) == 4 * 8
    assert "Tiles 2022 (simulated imagery)" in texts(chips)
    assert (
        png_bytes(plot_chips(root.dataset, SENTINEL2, windows, tiles, n=4, title="noise does not compress")) < 100_000
    )
    overview = plot_matches(matches, title="Scenes 2022", simulated=False)
    assert "simulated" not in texts(overview)
    assert png_bytes(overview) < 100_000
    assert "no scene in time range" in texts(overview)
    shuffled = plot_chips(
        root.dataset, default_sensor(), windows.sample(frac=1, random_state=0), tiles, title="Tiles 2022"
    )
    for one, other in zip(chips.axes, shuffled.axes, strict=True):
        for image, same in zip(one.images, other.images, strict=True):
            np.testing.assert_array_equal(image.get_array(), same.get_array())


def test_pictures_of_nothing_say_so(root: DataRoot) -> None:
    make_dataset(root, "a.parquet")
    windows = make_windows(root, [(0, 0)])
    chips = plot_chips(root.dataset, SENTINEL2, windows, TILES.empty(), title="Tiles 2022")
    assert "no complete burnt window" in texts(chips)
    assert plot_matches(SCENE_MATCHES.empty(), title="x").axes
