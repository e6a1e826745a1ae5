"""Nonces: good for one address and port, for ten minutes, and only when we made them."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.clock import Now
from fairlead.datagram import Address, unpack_host
from turnd.protocol.nonces import NonceMint

KEY = bytes(range(32))
NONCES = NonceMint(KEY)
CLIENT = Address("192.0.2.1", 40000)
T0 = 1_700_000_000.0
ALPHABET = string.ascii_letters + string.digits + "-_"

addresses = st.builds(
    Address,
    (st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)).map(unpack_host),
    st.integers(0, 0xFFFF),
)


def at(wall: float) -> Now:
    return Now(monotonic=0.0, wall=wall)


@given(addresses, st.floats(0, 2**39, allow_nan=False))
def test_a_nonce_is_short_text_that_its_client_may_use(client: Address, wall: float) -> None:
    nonce = NONCES.mint(client, at(wall))
    assert re.fullmatch(r"[A-Za-z0-9_-]{28}", nonce)
    assert NONCES.check(nonce, client, at(wall))
    assert NONCES.issued_at(nonce, client) == int(wall)


@given(addresses, addresses)
def test_rfc8489_9_2_4_no_two_sources_share_a_nonce(one: Address, other: Address) -> None:
    assert (NONCES.mint(one, at(T0)) == NONCES.mint(other, at(T0))) is (one == other)
    assert NONCES.check(NONCES.mint(one, at(T0)), other, at(T0)) is (one == other)


@pytest.mark.parametrize("other", [Address("192.0.2.1", 40001), Address("192.0.2.2", 40000), Address("::1", 40000)])
def test_a_nonce_from_another_port_or_host_is_refused(other: Address) -> None:
    nonce = NONCES.mint(CLIENT, at(T0))
    assert not NONCES.check(nonce, other, at(T0))
    assert NONCES.issued_at(nonce, other) is None


@pytest.mark.parametrize(
    ("age", "good"), [(0, True), (599, True), (600, True), (601, False), (3600, False), (-60, True), (-61, False)]
)
def test_a_nonce_is_good_for_ten_minutes(age: int, good: bool) -> None:
    nonce = NONCES.mint(CLIENT, at(T0))
    assert NONCES.check(nonce, CLIENT, at(T0 + age)) is good
    assert NONCES.issued_at(nonce, CLIENT) == T0


def test_the_lifetime_is_chosen() -> None:
    brief = NonceMint(KEY, lifetime=5)
    nonce = brief.mint(CLIENT, at(T0))
    assert brief.check(nonce, CLIENT, at(T0 + 5))
    assert not brief.check(nonce, CLIENT, at(T0 + 6))


def test_a_fleet_shares_nonces_by_sharing_the_key() -> None:
    nonce = NONCES.mint(CLIENT, at(T0))
    assert NonceMint(KEY).check(nonce, CLIENT, at(T0))
    assert not NonceMint(KEY[::-1]).check(nonce, CLIENT, at(T0))


@given(st.integers(0, 27), st.sampled_from(ALPHABET))
def test_a_nonce_with_one_other_character_is_refused(position: int, character: str) -> None:
    nonce = NONCES.mint(CLIENT, at(T0))
    changed = nonce[:position] + character + nonce[position + 1 :]
    assert NONCES.check(changed, CLIENT, at(T0)) is (changed == nonce)


@given(st.text(max_size=60) | st.text(alphabet=ALPHABET + "+/=", max_size=60))
def test_any_other_text_is_refused(text: str) -> None:
    assert not NONCES.check(text, CLIENT, at(T0))


@pytest.mark.parametrize("change", ["{}=", "{} ", " {}", "{}A", "{}\n", "{}\0"])
def test_a_nonce_is_its_own_only_text(change: str) -> None:
    assert not NONCES.check(change.format(NONCES.mint(CLIENT, at(T0))), CLIENT, at(T0))


def test_a_key_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="give it at least 16"):
        NonceMint(bytes(15))
    assert NonceMint(bytes(16)).check(NonceMint(bytes(16)).mint(CLIENT, at(T0)), CLIENT, at(T0))
