"""Set-ups beside each other on the same held-out fires: read, compared in pairs, told."""
