from hypothesis import settings

# A shared, noisy machine: how long one example takes says nothing about the code.
settings.register_profile("bakeoff", deadline=None)
settings.load_profile("bakeoff")
