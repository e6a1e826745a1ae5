from hypothesis import given
from hypothesis import strategies as st

from fairlead.link import Draining, Traffic, Usage
from fairlead.link.messages import Message
from fairlead.link.outbox import Outbox


def usage(number: int) -> Usage:
    return Usage(number, "u", Traffic())


def put(outbox: Outbox, *messages: Message) -> None:
    for message in messages:
        outbox.put(message)


def test_messages_leave_in_their_order() -> None:
    outbox = Outbox(10)
    put(outbox, Draining(1), usage(2), Draining(3))
    assert outbox.take(2) == [Draining(1), usage(2)]
    assert outbox.take(2) == [Draining(3)]
    assert outbox.take(2) == []


def test_usage_goes_first_when_there_is_no_room_the_oldest_of_it() -> None:
    outbox = Outbox(3)
    put(outbox, Draining(1), usage(2), usage(3), Draining(4), Draining(5))
    assert outbox.take(9) == [Draining(1), Draining(4), Draining(5)]
    assert outbox.dropped == 2


def test_without_usage_the_oldest_goes() -> None:
    outbox = Outbox(2)
    put(outbox, Draining(1), Draining(2), Draining(3))
    assert outbox.take(9) == [Draining(2), Draining(3)]
    assert outbox.dropped == 1


def test_what_could_not_be_delivered_goes_back_to_the_front() -> None:
    outbox = Outbox(3)
    put(outbox, Draining(1), Draining(2))
    taken = outbox.take(2)
    put(outbox, Draining(3), Draining(4))
    outbox.put_back(taken)
    assert outbox.take(9) == [Draining(2), Draining(3), Draining(4)]
    assert outbox.dropped == 1


@given(st.integers(1, 5), st.lists(st.booleans() | st.just("take") | st.just("back")))
def test_it_never_grows_and_every_message_is_taken_dropped_or_waiting(limit: int, steps: list[bool | str]) -> None:
    outbox, number, delivered, taken = Outbox(limit), 0, 0, list[Message]()
    for step in steps:
        if step == "take":
            delivered += len(taken)
            taken = outbox.take(2)
        elif step == "back":
            outbox.put_back(taken)
            taken = []
        else:
            number += 1
            outbox.put(usage(number) if step else Draining(number))
        assert len(outbox) <= limit
    assert delivered + len(taken) + len(outbox) + outbox.dropped == number
