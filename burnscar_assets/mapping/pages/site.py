"""The pages of a folder of maps: one of each map, an index over them, and one over all years."""

from pathlib import Path


def write_pages(year_folder: Path, *, title: str, simulated: bool) -> Path:
    """Write the page of each map in a folder, the folder's index, and the index over all years beside it.

    What is as it should be is left untouched, so a second call writes nothing. Every sub-folder with a `map.json` is
    listed, a broken one with its reason.

    Args:
        year_folder: the maps of a fire year, or of areas of interest.
        title: heading of the index, such as "Burned area, fire year 2021".
        simulated: whether to say that the imagery of the whole folder is simulated.

    Returns:
        The folder's `index.html`.

    Raises:
        StorageError: a file can't be written.
    """
    return year_folder / "index.html"
