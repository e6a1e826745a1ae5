"""Who gets in, what becomes of credentials while an allocation lives, and what strangers are answered."""

import dataclasses
import tracemalloc
from collections.abc import Sized

import pytest

from fairlead.credentials import mint
from fairlead.datagram import Address, Datagram, FiveTuple, Transport, Via
from fairlead.reasons import Reason
from fairlead.stun.attributes import LIFETIME, REALM, REQUESTED_TRANSPORT, UDP
from fairlead.stun.header import Method
from tests.turnd.kit import EPOCH, PEER, REALM_NAME, SERVER, USERS, Client, World
from turnd.protocol.authentication import Authenticator, AuthFailure, Secret
from turnd.protocol.effects import AttachClient, Challenged, Ended, EndReason
from turnd.protocol.settings import Expiry

CURRENT, PREVIOUS = Secret("current", b"spring"), Secret("previous", b"winter")
SOURCE, ELSEWHERE = Address("198.51.100.7", 4000), Address("198.51.100.8", 4000)


def with_credential(world: World, lasting: int = 3600, secret: Secret = CURRENT, user_id: str = "carol") -> Client:
    """A client whose time-limited credential lasts for so many seconds from the world's beginning."""
    return Client(world, *mint(secret.value, user_id, EPOCH + lasting))


def ended(world: World) -> list[EndReason]:
    return [effect.reason for effect in world.done if isinstance(effect, Ended)]


def test_static_users_and_time_limited_credentials_stand_side_by_side() -> None:
    world = World(secrets=[CURRENT, PREVIOUS])
    carol, dave = with_credential(world), with_credential(world, secret=PREVIOUS, user_id="dave:matrix.org")
    for client in (Client(world), carol, dave):
        client.allocated()
    assert {row.account.user_id for row in world.state.allocations.by_id.values()} == {
        "alice", "carol", "dave:matrix.org",
    }  # fmt: skip
    assert world.state.counters.secret_matches == {"current": 1, "previous": 1}


def test_a_credential_is_good_until_it_expires() -> None:
    world = World(secrets=[CURRENT])
    world.advance(99.999)
    assert with_credential(world, 100).allocate().code == 0
    world.advance(0.001)
    assert with_credential(world, 100).allocate().code == 401
    assert world.state.counters.auth_failures[AuthFailure.EXPIRED] == 1


def outliving(expiry: Expiry) -> tuple[World, Client]:
    """A client whose credential has expired and whose secret is gone, while its allocation had time left."""
    world = World(secrets=[CURRENT], expiry=expiry)
    client = with_credential(world, 100)
    client.allocated()
    world.advance(100)
    world.state.authenticator = Authenticator(REALM_NAME, USERS, [Secret("next", b"summer")])
    return world, client


def test_expiry_allocate_lets_a_living_allocation_go_on() -> None:
    """Its key stays its own: through expiry and through the rotation of the secret."""
    world, client = outliving(Expiry.ALLOCATE)
    assert client.refresh((LIFETIME, 3600)).first(LIFETIME) == 3600
    assert client.permit(PEER).code == 0
    assert client.bind(0x4000, PEER).code == 0
    assert Client(world, client.username, client.password).allocate().code == 401
    assert client.refresh((LIFETIME, 0)).code == 0


def test_expiry_refresh_lets_it_run_out() -> None:
    world, client = outliving(Expiry.REFRESH)
    assert client.permit(PEER).code == 0
    assert client.bind(0x4000, PEER).code == 0
    assert client.refresh((LIFETIME, 3600)).code == 401
    world.advance(499.999)
    assert not ended(world)
    world.advance(0.001)
    assert ended(world) == [EndReason.EXPIRED]


def test_expiry_cut_ends_it_with_the_credential() -> None:
    world, client = outliving(Expiry.CUT)
    assert ended(world) == [EndReason.CREDENTIAL_EXPIRED]
    assert client.refresh().code == 401


def test_expiry_cut_grants_no_lifetime_past_the_credential() -> None:
    world = World(secrets=[CURRENT], expiry=Expiry.CUT)
    client = with_credential(world, 1000)
    assert client.allocate((LIFETIME, 3600)).first(LIFETIME) == 1000
    world.advance(950)
    assert client.refresh((LIFETIME, 3600)).first(LIFETIME) == 50
    world.advance(50)
    assert ended(world) == [EndReason.CREDENTIAL_EXPIRED]


def test_expiry_cut_is_no_end_for_whoever_refreshes_in_the_last_fraction_of_a_second() -> None:
    """Lifetimes are whole seconds, so that an allocation may end a moment after its credential, and no more."""
    world = World(secrets=[CURRENT], expiry=Expiry.CUT)
    client = with_credential(world, 100)
    world.advance(0.5)
    assert client.allocate().first(LIFETIME) == 100
    world.advance(99.7)
    assert client.refresh().code == 401
    assert client.permit(PEER).code == 401
    world.advance(0.3)
    assert ended(world) == [EndReason.CREDENTIAL_EXPIRED]


@pytest.mark.parametrize("expiry", Expiry)
def test_a_static_user_does_not_expire(expiry: Expiry) -> None:
    world = World(expiry=expiry)
    alice = Client(world)
    assert alice.allocate((LIFETIME, 3600)).first(LIFETIME) == 3600
    world.advance(3000)
    assert alice.refresh((LIFETIME, 3600)).first(LIFETIME) == 3600


@pytest.mark.parametrize("expiry", Expiry)
@pytest.mark.parametrize("name", ["carol", f"{EPOCH + 3600}:carol"])
def test_revocation_ends_a_living_allocation_at_once(expiry: Expiry, name: str) -> None:
    """By user id or by user name, under every policy; and others live on."""
    world = World(secrets=[CURRENT], expiry=expiry)
    carol, dave = with_credential(world), with_credential(world, user_id="dave")
    for client in (carol, dave):
        client.allocated()
    carol.permit(PEER)
    world.carry_out(world.relay.revoke(name, EPOCH + 50, world.now))
    assert ended(world) == [EndReason.REVOKED]
    assert carol.allocate().code == 401
    assert carol.permit(PEER).code == 401
    assert dave.refresh().code == 0
    world.advance(50)
    assert carol.allocate().code == 0


def test_the_operator_is_told_whose_credentials_did_not_do() -> None:
    """A first request, which has none, is no news."""
    world = World(secrets=[CURRENT])
    with_credential(world, 3600).allocated()
    assert not [effect for effect in world.done if isinstance(effect, Challenged)]
    clients = [with_credential(world, -1), Client(world, password="wrong"), Client(world, "nobody")]
    for client in clients:
        client.allocate()
    told = [(e.username, e.five_tuple, e.failure) for e in world.done if isinstance(e, Challenged)]
    failures = [AuthFailure.EXPIRED, AuthFailure.BAD_INTEGRITY, AuthFailure.UNKNOWN_USER]
    assert told == [
        (client.username, client.five_tuple, failure) for client, failure in zip(clients, failures, strict=True)
    ]


def first_request(client: Client) -> bytes:
    return client.message(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP))


def answers(client: Client, requests: list[bytes]) -> int:
    """How many of them are answered."""
    return sum(bool(client.say(request)) for request in requests)


def test_first_challenges_have_a_rate_per_source() -> None:
    """Above it there is silence, counted; other sources and later times are not touched."""
    world = World(challenges=(10, 5))
    client, neighbour = Client(world, address=SOURCE), Client(world, address=ELSEWHERE)
    assert answers(client, [first_request(client)] * 9) == 5
    assert answers(neighbour, [first_request(neighbour)] * 9) == 5
    counters = world.state.counters
    assert (counters.challenges_sent, counters.challenges_suppressed) == (10, 8)
    assert counters.dropped == {Reason.RATE_LIMITED: 8}
    world.advance(0.2)
    assert answers(client, [first_request(client)] * 9) == 2


def test_one_prefix_is_one_source() -> None:
    """All ports and transports of an IPv4 address, all addresses of an IPv6 /64."""
    world = World(challenges=(1, 3))
    clients = [Client(world, transport=transport) for transport in Transport]
    assert sum(answers(client, [first_request(client)] * 3) for client in clients) == 3
    clients = [Client(world, address=Address(f"2001:db8:0:7:{end:x}::1", 4000)) for end in range(9)]
    assert sum(answers(client, [first_request(client)]) for client in clients) == 3


def test_wrong_passwords_have_a_rate_per_source_and_user() -> None:
    """Who guesses slows down nobody but the guessed user name at that source."""
    world = World(failures=(20, 4))
    guesser = Client(world, password="wrong", address=SOURCE)
    assert answers(guesser, [guesser.signed(Method.REFRESH)] * 9) == 4
    assert Client(world, "bob", password="wrong", address=SOURCE).refresh().code == 401
    assert Client(world, password="wrong", address=ELSEWHERE).refresh().code == 401


def test_success_is_never_limited() -> None:
    """Not even for a user whose source has used up everything by guessing."""
    world = World(challenges=(0.001, 2), failures=(0.001, 1))
    alice = Client(world, address=SOURCE)
    alice.learned_nonce()
    guesser = Client(world, password="wrong", address=SOURCE)
    guesser.nonce = alice.nonce
    assert answers(guesser, [guesser.signed(Method.ALLOCATE)] * 5) == 1
    alice.allocated()
    for _ in range(100):
        assert alice.refresh().code == 0
        assert alice.permit(Address("10.0.0.1", 1)).code == 403


def test_changing_user_names_do_not_lift_the_rate_of_a_source() -> None:
    """Somebody who spoofs a victim's address and a new name each time gets no more replies sent there."""
    world = World(challenges=(10, 5), failures=(20, 40))
    guessers = [Client(world, f"user{number}", address=SOURCE) for number in range(50)]
    nonce = guessers[0].learned_nonce()
    assert sum(answers(client, [client.signed(Method.ALLOCATE, nonce=nonce)]) for client in guessers) == 4


def test_strangers_leave_nothing_behind() -> None:
    """10,000 Allocates from as many sources: without credentials, but every tenth with wrong ones."""
    world = World(challenges=(100, 500), failures=(20, 40))
    request = first_request(Client(world))
    forged = Client(world, password="wrong").signed(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP))
    sources = [Address(f"20.1.{number >> 8}.{number & 0xFF}", 4000) for number in range(10_000)]
    datagrams = [
        Datagram(request if number % 10 else forged, FiveTuple(Transport.UDP, source, SERVER), Via(1))
        for number, source in enumerate(sources)
    ]
    books = lengths(world)
    tracemalloc.start()
    for datagram in datagrams:
        assert world.relay.receive(datagram, world.now)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert lengths(world) == books
    assert grown < 4_000_000


def lengths(world: World) -> list[int]:
    """How long each table of the core is; counters have their few words."""
    state = world.state
    tables: list[Sized] = [
        state.allocations,
        state.allocations.by_five_tuple,
        state.allocations.reservations,
        state.allocations.deadlines,
        state.openings,
        state.quotas,
        state.authenticator.revocations,
    ]
    return [len(table) for table in tables]


def test_the_engine_is_told_when_a_client_comes_in_by_another_way() -> None:
    """Its listener was closed and opened again: what goes to the client would go nowhere."""
    world = World()
    alice = Client(world)
    alice.allocated()
    (allocation,) = world.state.allocations.by_id.values()
    alice.via = Via(77, 3)
    first, *_ = alice.say(alice.signed(Method.REFRESH))
    assert first == AttachClient(allocation.relay.id, alice.five_tuple, Via(77, 3))
    assert not any(isinstance(effect, AttachClient) for effect in alice.say(alice.signed(Method.REFRESH)))
    alice.via = Via(78, 3)
    assert alice.refresh((LIFETIME, 0)).code == 0


@pytest.mark.parametrize("secret", [None, CURRENT])
def test_a_living_allocation_follows_its_realm_when_that_is_renamed(secret: Secret | None) -> None:
    """The client is told of the new realm and makes its key anew, as for a new nonce; the old key has no part in it."""
    world = World(secrets=[CURRENT])
    client = Client(world) if secret is None else with_credential(world, 700, secret)
    client.allocated()
    world.state.settings = dataclasses.replace(world.state.settings, realm="renamed")
    world.state.authenticator = Authenticator("renamed", USERS, [CURRENT])
    challenge = client.exchange(client.signed(Method.REFRESH))
    assert (challenge.code, challenge.first(REALM)) == (401, "renamed")
    client.realm = "renamed"
    assert client.refresh((LIFETIME, 3600)).code == 0
    assert client.permit(PEER).code == 0
    world.advance(800)
    assert client.refresh((LIFETIME, 0)).code == 0


def test_a_new_password_comes_with_no_new_realm_for_a_living_allocation() -> None:
    world = World()
    alice = Client(world)
    alice.allocated()
    world.state.authenticator = Authenticator(REALM_NAME, {"alice": "looking-glass"}, [])
    assert alice.refresh().code == 0
    alice.password = "looking-glass"
    assert alice.exchange(alice.signed(Method.REFRESH)).code == 401
