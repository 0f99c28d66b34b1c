"""Burned-area maps: from a checkpoint and imagery to rasters, polygons, figures and pages."""
