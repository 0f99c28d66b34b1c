"""The simulated world: perimeters in FRAP's schema, scenes as COGs with a STAC index. All of it says so."""
