"""What benchmarks share: figures and their bars, costs of processes, simulated worlds, hashes of what was made."""
