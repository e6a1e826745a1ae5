"""What holds for every test; each rule stands in the module that is named for it."""

from hypothesis import settings

pytest_plugins = [
    "tests.poison",
    "tests.record_of_errors",
    "tests.skipping",
    "tests.processes",
    "tests.redis_server",
    "tests.turn_client",
    "tests.network",
]

# The same examples every time: a red test is red for everyone. `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("same")
