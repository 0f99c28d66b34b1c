"""The rslearn dataset: its configuration, windows, labels, tiles, and batches of them for training.

What is written into the dataset is written here. Searching scenes is `catalog`, reading their files `reader`.
"""
