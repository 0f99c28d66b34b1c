"""Burned-area maps: from a checkpoint's answers to rasters, polygons, figures, STAC, QGIS projects and pages."""
