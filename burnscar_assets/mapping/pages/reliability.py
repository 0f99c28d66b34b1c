"""Whether the probabilities of a folder's maps mean what they say: burnt share by bin, before and after calibration."""

from collections.abc import Iterable, Sequence

from burnscar_assets.mapping.pages.records import Reliability, ReliabilityBin
from burnscar_assets.mapping.pages.texts import NOTHING, share


def reliability_rows(found: Sequence[Reliability]) -> list[dict[str, str]]:
    """A row for each bin of probability that any ground is in; each map weighs the same.

    Args:
        found: of the maps that have an official perimeter.
    """
    before, after = (_by_bin(bins) for bins in ([one.before for one in found], [one.after for one in found]))
    return [
        {"bin": name, **_cells("before", before.get(name)), **_cells("after", after.get(name))}
        for name in sorted(before.keys() | after.keys())
    ]


def _by_bin(maps: Iterable[Sequence[ReliabilityBin]]) -> dict[str, tuple[float, float]]:
    """Mean probability and burnt share of each bin."""
    sums: dict[str, list[float]] = {}
    for bins in maps:
        for one in bins:
            total = sums.setdefault(one.bin, [0.0, 0.0, 0.0])
            for number, value in enumerate((1.0, one.mean_probability, one.burnt_share)):
                total[number] += one.share * value
    return {name: (said / ground, burnt / ground) for name, (ground, said, burnt) in sums.items() if ground > 0}


def _cells(name: str, value: tuple[float, float] | None) -> dict[str, str]:
    said, burnt = (NOTHING, NOTHING) if value is None else map(share, value)
    return {f"{name}_said": said, f"{name}_burnt": burnt}
