"""From windows to tiles: catalogues, matching, materializing, through rslearn."""
