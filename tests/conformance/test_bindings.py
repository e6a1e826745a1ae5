"""Binding requests: what needs no thought is answered by the engine, to the byte as the core would; others go up."""

import os
from contextlib import ExitStack, closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.buckets import UNLIMITED, Rate
from fairlead.datagram import Datagram
from fairlead.native import EngineChoice, EngineMissingError
from fairlead.reasons import Reason
from fairlead.stun import attributes as stun
from fairlead.stun.binding import LEAST, Reply, answer_binding
from fairlead.stun.header import Class, DecodeError, Method
from fairlead.stun.message import decode, encode, new_mask
from tests.conformance.conftest import MakeRig
from tests.conformance.kit import IPV4, IPV6, VIA, Client, Rig
from tests.skipping import skip_for_lack_of
from turnd.dataplane.choice import make_engine
from turnd.dataplane.contract import EngineSettings

ATTRIBUTES: list[tuple[stun.Attribute[Any], Any]] = [
    (stun.SOFTWARE, "a client"),
    (stun.PRIORITY, 1),
    (stun.USERNAME, "somebody"),
    (stun.LIFETIME, 600),
    (stun.NONCE, "x"),
]
FEW = Rate(per_second=0.001, burst=3)


def request(*rows: tuple[stun.Attribute[Any], Any], stamped: bool = False, mask: bytes = bytes(12)) -> bytes:
    return encode(Method.BINDING, Class.REQUEST, new_mask(mask), rows, with_fingerprint=stamped)


def answer_of_the_core(data: bytes, client: Client) -> Reply:
    answer = answer_binding(decode(data), client.address, LEAST)
    assert isinstance(answer, Reply)
    return answer


@pytest.mark.parametrize("stamped", [False, True], ids=["bare", "with a FINGERPRINT"])
def test_what_needs_no_thought_is_answered(rig: Rig, stamped: bool) -> None:
    client = rig.client()
    for _ in range(3):
        asked = request(stamped=stamped, mask=os.urandom(12))
        client.say(asked)
        assert client.receive() == (answer_of_the_core(asked, client).data, rig.listener)
    assert rig.engine.counters().bindings == 3
    assert not rig.all_dropped()
    rig.expect_silence()


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda row: str(row[1]))
def test_what_holds_more_is_handed_up(rig: Rig, attribute: tuple[stun.Attribute[Any], Any]) -> None:
    client = rig.client()
    client.say(request(attribute))
    assert rig.next_handed_up() == Datagram(request(attribute), client.five_tuple, VIA)
    assert rig.engine.counters().bindings == 0


def test_a_wrong_fingerprint_is_not_answered(rig: Rig) -> None:
    client, asked = rig.client(), request(stamped=True)
    rig.expect_junk(asked[:-1] + bytes([asked[-1] ^ 1]), client)


def test_of_all_addresses_the_one_that_was_asked_answers(make_rig: MakeRig) -> None:
    rig = make_rig("0.0.0.0")
    client = rig.client()
    for host in ("127.0.0.1", "127.0.0.2"):
        asked = rig.listener._replace(host=host)
        client.send(request(), asked)
        assert client.receive()[1] == asked


def test_a_client_with_a_call_is_answered_too(rig: Rig) -> None:
    client, _, _ = rig.call()
    client.say(request())
    assert client.receive()[0] == answer_of_the_core(request(), client).data


def test_each_source_may_ask_so_often(rig: Rig) -> None:
    """All ports of a host are one source, and questions that are handed up count as well."""
    rig.engine.limit_bindings(FEW)
    client, neighbour = rig.client(), rig.client()
    client.say(request())
    client.receive()
    neighbour.say(request(stamped=True))
    neighbour.receive()
    neighbour.say(request(ATTRIBUTES[0]))
    rig.next_handed_up()
    for place, asked in enumerate((request(), request(stamped=True), request(ATTRIBUTES[0]))):
        client.say(asked)
        rig.expect_dropped(Reason.RATE_LIMITED, place + 1)
    assert rig.engine.counters().bindings == 2


def test_another_source_has_its_own(make_rig: MakeRig) -> None:
    rig = make_rig(IPV4)
    rig.engine.limit_bindings(FEW)
    client, other = rig.client(), rig.peer("127.0.0.2")
    for _ in range(3):
        client.say(request())
        client.receive()
    client.say(request())
    rig.expect_dropped(Reason.RATE_LIMITED)
    other.send(request(), rig.listener)
    other.receive()


def test_a_limit_can_be_taken_away_and_is_for_nothing_else(rig: Rig) -> None:
    client, relay, peer = rig.call()
    rig.engine.limit_bindings(Rate(0.001, 1))
    for _ in range(2):
        client.say(request())
    client.receive()
    rig.expect_dropped(Reason.RATE_LIMITED)
    allocate = encode(Method.ALLOCATE, Class.REQUEST, new_mask(bytes(12)))
    client.say(allocate)
    rig.next_handed_up()
    peer.send(b"down", relay.address)
    client.receive()
    rig.engine.limit_bindings(UNLIMITED)
    client.say(request())
    client.receive()


messages = st.one_of(
    st.builds(
        lambda rows, stamped, mask: request(*rows, stamped=stamped, mask=mask),
        st.lists(st.sampled_from(ATTRIBUTES), max_size=2),
        st.booleans(),
        st.binary(min_size=12, max_size=12),
    ),
    st.builds(
        lambda asked, place, byte: asked[: place % len(asked)] + bytes([byte]) + asked[place % len(asked) + 1 :],
        st.sampled_from([request(), request(stamped=True)]),
        st.integers(0, 27),
        st.integers(0, 255),
    ),
    st.builds(lambda asked, more: asked + more, st.just(request()), st.binary(max_size=12)),
)


@given(course=st.lists(messages, min_size=1, max_size=12), host=st.sampled_from([IPV4, IPV6]))
@settings(max_examples=80, deadline=None)
def test_the_engines_and_the_core_answer_the_same(course: list[bytes], host: str) -> None:
    """Whatever comes: an engine answers it exactly as the core, hands it up, or drops what the core cannot read."""
    with ExitStack() as stack:
        for choice in (EngineChoice.PYTHON, EngineChoice.NATIVE):
            try:
                engine = stack.enter_context(closing(make_engine(choice, EngineSettings())))
            except EngineMissingError as missing:
                skip_for_lack_of(f"the engine {choice}", enable=missing.remedy)
            rig = Rig(engine, host, stack)
            for data in course:
                client = rig.client()
                heard = _outcome(rig, client, data)
                assert heard == _expected(data, client), (choice, data.hex())


def _outcome(rig: Rig, client: Client, data: bytes) -> bytes | None:
    """What a client hears in the end; the core has its say on what is handed up."""
    before = sum(rig.all_dropped().values())
    client.say(data)
    rig.work_until(
        lambda: bool(rig.handed_up) or not client.is_silent() or sum(rig.all_dropped().values()) > before,
        client.socket,
    )
    if rig.handed_up:
        item = rig.handed_up.pop()
        assert isinstance(item, Datagram)
        assert client.is_silent()
        return _expected(item.data, client)
    return None if client.is_silent() else client.receive()[0]


def _expected(data: bytes, client: Client) -> bytes | None:
    try:
        answer = answer_binding(decode(data), client.address, LEAST)
    except DecodeError:
        return None
    return answer.data if isinstance(answer, Reply) else None
