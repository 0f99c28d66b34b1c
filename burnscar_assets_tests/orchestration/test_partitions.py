"""Fire years of any settings in any year: those that began, up to the last, but for the excluded ones."""

from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import PartitionLoadingContext, partition_loading_context
from dagster._core.definitions.temporal_context import TemporalContext
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from burnscar_assets.errors import SettingsError
from burnscar_assets.orchestration.partitions import fire_year_partitions, offset_mapping
from burnscar_assets.settings import YearSettings

FIRST = 2020
YEARS = st.integers(FIRST, FIRST + 9)


def _expected(years: YearSettings, now: int) -> list[str]:
    last = min(now, years.last or now)
    return [str(year) for year in range(years.first, last + 1) if year not in years.exclude]


def _loading(now: int, month: int = 6) -> PartitionLoadingContext:
    return PartitionLoadingContext(
        temporal_context=TemporalContext(effective_dt=datetime(now, month, 1, tzinfo=UTC), last_event_id=None),
        dynamic_partitions_store=None,
    )


@settings(deadline=None)
@given(st.none() | YEARS, st.sets(st.integers(FIRST - 2, FIRST + 11), max_size=6), YEARS, st.sampled_from([1, 6, 12]))
@example(None, {2026}, 2026, 11)
@example(None, {2026, 2027}, 2026, 1)
@example(None, {2025, 2027}, 2026, 6)
@example(2026, {2026}, 2026, 6)
@example(2026, set(), 2026, 6)
def test_all_ways_to_ask_give_the_years_that_began(last: int | None, excluded: set[int], now: int, month: int) -> None:
    assume(set(range(FIRST, (last or now) + 1)) - excluded)
    years = YearSettings(first=FIRST, last=last, exclude=tuple(excluded))
    expected = _expected(years, now)
    assume(expected)
    partitions = fire_year_partitions(years, now)
    context = _loading(now, month)
    with partition_loading_context(new_ctx=context):
        assert partitions.get_partition_keys() == expected
        assert partitions.get_num_partitions() == len(expected)
        assert [partitions.get_first_partition_key(), partitions.get_last_partition_key()] == [
            expected[0],
            expected[-1],
        ]
        assert [str(y) for y in range(FIRST - 1, now + 4) if partitions.has_partition_key(str(y))] == expected
        assert sorted(partitions.subset_with_all_partitions().get_partition_keys()) == expected
    assert partitions.get_paginated_partition_keys(context, limit=100, ascending=True).results == expected


@settings(deadline=None)
@given(st.sets(st.integers(FIRST - 1, FIRST + 9), max_size=5), YEARS, YEARS)
def test_a_daemon_that_runs_on_never_lists_an_excluded_or_coming_year(
    excluded: set[int], loaded: int, now: int
) -> None:
    years = YearSettings(first=FIRST, last=None, exclude=tuple(excluded))
    assume(_expected(years, loaded) and now >= loaded)
    with partition_loading_context(new_ctx=_loading(now)):
        assert set(fire_year_partitions(years, loaded).get_partition_keys()) <= set(_expected(years, now))


@settings(deadline=None)
@given(st.sets(st.integers(FIRST + 1, FIRST + 9), max_size=5), YEARS, st.integers(0, 3))
def test_looking_back_passes_over_excluded_years(excluded: set[int], now: int, back: int) -> None:
    years = YearSettings(first=FIRST, last=None, exclude=tuple(excluded))
    known, partitions = _expected(years, now), fire_year_partitions(years, now)
    with partition_loading_context(new_ctx=_loading(now)):
        parents = offset_mapping(-back, 0).get_upstream_mapped_partitions_result_for_partitions(
            partitions.subset_with_partition_keys(known[-1:]), partitions, partitions
        )
    assert sorted(parents.partitions_subset.get_partition_keys()) == known[-(back + 1) :]


@pytest.mark.parametrize(
    "years",
    [
        YearSettings(first=2024, exclude=(2024, 2025, 2026)),
        YearSettings(first=2027),
    ],
)
def test_no_year_left_is_a_mistake_in_the_settings(years: YearSettings) -> None:
    with pytest.raises(SettingsError, match=r"leave no fire year up to 2026: years.first"):
        fire_year_partitions(years, 2026)


def test_the_current_year_comes_by_itself() -> None:
    partitions: dg.TimeWindowPartitionsDefinition = fire_year_partitions(
        YearSettings(first=2024, exclude=(2025,)), 2026
    )
    with partition_loading_context(new_ctx=_loading(2027)):
        assert partitions.get_partition_keys() == ["2024", "2026", "2027"]
