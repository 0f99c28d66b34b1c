"""Hard negatives: land without fire that a champion took for burnt, mined for the next round of training."""
