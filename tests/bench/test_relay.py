from bench.relay import Cores


def test_generator_and_relay_never_share_a_core_when_there_are_two() -> None:
    cores = Cores.choose()
    assert cores == (None, None) or cores.generator != cores.relay
