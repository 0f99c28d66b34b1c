"""Regions: what is a fact of one part of the world, each in a file."""
