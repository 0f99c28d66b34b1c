"""From tiles to a fine-tuned checkpoint: model configuration, the trainer's own process, the manifest."""
