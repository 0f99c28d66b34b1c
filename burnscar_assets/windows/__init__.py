"""From points to windows of an rslearn dataset."""
