"""The picture of a year's points."""

import io

import pytest

from burnscar_assets.sampling.plots import plot_points
from burnscar_assets_tests.sampling.fire_worlds import Fire, perimeters_of, sample


def test_the_picture_is_small_and_says_what_is_simulated() -> None:
    fires = [Fire(-90_000 + 15_000 * (i % 13), 70_000 - 20_000 * (i // 13), 900) for i in range(80)]
    sampled = sample(fires)
    figure = plot_points(
        sampled.points, perimeters_of(fires), title="Points 2020", simulated=True, losses=sampled.losses
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    assert 10_000 < picture.tell() < 100_000
    assert figure.get_suptitle() == "Points 2020 (simulated)"
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    counts = sampled.points.groupby(["category", "split"]).size()
    assert sorted(labels) == sorted(f"{category}, {split}: {n}" for (category, split), n in counts.items())


@pytest.mark.parametrize("with_losses", [True, False])
def test_a_year_without_points_has_a_picture_too(with_losses: bool) -> None:
    nothing = sample([])
    figure = plot_points(
        nothing.points,
        perimeters_of([]),
        title="Points",
        simulated=False,
        losses=nothing.losses if with_losses else None,
    )
    assert figure.get_suptitle() == "Points"
    figure.savefig(io.BytesIO(), format="png")
