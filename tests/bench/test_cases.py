from bench.cases import Case, Direction, Framing, Kind, combinations


def test_combinations_are_all_and_in_order() -> None:
    cases = list(combinations([1, 100], [172, 1172], [Direction.BOTH], [Framing.CHANNEL]))
    assert [(case.size, case.allocations) for case in cases] == [(172, 1), (172, 100), (1172, 1), (1172, 100)]


def test_a_name_says_all_of_its_case() -> None:
    every = list(combinations([1, 100], [172, 1172], Direction, Framing))
    assert len({case.name for case in every}) == len(every) == 24
    assert Case(100, 172, Direction.BOTH, Framing.CHANNEL).name == "relay-channel-both-172B-100"


def test_trains_are_in_the_name() -> None:
    (case,) = combinations([50], [1172], [Direction.UP], [Framing.CHANNEL], [8])
    assert case.name == "relay-channel-up-1172B-50-trains8"


def test_a_case_is_of_the_kind_that_its_load_is() -> None:
    loads = [(Framing.CHANNEL, 1), (Framing.CHANNEL, 8), (Framing.INDICATION, 1), (Framing.INDICATION, 8)]
    kinds = [Case(50, 1172, Direction.UP, framing, train).kind for framing, train in loads]
    assert kinds == [Kind.INTERLEAVED, Kind.TRAINS, Kind.INDICATIONS, Kind.INDICATIONS]
