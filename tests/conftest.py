"""What holds for all tests."""

from hypothesis import settings

# Machines are slow at times, and no test is about that.
settings.register_profile("flowgram", deadline=None)
settings.load_profile("flowgram")
