"""A world of a person's own images and perimeters: its sensor, days, index, ground and settings, from the files."""
