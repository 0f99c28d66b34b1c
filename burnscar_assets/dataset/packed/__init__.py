"""An rslearn dataset with one file per group of windows: metadata, items, labels and pixels in one place."""
