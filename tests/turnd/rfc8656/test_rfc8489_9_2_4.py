"""RFC 8489 section 9.2.4, the long-term credential mechanism, for the requests of TURN."""

import pytest

from fairlead.datagram import Address
from fairlead.stun.attributes import (
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    NONCE,
    REALM,
    REQUESTED_TRANSPORT,
    UDP,
    USERNAME,
    XOR_PEER_ADDRESS,
)
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1
from fairlead.stun.message import Signature, encode, new_mask
from tests.turnd.kit import PEER, REALM_NAME, Client, Reply, Row, World, raw

METHODS = [Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND]
CREDENTIALS = (USERNAME, REALM, NONCE)


def assert_challenge(reply: Reply, code: int) -> None:
    assert reply.code == code
    assert reply.first(REALM) == REALM_NAME
    assert reply.first(NONCE)
    for attribute in (USERNAME, MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256):
        assert not reply.has(attribute)


def signed_with(client: Client, rows: list[Row]) -> bytes:
    """An Allocate with these attributes and a right signature."""
    asked: Row = (REQUESTED_TRANSPORT, UDP)
    return encode(Method.ALLOCATE, Class.REQUEST, new_mask(bytes(12)), [asked, *rows], Signature(SHA1, client.key))


@pytest.mark.parametrize("method", METHODS)
def test_9_2_4_no_integrity(method: Method) -> None:
    """401 with REALM and NONCE, unsigned; other credentials without integrity do not count."""
    alice = Client(World())
    assert_challenge(alice.exchange(alice.message(method)), 401)
    named: list[Row] = [(USERNAME, "alice"), (REALM, REALM_NAME), (NONCE, alice.learned_nonce())]
    assert_challenge(alice.exchange(alice.message(method, *named)), 401)


@pytest.mark.parametrize("missing", CREDENTIALS, ids=lambda attribute: attribute.name)
def test_9_2_4_integrity_without_credentials(missing: object) -> None:
    """400, without REALM, NONCE or a signature: nothing is there to make one with."""
    alice = Client(World())
    named = dict(zip(CREDENTIALS, ("alice", REALM_NAME, "nonce"), strict=True))
    reply = alice.exchange(signed_with(alice, [row for row in named.items() if row[0] is not missing]))
    assert reply.code == 400
    for attribute in (*CREDENTIALS, MESSAGE_INTEGRITY):
        assert not reply.has(attribute)


@pytest.mark.parametrize("row", [raw(USERNAME, b"\xff"), raw(USERNAME, b"x" * 509), raw(NONCE, b"\xff")])
def test_9_2_4_credentials_that_cannot_be_read(row: Row) -> None:
    """400 as if they were missing."""
    alice = Client(World())
    named: list[Row] = [(REALM, REALM_NAME), row, (USERNAME, "alice"), (NONCE, "nonce")]
    assert alice.exchange(signed_with(alice, named)).code == 400


@pytest.mark.parametrize(("username", "password"), [("alice", "wrong"), ("nobody", "wonderland"), ("", "")])
def test_9_2_4_unknown_users_and_wrong_passwords(username: str, password: str) -> None:
    """401 with REALM and a fresh NONCE, and no difference between the two."""
    client = Client(World(), username, password)
    assert_challenge(client.allocate(), 401)


def test_9_2_4_another_realm() -> None:
    """Credentials for somebody else are none."""
    alice = Client(World())
    named: list[Row] = [(USERNAME, "alice"), (REALM, "elsewhere"), (NONCE, alice.learned_nonce())]
    assert_challenge(alice.exchange(signed_with(alice, named)), 401)


def test_9_2_4_a_changed_request_is_not_authentic() -> None:
    """Not one bit of what is protected may differ."""
    alice = Client(World())
    request = alice.signed(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP))
    for place in (8, 19, 24, len(request) - 24 - 1, len(request) - 1):
        changed = request[:place] + bytes((request[place] ^ 1,)) + request[place + 1 :]
        assert alice.exchange(changed).code == 401
    assert alice.exchange(request).code == 0


def test_9_2_4_a_stale_nonce() -> None:
    """438 with REALM and a nonce that is good."""
    world = World()
    alice = Client(world)
    request = alice.signed(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP))
    world.advance(601)
    reply = alice.exchange(request)
    assert_challenge(reply, 438)
    alice.nonce = reply.first(NONCE)
    assert alice.exchange(alice.signed(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP))).code == 0


@pytest.mark.parametrize("nonce", ["made up", "A" * 28, "\u00e9" * 28, "x" * 400])
def test_9_2_4_a_nonce_that_is_not_ours(nonce: str) -> None:
    """438, like an old one."""
    alice = Client(World())
    assert_challenge(alice.exchange(alice.signed(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP), nonce=nonce)), 438)


@pytest.mark.parametrize("other", [Address("198.51.100.7", 4001), Address("198.51.100.8", 4000)])
def test_9_2_4_a_nonce_is_for_one_source_address_and_port(other: Address) -> None:
    """No two sources get the same one, and one's is no good for the other."""
    world = World()
    alice = Client(world, address=Address("198.51.100.7", 4000))
    alice.allocated()
    thief = Client(world, address=other)
    assert_challenge(thief.exchange(thief.signed(Method.REFRESH, nonce=alice.nonce)), 438)
    thief.refresh()
    assert thief.nonce != alice.nonce


def test_9_2_4_the_nonce_is_judged_last() -> None:
    """438 is only for those whose password is right: a guesser learns nothing from it."""
    alice = Client(World(), password="wrong")
    assert alice.exchange(alice.signed(Method.ALLOCATE, nonce="made up")).code == 401


@pytest.mark.parametrize("method", METHODS)
def test_9_2_4_every_reply_to_an_authentic_request_is_signed(method: Method) -> None:
    """Errors as well, with the attribute that the request used."""
    alice = Client(World())
    reply = alice.exchange(alice.signed(method))
    assert reply.code in (400, 437)
    assert reply.is_intact(SHA1, alice.key)
    assert not reply.has(MESSAGE_INTEGRITY_SHA256)


def test_9_2_4_what_stands_behind_the_integrity_is_not_seen() -> None:
    """Not even credentials: a USERNAME behind it is a USERNAME that is missing."""
    alice = Client(World())
    short = encode(Method.REFRESH, Class.REQUEST, new_mask(bytes(12)), (), Signature(SHA1, alice.key))
    whole = encode(Method.REFRESH, Class.REQUEST, new_mask(bytes(12)), ((USERNAME, "alice"), (REALM, REALM_NAME)))
    tail = short[20:] + whole[20:]
    assert alice.exchange(short[:2] + len(tail).to_bytes(2) + short[4:20] + tail).code == 400


def test_9_2_4_the_password_may_be_typed_in_several_ways() -> None:
    """A composed and a decomposed accent are one password (RFC 8265)."""
    world = World(users={"zoe": "caf\u00e9"})
    client = Client(world, "zoe", "cafe\u0301")
    client.allocated()
    assert client.ask(Method.CREATE_PERMISSION, (XOR_PEER_ADDRESS, PEER)).code == 0
