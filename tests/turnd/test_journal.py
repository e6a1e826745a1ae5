"""What the log says, to whom it may concern."""

import logging

import pytest

from fairlead.clock import Now
from fairlead.datagram import Address, FiveTuple, Transport, Via
from fairlead.stun.header import Method
from turnd.dataplane.contract import Fault, Usage
from turnd.journal import EXPLANATIONS, Journal
from turnd.protocol.authentication import AuthFailure
from turnd.protocol.effects import Allocated, Challenged, Ended, EndReason, Refused
from turnd.routes import RelayId

CLIENT = FiveTuple(Transport.UDP, Address("198.51.100.7", 4000), Address("192.0.2.1", 3478))
NOW = Now(100.0, 1_800_000_000.0)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "turnd")
    return caplog


def test_an_allocation_is_followed_by_its_number(log: pytest.LogCaptureFixture) -> None:
    journal = Journal(lambda: NOW)
    journal.write(Allocated(7, "alice", CLIENT, Via(1), Address("192.0.2.1", 50000)), None)
    usage = Usage(bytes_to_peer=1720, bytes_to_client=172)
    journal.write(Ended(7, "alice", CLIENT, Via(1), RelayId(1), EndReason.CLIENT, 12.345), usage)
    created, ended = (record.getMessage() for record in log.records)
    assert "allocation created" in created
    assert "192.0.2.1:50000" in created
    assert "1720" in ended
    assert all("'allocation': 7" in line for line in (created, ended))


@pytest.mark.parametrize("failure", list(AuthFailure))
def test_every_failure_has_words_that_lead_on(failure: AuthFailure, log: pytest.LogCaptureFixture) -> None:
    Journal(lambda: NOW).write(Challenged("alice", CLIENT, failure), None)
    assert EXPLANATIONS[failure] in log.records[0].getMessage()
    assert log.records[0].levelno == logging.WARNING


def test_a_flood_of_failures_is_one_line(log: pytest.LogCaptureFixture) -> None:
    journal = Journal(lambda: NOW)
    for _ in range(1000):
        journal.write(Challenged("alice", CLIENT, AuthFailure.BAD_INTEGRITY), None)
    assert len(log.records) == 1


def test_one_failure_does_not_hide_another_of_the_same_source(log: pytest.LogCaptureFixture) -> None:
    """Behind one NAT an old credential expires all day, and somebody mistypes a password."""
    journal = Journal(lambda: NOW)
    for failure in (AuthFailure.EXPIRED, AuthFailure.BAD_INTEGRITY, AuthFailure.EXPIRED):
        journal.write(Challenged("alice", CLIENT, failure), None)
    assert len(log.records) == 2


@pytest.mark.logs_error("panicked")
def test_an_engine_that_panics_again_and_again_is_a_line_in_ten_seconds(log: pytest.LogCaptureFixture) -> None:
    moments = [Now(NOW.monotonic + after, NOW.wall) for after in (0.0, 0.1, 9.9, 10.0, 10.1)]
    journal = Journal(iter(moments).__next__)
    for _ in moments:
        journal.write(Fault(0, "index out of bounds at packets.rs:1"), None)
    assert [record.levelno for record in log.records] == [logging.ERROR] * 2
    assert "packets.rs:1" in log.records[0].getMessage()


def test_what_browsers_do_all_day_wakes_nobody(log: pytest.LogCaptureFixture) -> None:
    journal = Journal(lambda: NOW)
    journal.write(Refused(Method.CREATE_PERMISSION, "alice", CLIENT, 403, "peer 10.0.0.5 denied"), None)
    journal.write(Refused(Method.ALLOCATE, "alice", CLIENT, 508, "no relay port is free"), None)
    assert [record.levelno for record in log.records] == [logging.DEBUG, logging.WARNING]


def test_strangers_do_not_blind_the_log(log: pytest.LogCaptureFixture) -> None:
    """A source is what anybody writes into a datagram: the lines for users are not theirs."""
    journal = Journal(lambda: NOW)
    for number in range(256):
        source = CLIENT._replace(client=Address(f"203.0.{number}.1", 4000))
        journal.write(Challenged("x", source, AuthFailure.BAD_INTEGRITY), None)
    journal.write(Refused(Method.ALLOCATE, "alice", CLIENT, 508, "no relay port is free"), None)
    assert "refused 508" in log.records[-1].getMessage()
