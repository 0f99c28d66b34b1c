"""Static pages of the maps, which work offline from their folder."""
