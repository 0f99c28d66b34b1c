"""Paths under the data root: the one place that knows the layout on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

OWN: Final = "default"
"""Name of the world's own set-up, that of its settings file, whose results lie in no folder of set-ups."""


@dataclass(frozen=True)
class DataRoot:
    """The folders of one world. Nothing is created by looking at a path.

    Attributes:
        path: the data root.
        part: folder under it, of a set-up whose checkpoints, evaluations and tables of these are meant; empty: those
            of the world's own set-up.
    """

    path: Path
    part: str = ""

    def setup(self, name: str, seed: int | None = None) -> "DataRoot":
        """The same world with the results of a set-up; those of a seed that is not its first lie below."""
        part = f"setups/{name}"
        return DataRoot(self.path, part if seed is None else f"{part}/seed={seed}")

    def fold(self, number: int) -> "DataRoot":
        """The same results of the checkpoint that is judged on one fold."""
        return DataRoot(self.path, "/".join(filter(None, (self.part, f"fold={number}"))))

    def curve(self, name: str, fires: int, seed: int) -> "DataRoot":
        """The same world with the results of a set-up that was trained with so many fires and a seed."""
        return DataRoot(self.path, f"curves/{name}/fires={fires}/seed={seed}")

    @property
    def curves(self) -> Path:
        """Pictures of learning curves, and below them the checkpoints and scores that they are drawn from."""
        return self.path / "curves"

    @property
    def is_own(self) -> bool:
        """Whether results are those of the world's own set-up, with its first seed."""
        return not self.part or self.part.startswith("fold=")

    @property
    def results(self) -> Path:
        """Where checkpoints, evaluations and their tables lie."""
        return self.path / self.part

    @property
    def world_file(self) -> Path:
        """Settings that this data root was made with, if they aren't shipped ones."""
        return self.path / "world.yaml"

    @property
    def simulated(self) -> Path:
        """The simulated archive: labels, land and imagery."""
        return self.path / "simulated"

    @property
    def releases(self) -> Path:
        """Releases of perimeters as fetched, one folder per content hash."""
        return self.path / "releases"

    @property
    def tables(self) -> Path:
        """GeoParquet tables, `<name>/fire_year=YYYY/part.parquet`."""
        return self.path / "tables"

    @property
    def result_tables(self) -> Path:
        """Tables that a set-up has of its own, in the same layout."""
        return self.results / "tables"

    @property
    def dataset(self) -> Path:
        """The rslearn dataset; its groups are the fire years."""
        return self.path / "dataset"

    @property
    def fire_scenes(self) -> Path:
        """The rslearn dataset of whole frames that fires are judged on; its groups are the fire years."""
        return self.path / "fire_scenes"

    def fire_scene_windows(self, fire_year: int) -> Path:
        """The windows of a fire year there, a folder each."""
        return self.fire_scenes / "windows" / str(fire_year)

    def fire_scene_work(self, fire_year: int) -> Path:
        """What reading them remembers of searches."""
        return self.path / "mapping" / f"fire_scenes={fire_year}"

    @property
    def pretrained(self) -> Path:
        """Configurations and weights of pretrained encoders."""
        return self.path / "pretrained"

    def checkpoint(self, fire_year: int) -> Path:
        """Folder of a fire year's fine-tuned checkpoint and its manifest."""
        return self.results / "checkpoints" / f"fire_year={fire_year}"

    def evaluation(self, fire_year: int) -> Path:
        """Folder of a fire year's evaluation report."""
        return self.results / "evaluation" / f"fire_year={fire_year}"

    @property
    def comparison(self) -> Path:
        """Folder of the comparison of set-ups."""
        return self.path / "comparison"

    def maps(self, fire_year: int | None) -> Path:
        """Folder of a fire year's burned-area maps; `None`: of those of areas of interest."""
        return self.results / "maps" / ("aoi" if fire_year is None else f"fire_year={fire_year}")

    @property
    def label_doubts(self) -> Path:
        """Folder of the page of doubtful perimeters, beside the folders of maps."""
        return self.path / "maps" / "label_doubts"

    def map_work(self, fire_year: int | None) -> Path:
        """What mapping remembers of these maps: their scenes, and blocks of those that are not whole yet."""
        return self.results / "mapping" / self.maps(fire_year).name

    def season_maps(self, fire_year: int) -> Path:
        """Folder of the maps of fires that the release doesn't have yet."""
        return self.results / "maps" / f"in_season={fire_year}"

    def season_map_work(self, fire_year: int) -> Path:
        """What mapping remembers of these maps."""
        return self.results / "mapping" / self.season_maps(fire_year).name

    def spec(self, stage: str, fire_year: int) -> Path:
        """What a process of its own was last told to do."""
        return self.results / "specs" / f"{stage}-{fire_year}.json"

    def draws(self, fire_year: int) -> Path:
        """What sampling remembers of a fire year; without it, the same points come about, more slowly."""
        return self.path / "draws" / f"fire_year={fire_year}.npz"

    @property
    def damaged(self) -> Path:
        """Results that were found damaged, out of the way of those that were made in their place; nothing reads it."""
        return self.path / "damaged"

    @property
    def locks(self) -> Path:
        """Locks of the stages, one file per asset and fire year."""
        return self.path / "locks"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own state."""
        return self.path / "dagster"

    def resolve(self, path: str) -> Path:
        """A path from the settings: relative ones lie under the data root."""
        return self.path / path
