"""Real images through the command that people type: each gives its right value, or says what it lacks."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnscar_assets.cli import main
from burnscar_assets_tests.publish.test_own_images import CASES

pytestmark = pytest.mark.real_data


class Maps:
    """Maps made by the command, in one folder.

    Args:
        folder: to write to.
        capsys: what the command says.
    """

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys

    def __call__(self, *arguments: object) -> dict[str, Any]:
        """The figures of a map."""
        code = main(["map-image", *map(str, arguments), "--out", str(self._folder)])
        assert code == 0, self._capsys.readouterr().err
        return json.loads((self._folder / "figures.json").read_text())

    def refused(self, *arguments: object) -> str:
        """Why there is no map."""
        assert main(["map-image", *map(str, arguments), "--out", str(self._folder)]) == 1
        return self._capsys.readouterr().err


@pytest.fixture
def maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Maps:
    return Maps(tmp_path / "map", capsys)


@pytest.fixture
def imagery(real_data: Path) -> Path:
    return real_data / "imagery"


def notes(figures: dict[str, Any]) -> str:
    return " | ".join(figures["notes"])


@pytest.fixture
def cases() -> Path:
    if not CASES.is_dir():
        pytest.skip(f"cases not found at {CASES}")
    return CASES


@pytest.mark.parametrize("kind", ["", "mask_"])
def test_case_08_validity_in_an_alpha_or_a_mask_band(maps: Maps, cases: Path, kind: str) -> None:
    folder = cases / "08-alpha"
    figures = maps("--after", folder / f"{kind}post.tif", "--before", folder / f"{kind}pre.tif")
    assert figures["seen_ha"] == pytest.approx(630, abs=0.5)
    assert figures["burned_ha"] == pytest.approx(203, abs=0.5)


def test_case_08_a_real_image_with_alpha(maps: Maps, cases: Path) -> None:
    image = cases / "08-alpha" / "RGBA.uint16.tif"
    figures = maps("--after", image, "--nir", 3, "--swir", 1, "--threshold", 0.5)
    assert figures["seen_ha"] == pytest.approx(24.2, abs=0.05)


def test_case_10_scale_and_offset_in_the_files(maps: Maps, cases: Path) -> None:
    folder = cases / "10-scale-offset"
    pair = ("--after", folder / "post.tif", "--before", folder / "pre.tif", "--nir", 1, "--swir", 2)
    severity = maps(*pair)["severity_ha"]
    assert (round(severity["high"]), round(severity["moderate-high"])) == (221, 1)
    assert "itself says that each number carries 7272.73" in notes(maps(*pair, "--offset", 0))


def test_case_12_thresholds_beyond_the_index(maps: Maps, cases: Path) -> None:
    after, before = (cases / "12-plain-pair" / f"{when}.tif" for when in ("post", "pre"))
    assert "did you mean 0.27?" in maps.refused("--after", after, "--before", before, "--threshold", 270)
    assert "NBR lies within ±1" in maps.refused("--after", after, "--threshold", 100)


@pytest.mark.parametrize(
    ("fire", "pair", "least_iou"),
    [("BELLA_20240805", False, 0.9), ("CANAL_20240530", False, 0.75), ("DOVE_20241019", True, 0.85),
     ("LIDIA_20250108", True, 0.7), ("CREEK_20240726", False, 0.65)],
)  # fmt: skip
def test_california_s_fires_by_the_names_of_bands(
    maps: Maps, imagery: Path, fire: str, pair: bool, least_iou: float
) -> None:
    folder = imagery / "california_fires"
    before = ("--before", folder / fire / "pre.tif") if pair else ()
    figures = maps("--after", folder / fire / "post.tif", *before, "--perimeter", folder / "perimeters.geojson")
    assert figures["agreement"]["iou"] >= least_iou
    assert "32 of 33 perimeters" in notes(figures)
    assert "--offset 1000: " not in notes(figures) and "darkest ground of" not in notes(figures)


def test_hls_with_negative_numbers(maps: Maps, imagery: Path) -> None:
    pair = ("--after", imagery / "hls_pair" / "post.tif", "--before", imagery / "hls_pair" / "pre.tif")
    assert "say so with --nir" in maps.refused(*pair)
    figures = maps(*pair, "--nir", 6, "--swir", 5)
    assert figures["index"] == "dnbr" and "carry an offset" not in notes(figures)
    assert figures["seen_ha"] > 0.99 * 4_400


def test_british_columbia_with_its_offset_and_without(maps: Maps, imagery: Path) -> None:
    folder = imagery / "bc_c50929"
    given = ("--after", folder / "C50929_post_B12_B11_B09_20m.tif", "--nir", 3)
    perimeter = ("--perimeter", folder / "C50929_bcws_perimeter_mask.tif")
    right = maps(*given, *perimeter, "--offset", 1000)
    assert right["agreement"]["iou"] == pytest.approx(0.79, abs=0.01)
    assert "offset" not in notes(right)
    assert "if so, give --offset 1000" in notes(maps(*given, *perimeter))
    assert "km from the image" in maps.refused(
        *given, "--perimeter", imagery / "california_fires" / "perimeters.geojson"
    )


def test_eight_bits_are_said(maps: Maps, imagery: Path) -> None:
    folder = imagery / "ca_madre"
    figures = maps(
        "--after", folder / "After_fire_composite.tif", "--before", folder / "Before_fire_composite.tif",
        "--nir", 2, "--swir", 1,
    )  # fmt: skip
    assert "numbers of 8 bits" in notes(figures)
    assert figures["burned_ha"] == pytest.approx(26_900, rel=0.02)


def test_alps_without_a_fire(maps: Maps, imagery: Path) -> None:
    folder = imagery / "alps_l2a"
    pair = ("--after", folder / "S2A2A_20190723_022_Barbellino_BOA_10.tif",
            "--before", folder / "S2A2A_20170703_022_Barbellino_BOA_10.tif")  # fmt: skip
    assert "say so with --nir" in maps.refused(*pair)
    figures = maps(*pair, "--nir", 8, "--swir", 11)
    assert figures["seen_ha"] == pytest.approx(42 * 24 / 100)
    assert "a file of one band" in maps.refused("--after", folder / "S2A2A_20190723_022_Barbellino_SCL_10.tif")


@pytest.mark.parametrize(("patch", "is_in_doubt"), [(33188, False), (275979, False), (445, True), (57755, True)])
def test_chips_of_twelve_bands(maps: Maps, imagery: Path, patch: int, is_in_doubt: bool) -> None:
    given = ("--after", imagery / "s2_12band" / f"patch_{patch}.tif")
    assert "say so with --nir" in maps.refused(*given)
    figures = maps(*given, "--nir", 8, "--swir", 12)
    assert figures["seen_ha"] == pytest.approx(655.36)
    assert ("give --offset 1000" in notes(figures)) == is_in_doubt
    assert "offset" not in notes(maps(*given, "--nir", 8, "--swir", 12, "--offset", 1000 if is_in_doubt else 0))
    if not is_in_doubt:
        assert "try --offset 0" in notes(maps(*given, "--nir", 8, "--swir", 12, "--offset", 1000))


def test_two_files_of_level_1c(maps: Maps, imagery: Path) -> None:
    near, short = (imagery / "l1c_jp2" / f"s2_{name}.jp2" for name in ("B8A", "B12"))
    figures = maps("--after", near, short)
    assert figures["seen_ha"] == pytest.approx(967 * 973 * 0.04, rel=0.01)
    assert "offset" not in notes(figures)
    assert "a file of one band" in maps.refused("--after", short)


@pytest.mark.slow
def test_a_product_of_esa_by_its_folder_or_its_files(maps: Maps, imagery: Path) -> None:
    (product,) = (imagery / "safe_l2a").glob("*.SAFE")
    near, short = (next(product.rglob(f"*_{name}_60m.jp2")) for name in ("B8A", "B12"))
    by_folder, by_files = maps("--after", product), maps("--after", near, short)
    assert by_folder == {**by_files, "title": by_folder["title"]}
    assert by_folder["seen_ha"] == pytest.approx(718_600, rel=0.01)
    assert "offset" not in notes(by_folder)
    wrong = notes(maps("--after", near, short, "--offset", 0))
    assert "itself says that each number carries 1000" in wrong and "try --offset 1000" in wrong
