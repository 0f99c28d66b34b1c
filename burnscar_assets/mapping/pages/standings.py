"""How set-ups map the held-out fires, as the index over all maps tells it: a file that the comparison leaves there."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from burnscar_assets.storage.atomic import read_json, write_json

STANDINGS_FILE: Final = "standings.json"


@dataclass(frozen=True)
class Standings:
    """A comparison of set-ups, in words.

    Attributes:
        said: sentences: which set-up maps best and by how much.
        headings: of the table.
        rows: of the table, a cell for each heading; the first names the set-up.
    """

    said: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, said: Sequence[str], headings: Sequence[str], rows: Sequence[Sequence[str]]) -> "Standings":
        """Standings of lists."""
        return cls(tuple(said), tuple(headings), tuple(map(tuple, rows)))


def read_standings(folder: Path) -> Standings:
    """What was left in a folder over all maps; empty if there is nothing that can be read."""
    found = read_json(folder / STANDINGS_FILE)
    try:
        return Standings.of(found["said"], found["headings"], found["rows"])
    except (KeyError, TypeError):
        return Standings()


def keep_standings(folder: Path, standings: Standings) -> None:
    """Leave standings in a folder over all maps, unless they are there already."""
    if read_standings(folder) != standings:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / STANDINGS_FILE, asdict(standings))
