"""Sensors: what the images of an instrument are made of, each a file `sensors/<name>.yaml`."""
