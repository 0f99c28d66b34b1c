"""Pairs and what they are made from, and which stale pairs can be made now."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator

import dagster as dg

from burnscar_assets.orchestration.dagster_private import AssetGraph
from burnscar_assets.orchestration.pairs import Pair

_SAME_YEAR = dg.TimeWindowPartitionMapping()
"""How fire years go with fire years, where an asset doesn't say otherwise."""


class Lineage:
    """The materializable pairs of a graph for some fire years, in topological order.

    Args:
        graph: the assets.
        fire_years: the years.
        known: what pairs of this graph are made from, kept from one lineage to the next.
    """

    def __init__(
        self, graph: AssetGraph, fire_years: Iterable[int], known: dict[Pair, tuple[Pair, ...]] | None = None
    ) -> None:
        self._graph = graph
        self._years = sorted(fire_years)
        self._parents = {} if known is None else known
        self._keys: dict[dg.PartitionsDefinition | None, set[str]] = {}

    def pairs(self, assets: Collection[str] | None = None) -> Iterator[Pair]:
        """All pairs, or those of some assets; the unpartitioned come once."""
        for key in self._graph.toposorted_asset_keys:
            node = self._graph.get(key)
            if node.is_materializable and (assets is None or key.to_user_string() in assets):
                for year in self._years_of(node.partitions_def) if node.is_partitioned else [None]:
                    yield Pair(key.to_user_string(), year)

    def _years_of(self, partitions: dg.PartitionsDefinition | None) -> list[int]:
        """Those of the years that an asset's partitions have."""
        if partitions not in self._keys:
            self._keys[partitions] = set() if partitions is None else {*partitions.get_partition_keys()}
        return [year for year in self._years if str(year) in self._keys[partitions]]

    def parents(self, pair: Pair) -> tuple[Pair, ...]:
        """The pairs that a pair is made from, sources and other years included."""
        if pair not in self._parents:
            self._parents[pair] = tuple(parents(self._graph, pair))
        return self._parents[pair]

    def can_be_made(
        self,
        stale: Collection[Pair],
        failed: Collection[Pair] = (),
        along: Collection[Pair] = (),
        *,
        at_work: Collection[Pair] = (),
        run_of: Callable[[Pair], Hashable] = lambda pair: pair.fire_year,
    ) -> list[Pair]:
        """The stale pairs that runs can make now: one for each fire year, or as `run_of` says.

        A pair waits while anything before it may still change: unless its inputs that may are of the same run,
        so that the run makes them first. What failed is not made again, and what comes after it waits; but a year that
        an asset can't be made of doesn't hold up the asset's later years, which do without it.

        Args:
            stale: what is to be made.
            failed: what is not, and holds up what comes after it.
            along: fresh pairs that go into a run that makes an input of theirs, where they turn out stale or not.
            at_work: pairs that a run makes at this moment, which hold up what comes after them, too.
            run_of: which run a pair would be made in.
        """
        unsettled: set[Pair] = set()
        chosen: set[Pair] = set()
        hopeless: set[Pair] = set(failed)
        for pair in self.pairs():
            before = [p for p in self._stages_before(pair) if p.asset != pair.asset or p not in hopeless]
            waiting = [parent for parent in before if parent in unsettled]
            if pair in stale and not hopeless.isdisjoint(before):
                hopeless.add(pair)
            asked = pair in stale or (bool(waiting) and pair in along)
            held_up = pair in failed or pair in at_work
            if asked and not held_up and all(p in chosen and run_of(p) == run_of(pair) for p in waiting):
                chosen.add(pair)
            if pair in stale or pair in at_work or waiting:
                unsettled.add(pair)
        return [pair for pair in self.pairs() if pair in chosen]

    def after(
        self, pairs: Collection[Pair], *, unless: Callable[[Pair, Pair], bool] = lambda _pair, _parent: False
    ) -> list[Pair]:
        """The pairs that come after some others, at any distance: what may follow when those change.

        Links from an input to a pair for which `unless(pair, input)` holds are not followed.
        """
        if not pairs:
            return []  # of a world in which nothing is stale, no inputs need be looked up
        first, touched = set(pairs), set(pairs)
        for pair in self.pairs():
            if any(parent in touched and not unless(pair, parent) for parent in self._stages_before(pair)):
                touched.add(pair)
        return [pair for pair in self.pairs() if pair in touched and pair not in first]

    def _stages_before(self, pair: Pair) -> Iterator[Pair]:
        """Inputs that are stages: a year of the release stands for the release."""
        for parent in self.parents(pair):
            node = self._graph.get(parent.key)
            if node.is_materializable:
                yield parent
            else:
                yield from (Pair(k.to_user_string(), None) for k in node.parent_keys)


def parents(graph: AssetGraph, pair: Pair) -> Iterator[Pair]:
    """The pairs that a pair is made from; one without a fire year from all that its mapping names."""
    node = graph.get(pair.key)
    for key in sorted(node.parent_keys):
        if not graph.get(key).is_partitioned:
            yield Pair.of(key, None)
        elif graph.get_partition_mapping(pair.key, key) == _SAME_YEAR:
            yield Pair.of(key, pair.partition_key)  # what the mapping would say, but for a search in a calendar
        else:
            found = graph.get_parent_partition_keys_for_child(pair.partition_key, key, pair.key)
            yield from (Pair.of(key, partition) for partition in found.partitions_subset.get_partition_keys())
