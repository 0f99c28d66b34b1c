"""Pages of a layer that were saved to a file are told from whole layers, by all that read a person's file."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.subsets import read_ecoregions
from burnscar_assets.labels.cut_answers import refuse_saved_page, says_cut
from burnscar_assets.labels.release import fetch_release
from burnscar_assets.sampling.land import load_land
from burnscar_assets.settings import ReleaseSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.vectors import read_layers
from burnscar_assets_tests.labels.test_layer_rows import SQUARE, collection, esri, feature


@pytest.mark.parametrize("flag", [True, "true"])
def test_a_page_that_was_saved_is_told_from_a_layer(tmp_path: Path, root: DataRoot, flag: Any) -> None:
    said = {"exceededTransferLimit": flag}
    for number, answer in enumerate(
        (collection(feature(), **said), collection(feature(), properties=said), esri({"rings": SQUARE}, **said))
    ):
        assert says_cut(answer)
        path = tmp_path / f"firep24_{number}.{'json' if number else 'geojson'}"
        path.write_text(json.dumps(answer, indent=number))
        with pytest.raises(InputError, match=r"one page of a layer, 1 of more rows.*FeatureServer/0"):
            refuse_saved_page(path)
        readers = [read_layers, load_land, lambda path: read_ecoregions(path, "name")]
        readers += [lambda path: fetch_release(ReleaseSettings(source=str(path)), root)] if number < 2 else []
        for read in readers:
            with pytest.raises(InputError, match="one page of a layer"):
                read(path)


def test_a_whole_layer_in_a_file_is_no_page(tmp_path: Path) -> None:
    quoted = feature(properties={"COMMENTS": '"exceededTransferLimit": true', "exceededTransferLimit": True})
    for content in (
        collection(feature()),
        collection(feature(), exceededTransferLimit=False),
        collection(quoted),
        [{"exceededTransferLimit": True}],
    ):
        path = tmp_path / "whole.geojson"
        path.write_text(json.dumps(content))
        refuse_saved_page(path)
    path.write_text('{"exceededTransferLimit": true, ')
    refuse_saved_page(path)
    refuse_saved_page(tmp_path / "absent.geojson")


@given(before=st.integers(0, 300))
@settings(max_examples=20, deadline=None)
def test_the_flag_is_found_wherever_it_stands(tmp_path_factory: pytest.TempPathFactory, before: int) -> None:
    path = tmp_path_factory.mktemp("page") / "page.json"
    padding = "x" * ((1 << 20) - before)
    path.write_text(json.dumps({"p": padding, "exceededTransferLimit": True, "features": []}))
    with pytest.raises(InputError, match="one page"):
        refuse_saved_page(path)
