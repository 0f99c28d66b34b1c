"""From batches to a checkpoint and from a checkpoint to answers: configuration, training, manifests, models."""
