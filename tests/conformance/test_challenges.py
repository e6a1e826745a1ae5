"""Requests without integrity: whoever answers them, engine or core, clients read and operators count the same."""

import dataclasses
import time
from collections import Counter
from contextlib import ExitStack, closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.clock import Now
from fairlead.datagram import Datagram
from fairlead.native import EngineChoice, EngineMissingError
from fairlead.reasons import Reason
from fairlead.stun import attributes as stun
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1
from fairlead.stun.message import MOST_ATTRIBUTES, Signature, decode, encode, new_mask
from tests.conformance.conftest import MakeRig
from tests.conformance.kit import IPV4, VIA, Client, Rig, settle
from tests.skipping import skip_for_lack_of
from tests.turnd.kit import Row, World, raw
from turnd.assembly import make_challenges
from turnd.dataplane.choice import make_engine
from turnd.dataplane.contract import EngineSettings
from turnd.protocol import effects as do
from turnd.protocol.authentication import AuthFailure

METHODS = (Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND)
#: What may stand in a request, whatever it is worth there.
ROWS: tuple[Row, ...] = (
    (stun.REQUESTED_TRANSPORT, 17),
    (stun.USERNAME, "somebody"),
    (stun.REALM, "of another"),
    (stun.NONCE, "x"),
    (stun.DONT_FRAGMENT, True),
    (stun.LIFETIME, 0),
    raw(0x7ABC, b"not known"),
    raw(stun.REQUESTED_TRANSPORT, b"broken"),
    raw(stun.MESSAGE_INTEGRITY_SHA256, bytes(32)),
    raw(stun.FINGERPRINT, bytes(4)),
    raw(stun.MESSAGE_INTEGRITY, bytes(20)),
    raw(stun.MESSAGE_INTEGRITY, bytes(3)),
)
FEW = (0.001, 3)


def now() -> Now:
    """Both clocks of this machine: an engine that answers by itself looks at no other."""
    return Now(time.monotonic(), time.time())


class Gate:
    """An engine in front of a core, beside a core that is asked directly. Both have the same secrets."""

    def __init__(self, rig: Rig, challenges: tuple[float, int] = (0, 1)) -> None:
        self.rig = rig
        self.front, self.alone = World(challenges=challenges), World(challenges=challenges)
        rig.engine.challenge(make_challenges(self.front.state))

    def ask(self, client: Client, data: bytes) -> list[bytes]:
        """Brings a message to both; returns what the client reads, which must be what the lone core answers."""
        expected = [effect.data for effect in self._alone(client, data) if isinstance(effect, do.Send)]
        client.say(data)
        settle(self.rig.engine)
        for item in self.rig.engine.turn():
            assert isinstance(item, Datagram)
            for effect in self.front.relay.receive(item, now()):
                if isinstance(effect, do.Send):
                    self.rig.engine.send([effect])
        said = []
        while not client.is_silent():
            data, source = client.receive()
            assert source == self.rig.listener
            said.append(data)
        assert [self._without_nonce(each, client) for each in said] == [
            self._without_nonce(each, client) for each in expected
        ]
        return said

    def _alone(self, client: Client, data: bytes) -> tuple[do.Effect, ...]:
        return self.alone.relay.receive(Datagram(data, client.five_tuple, VIA), now())

    def _without_nonce(self, reply: bytes, client: Client) -> bytes:
        """A reply whose nonce is a good one, without it and without the checksum over it."""
        for row in decode(reply).visible:
            if row.type == stun.NONCE.type:
                assert self.front.state.nonces.check(row.value.decode(), client.address, now())
            if row.type in (stun.NONCE.type, stun.FINGERPRINT.type):
                reply = reply.replace(row.value, bytes(len(row.value)))
        return reply

    def compare_books(self) -> None:
        """What engine and core have counted together is what the lone core has."""
        engine, core, alone = self.rig.engine.counters(), self.front.state.counters, self.alone.state.counters
        udp = self.rig.client().five_tuple.transport
        answered = Counter({(method, udp, 401): count for method, count in engine.challenges.items() if count})
        assert core.replies + answered == alone.replies
        unsigned = answered.total() + engine.unsigned_withheld
        assert core.auth_failures + +Counter({AuthFailure.MISSING: unsigned}) == alone.auth_failures
        assert core.challenges_sent + answered.total() == alone.challenges_sent
        assert core.challenges_suppressed + engine.unsigned_withheld == alone.challenges_suppressed
        assert core.dropped + +Counter(engine.dropped) == alone.dropped


def request(method: int, *rows: Row, stamped: bool = False, signed: bool = False) -> bytes:
    signature = Signature(SHA1, bytes(16)) if signed else None
    return encode(method, Class.REQUEST, new_mask(b"transaction!"), rows, signature, stamped)


@pytest.mark.parametrize("stamped", [False, True], ids=["bare", "with a FINGERPRINT"])
@pytest.mark.parametrize("method", METHODS)
def test_the_first_round_is_answered_as_the_core_does(rig: Rig, method: Method, stamped: bool) -> None:
    gate, client = Gate(rig), rig.client()
    for row in ROWS[:8]:
        [reply] = gate.ask(client, request(method, row, stamped=stamped))
        assert decode(reply).first(stun.ERROR_CODE) == (401, "Unauthorized")
    gate.compare_books()


def test_its_nonce_opens_the_second_round(rig: Rig) -> None:
    gate, client = Gate(rig), rig.client()
    [challenge] = gate.ask(client, request(Method.ALLOCATE))
    nonce, realm = decode(challenge).first(stun.NONCE), decode(challenge).first(stun.REALM)
    # Somebody else's key: that nobody says the nonce is wrong is what is to be seen.
    named = ((stun.USERNAME, "alice"), (stun.REALM, realm), (stun.NONCE, nonce))
    [refusal] = gate.ask(client, request(Method.ALLOCATE, *named, signed=True))
    assert decode(refusal).first(stun.ERROR_CODE) == (401, "Unauthorized")
    assert gate.front.state.counters.auth_failures[AuthFailure.BAD_INTEGRITY] == 1


@pytest.mark.parametrize("allocated", [False, True], ids=["a stranger", "who has a relay socket"])
def test_a_source_gets_as_many_as_the_core_would_give_it(make_rig: MakeRig, allocated: bool) -> None:
    rig = make_rig()
    gate, client = Gate(rig, challenges=FEW), rig.client()
    if allocated:
        rig.relay(client.five_tuple)
    told = [len(gate.ask(client, request(Method.ALLOCATE))) for _ in range(5)]
    assert told == [1, 1, 1, 0, 0]
    gate.compare_books()


@pytest.mark.parametrize(("count", "told"), [(MOST_ATTRIBUTES, 1), (MOST_ATTRIBUTES + 1, 0)])
def test_a_request_of_hundreds_of_attributes_is_not_challenged(rig: Rig, count: int, told: int) -> None:
    gate = Gate(rig)
    assert len(gate.ask(rig.client(), request(Method.ALLOCATE, *(raw(0xFF00, b"") for _ in range(count))))) == told
    gate.compare_books()


def test_a_made_up_nonce_earns_no_more_than_none(make_rig: MakeRig) -> None:
    """Whatever the answer would be, it is a challenge; who has used up all of them is not even handed up any more."""
    rig = make_rig()
    gate, client = Gate(rig, challenges=FEW), rig.client()
    for _ in range(3):
        gate.ask(client, request(Method.ALLOCATE))
    assert not gate.ask(client, request(Method.ALLOCATE, (stun.NONCE, "made up"), signed=True))
    withheld = rig.engine.counters().strangers_withheld + gate.front.state.counters.challenges_suppressed
    assert withheld == gate.alone.state.counters.challenges_suppressed == 1


@pytest.mark.parametrize("allocated", [False, True], ids=["a stranger", "who has a relay socket"])
def test_what_nobody_answers_costs_a_stranger_as_much(make_rig: MakeRig, allocated: bool) -> None:
    """Else it would fill the line in which those wait who bring an old nonce. Bindings have a limit of their own."""
    rig = make_rig()
    client = rig.client()
    gate = Gate(rig, challenges=FEW)
    if allocated:
        rig.relay(client.five_tuple)
    broken = request(Method.ALLOCATE, raw(stun.FINGERPRINT, bytes(4)))
    handed_up = 0
    for message in [broken, request(Method.BINDING, (stun.SOFTWARE, "any"))] * 5:
        client.say(message)
        settle(rig.engine)
        handed_up += len(rig.engine.turn())
    limited = rig.all_dropped().get(Reason.RATE_LIMITED, 0)
    assert (handed_up, limited) == ((8, 2) if rig.engine.name == "native" and not allocated else (10, 0))
    assert not rig.engine.counters().strangers_withheld
    # His challenges are not used up by that.
    assert gate.ask(client, request(Method.ALLOCATE))


def test_what_it_is_told_anew_counts(rig: Rig) -> None:
    client = rig.client()
    Gate(rig, challenges=FEW)
    for realm in ("fairlead.test", "renamed"):
        gate = Gate(rig)
        for world in (gate.front, gate.alone):
            world.state.settings = dataclasses.replace(world.state.settings, realm=realm)
        rig.engine.challenge(make_challenges(gate.front.state))
        for _ in range(5):
            [reply] = gate.ask(client, request(Method.REFRESH))
            assert decode(reply).first(stun.REALM) == realm


changes = st.one_of(st.none(), st.tuples(st.integers(0, 200), st.integers(0, 255)))
written = st.tuples(
    st.sampled_from([*METHODS, Method.CONNECT, Method.SEND]),
    st.lists(st.sampled_from(ROWS), max_size=4),
    st.booleans(),
    st.booleans(),
    changes,
)


@given(course=st.lists(written, min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_engine_and_the_core_say_what_the_core_says(course: list[tuple[Any, ...]]) -> None:
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(closing(make_engine(EngineChoice.NATIVE, EngineSettings())))
        except EngineMissingError as missing:
            skip_for_lack_of("the native engine", enable=missing.remedy)
        rig = Rig(engine, IPV4, stack)
        gate, client = Gate(rig), rig.client()
        for method, rows, stamped, signed, change in course:
            message = bytearray(request(method, *rows, stamped=stamped, signed=signed))
            if change is not None and (at := change[0] % len(message)) > 1:
                message[at] = change[1]
            gate.ask(client, bytes(message))
        gate.compare_books()
