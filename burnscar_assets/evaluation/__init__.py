"""From a checkpoint to metrics: predictions, baselines, intervals over fires."""
