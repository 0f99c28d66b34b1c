"""From perimeters to points: clusters and splits, the lattice, strata of negatives."""
