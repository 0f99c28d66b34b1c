"""Encoders: pretrained feature extractors of rslearn, each a file `encoders/<name>.yaml`."""
