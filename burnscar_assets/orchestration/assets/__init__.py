"""The software-defined assets: each follows from the record of its stage, beside which there is only a body.

Bodies lie in one module per group; each reads, calls one domain function, stores. Its docstring describes the asset.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from burnscar_assets.orchestration.automation import follow
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.runs import gpu_stage_tags
from burnscar_assets.orchestration.stage import ACCEPT, GPU_POOL, OWNERS, StageRun, provenance, run_stage
from burnscar_assets.orchestration.stage_spec import StageSpec
from burnscar_assets.orchestration.versions import code_version


def build_assets(world: World) -> list[dg.AssetsDefinition]:
    """All assets of a world: of its own set-up, then of each set-up beside it."""
    views = [world, *(world.of(name) for name in world.setups)]
    return [_asset(world, seen, spec) for seen in views for spec in seen.stages]


def _asset(own: World, world: World, spec: StageSpec) -> dg.AssetsDefinition:
    """The asset of a stage, in a world as a set-up sees it."""
    name, body, on_gpu = world.asset(spec.makes), spec.body, own.needs_gpu(Pair(world.asset(spec.makes), None))
    options: dict[str, Any] = {}
    if on_gpu:
        options |= {"pool": GPU_POOL, "op_tags": gpu_stage_tags(world.settings)}
    elif not spec.watched:
        options |= {"automation_condition": follow()}
    if spec.can_look_wrong:
        accept = dg.Field(bool, default_value=False, description="Take what was fetched even if it looks wrong.")
        options |= {"config_schema": {ACCEPT: accept}}

    @dg.asset(
        key=dg.AssetKey.from_user_string(name),
        group_name=_group(world, spec),
        kinds=_kinds(world, spec) | ({"pytorch"} if on_gpu else set()),
        owners=OWNERS,
        deps=[
            dg.AssetDep(dg.AssetKey.from_user_string(read), partition_mapping=world.mapping(read, years))
            for read, years in world.inputs(name)
        ],
        description=_description(world, spec),
        code_version=code_version(name, world.settings),
        partitions_def=world.partitions_of(name),
        metadata=provenance(world),
        output_required=False,
        **options,
    )
    def asset(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        year = int(context.partition_key) if spec.is_partitioned else None
        yield from run_stage(body, StageRun(world, own, Pair(name, year), context))

    return asset


def _kinds(world: World, spec: StageSpec) -> set[str]:
    """What an asset is labelled with; a checkpoint of trees with what grew them."""
    is_grown = spec.makes == "checkpoint" and world.setup is not None and world.setup.trees is not None
    return {"lightgbm"} if is_grown else {*spec.kinds}


def _group(world: World, spec: StageSpec) -> str:
    return spec.group if world.setup is None else f"setup_{world.setup.name.replace('-', '_')}"


def _description(world: World, spec: StageSpec) -> str:
    """What the stage's body says, and what set-up and folds make of it."""
    folds = world.settings.sampling.splits.folds
    said = spec.description
    if folds and spec.per_setup:
        said = f"{said} One for each of {folds} folds of fires of all years; no walk-forward."
    return said if world.setup is None else f"{world.setup.title}. {said} {world.setup.description}".strip()
