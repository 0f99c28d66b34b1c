"""Models without a network: thresholds on a burn index, and boosted trees; nothing here imports torch."""
