"""Set-ups without a network: a threshold on a burn index, and boosted trees; nothing here imports torch."""
