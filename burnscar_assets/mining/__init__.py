"""Hard negatives: land without fire that a checkpoint took for burnt, mined for the next round of training."""
