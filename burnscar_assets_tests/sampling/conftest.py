"""Property tests of sampling have no deadline: two busy cores are slow now and then."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
