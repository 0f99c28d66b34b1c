"""From a release of fire perimeters to clean labels: fetching, reading, repairing, rejecting."""
