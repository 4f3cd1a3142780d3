"""What holds for every test: no property is judged by how fast the machine was."""

from hypothesis import settings

settings.register_profile("handover", deadline=None, derandomize=True)
settings.load_profile("handover")
