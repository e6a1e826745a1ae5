import errno

import pytest

from fairlead.datagram import Address, Datagram, FiveTuple, Transport, Via
from fairlead.reasons import Reason
from turnd.dataplane.contract import HandUp, StreamData
from turnd.dataplane.python.switchboard import Switchboard, address_of, socket_address

FIVE_TUPLE = FiveTuple(Transport.UDP, Address("192.0.2.1", 1), Address("192.0.2.2", 2))


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EAGAIN, Reason.SEND_BUFFER),
        (errno.ENOBUFS, Reason.SEND_BUFFER),
        (errno.ENOMEM, Reason.SEND_BUFFER),
        (errno.EMSGSIZE, Reason.TOO_LARGE),
        (errno.ECONNREFUSED, Reason.UNREACHABLE),
        (errno.EHOSTUNREACH, Reason.UNREACHABLE),
        (errno.ENETUNREACH, Reason.UNREACHABLE),
        (errno.EPERM, Reason.UNREACHABLE),
        (errno.EBADF, Reason.UNREACHABLE),
        (None, Reason.UNREACHABLE),
    ],
)
def test_what_the_kernel_refuses_has_a_reason(number: int | None, reason: Reason) -> None:
    switchboard = Switchboard()
    switchboard.drop_refused(OSError() if number is None else OSError(number, "refused"))
    assert {reason: 1} == {reason: times for reason, times in switchboard.dropped.items() if times}


@pytest.mark.parametrize(
    ("address", "raw"),
    [
        (Address("192.0.2.1", 3478), ("192.0.2.1", 3478)),
        (Address("2001:db8::1", 3478), ("2001:db8::1", 3478, 0, 0)),
        (Address("fe80::1%3", 3478), ("fe80::1", 3478, 0, 3)),
    ],
)
def test_addresses_go_to_sockets_and_come_back(address: Address, raw: tuple[object, ...]) -> None:
    assert socket_address(address) == raw
    assert address_of(raw) == address


def test_transactions_begin_anywhere_and_never_repeat() -> None:
    first, second = Switchboard(), Switchboard()
    numbers = [board.next_transaction() for board in (first, second) for _ in range(100)]
    assert len(set(numbers)) == 200
    assert all(0 <= number < 1 << 96 for number in numbers)


def test_what_is_handed_up_is_taken_once_and_in_order() -> None:
    switchboard = Switchboard()
    items: list[HandUp] = [Datagram(b"a", FIVE_TUPLE, Via(1)), StreamData(Via(2), b"b")]
    for item in items:
        switchboard.hand_up(item)
    assert switchboard.take_handed_up() == items
    assert switchboard.take_handed_up() == []


def test_it_is_full_of_bytes_until_they_are_taken() -> None:
    switchboard = Switchboard()
    for _ in range(16):
        assert not switchboard.is_full
        switchboard.hand_up(StreamData(Via(1), bytes(65536)))
    assert switchboard.is_full
    switchboard.take_handed_up()
    assert not switchboard.is_full
