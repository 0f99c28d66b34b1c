"""A region in the south, and working in a region for the length of a test."""

from collections.abc import Iterator
from contextlib import contextmanager

from burnscar_assets.regions.load import load_region, work_in, working_region
from burnscar_assets.regions.region import Region

SOUTH = load_region("new-south-wales")


@contextmanager
def in_region(region: Region) -> Iterator[None]:
    """Within the block, this process works in a region."""
    before = working_region()
    work_in(region)
    try:
        yield
    finally:
        work_in(before)
