"""Answers for whole frames: judged fires and their images, mosaics, inference, and rules of what is burned.

What writes maps for people (rasters, polygons, figures, pages, catalogues) is in `publish`, which this never imports.
"""
