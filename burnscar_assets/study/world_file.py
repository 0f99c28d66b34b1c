"""The settings of a study as a file for people: what was found in the files, what was assumed, what can be changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml


@dataclass(frozen=True)
class Found:
    """What a study's settings follow from.

    Attributes:
        images, perimeters: full paths.
        region: where the fires lie, by name or path.
        sensor: its name or path.
        years: fire years with images, in order; every_year: those of all fires.
        fires: how many perimeters are good enough; end_assumed, remarked: of them, those without a containment date,
            and those with a remark.
        by_fire: files whose days follow from their fire.
        composites: whether images are made of several days.
        assumed_days: from alarm to containment where that isn't known.
        metres: side of a pixel.
        change: whether windows have an image before their fire too.
    """

    images: Path
    perimeters: Path
    region: str
    sensor: str
    years: tuple[int, ...]
    every_year: tuple[int, ...]
    fires: int
    end_assumed: int
    remarked: int
    by_fire: int
    composites: bool
    assumed_days: int
    metres: float
    change: bool = False


CHANGE_DATASET: Final = "dataset-sensor-pre-post.json"
"""Dataset configuration of a study whose windows have an image before their fire too."""

_WORLD: Final = """\
# Written by burnscar study. Edit it as you like: burnscar study keeps it, and burnscar plan, refresh and ui follow it
# with --data and this folder. Delete it to have it written anew.
name: {name}
region: {region}
years: {{first: {first}, last: {last}{exclude}}} # fire years that images show
release:
  source: {perimeters}
perimeters:
  # {end_assumed} of {fires} fires have no containment date. So many days after the alarm they are taken to
  # end, and images after them count from there; empty (null): they are left out.
  assumed_duration_days: {assumed_days}
sampling:
  land: extent.parquet # the ground that images show, by fire year
  only_on_land: true # rings and frames of fires keep to it too
  # Windows of which so much is burnt are burnt ones: what they show is drawn pixel by pixel, edges with it.
  min_burnt_share: 0.25
  min_burnt_share_small: 0.05
  points_per_sqrt_window: 8
  unburnt_per_burnt: {{ring: 1}}
  splits:
    folds: 5 # each fire is judged once, by models trained on fires of other folds, 10 km apart; no walk-forward
windows:
  # Days after the end of a fire, and before its alarm, that images may be of. Composites without days are taken for
  # all of these.
  days_after: [0, 30]
  days_before: [1, 60]
imagery:
  sensor: {sensor}
  archive: images.parquet # the index of {folder}, made by burnscar study
{dataset}  allowed_hosts: [{images}]
  max_cloud_cover: 100 # the files don't say how cloudy they are
fire_scenes:
  # Frames that fires are judged on: cut from the images at random about the fire, so that nothing is in the middle.
  margin_share: 0.25
  margin_m: [300, 800]
  without_fire: 0 # what else burned near these fires isn't known
training:
  config: model-unet.yaml
  max_epochs: 30
  early_stop_epochs: 12 # few windows make few steps an epoch, and losses that jump
  batch_size: 8
  learning_rate: 1.0e-3
  seed: 0
  further_seeds: [1, 2]
  accelerator: cpu
evaluation:
  caveat: Other burns near these fires aren't known, so what is mapped outside a perimeter may have burned, and
    commission is an upper bound. Epochs and rates of its networks were looked for on validation folds of 33
    fires of California; on these same fires that flatters, as every fire is in a validation fold of some other fold's
    checkpoint.
mapping: {{buffer_m: 500, overlap: 0.25}} # an encoder answers less than half as many windows as with 0.5
setups:
  title: Plain U-Net
  exclude:{left_out}
"""
"""Settings of a new study; see `world_text`."""


def world_text(found: Found, unfit: Mapping[str, str] | None = None) -> str:
    """The settings of a new study, with comments.

    `unfit` are set-ups that are left out, with why.
    """
    left_out = "".join(f"\n    - {name} # {' '.join(why.split())}" for name, why in (unfit or {}).items()) or " []"
    first, last = found.years[0], found.years[-1]
    missing = [year for year in range(first, last + 1) if year not in found.years]
    return _WORLD.format(
        name=_quoted(f"{found.images.name} (own images)"),
        folder=found.images.name,
        images=_quoted(str(found.images)),
        perimeters=_quoted(str(found.perimeters)),
        region=_quoted(found.region),
        sensor=_quoted(found.sensor),
        first=first,
        last=last,
        exclude=f", exclude: {missing}" if missing else "",
        fires=found.fires,
        end_assumed=found.end_assumed,
        assumed_days=found.assumed_days,
        left_out=left_out,
        dataset=f"  dataset_config: {CHANGE_DATASET} # windows have an image before their fire too\n" * found.change,
    )


def _quoted(text: str) -> str:
    return str(yaml.safe_dump(text, default_style='"', width=1000)).strip()
