"""Who sends a request: the steps of RFC 8489 section 9.2.4, and accounts of both kinds side by side."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.clock import Now
from fairlead.credentials import mint
from fairlead.datagram import Address
from fairlead.stun import attributes as stun
from fairlead.stun.attributes import Attribute
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1, SHA256, PasswordAlgorithm, PreparedKey, long_term_key
from fairlead.stun.message import Message, Signature, decode, encode, new_mask
from turnd.protocol.authentication import CLOCK_SKEW, Account, Authenticator, AuthFailure, Challenge, Secret, check
from turnd.protocol.nonces import NonceMint

REALM = "example.org"
CLIENT = Address("192.0.2.1", 40000)
MASK = new_mask(bytes(12))
T0 = 1_700_000_000
NOW = Now(monotonic=1000.0, wall=float(T0))
NONCES = NonceMint(bytes(range(32)))
CURRENT, PREVIOUS = Secret("2024", b"current"), Secret("2023", b"previous")

Values = Sequence[tuple[Attribute[Any], Any]]


def make(users: dict[str, str] | None = None, secrets: Sequence[Secret] = (CURRENT, PREVIOUS)) -> Authenticator:
    return Authenticator(REALM, {"alice": "wonderland"} if users is None else users, secrets)


def later(seconds: float) -> Now:
    return Now(NOW.monotonic + seconds, NOW.wall + seconds)


def credentials(username: str, realm: str = REALM, now: Now = NOW, client: Address = CLIENT) -> Values:
    return [(stun.USERNAME, username), (stun.REALM, realm), (stun.NONCE, NONCES.mint(client, now))]


def key_of(username: str, password: str, realm: str = REALM) -> bytes:
    return long_term_key(username, realm, password, PasswordAlgorithm.MD5)


def signed(values: Values, key: bytes) -> Message:
    return decode(encode(Method.ALLOCATE, Class.REQUEST, MASK, values, Signature(SHA1, key)))


def request(username: str, password: str, now: Now = NOW, realm: str = REALM) -> Message:
    return signed(credentials(username, realm, now), key_of(username, password, realm))


def outcome(
    message: Message, authenticator: Authenticator | None = None, known: Account | None = None, now: Now = NOW
) -> Account | Challenge:
    return check(message, CLIENT, authenticator or make(), NONCES, known, now)


def accepted(message: Message, authenticator: Authenticator | None = None, **more: Any) -> Account:
    result = outcome(message, authenticator, **more)
    assert isinstance(result, Account)
    return result


def test_rfc8489_9_2_4_without_integrity_401() -> None:
    bare = decode(encode(Method.ALLOCATE, Class.REQUEST, MASK, credentials("alice")))
    assert outcome(bare) == Challenge(401, AuthFailure.MISSING)


def test_an_integrity_that_is_not_spoken_is_called_so() -> None:
    """Its sender gets 401 for ever, and the operator reads why."""
    values = credentials("alice")
    newer = decode(encode(Method.ALLOCATE, Class.REQUEST, MASK, values, Signature(SHA256, b"key")))
    assert outcome(newer) == Challenge(401, AuthFailure.UNSUPPORTED, "alice")
    broken = Attribute(stun.USERNAME.type, "broken", stun.DATA.kind)
    named = [(broken, b"\xff")]
    newer = decode(encode(Method.ALLOCATE, Class.REQUEST, MASK, named, Signature(SHA256, b"key")))
    assert outcome(newer) == Challenge(401, AuthFailure.UNSUPPORTED)


@pytest.mark.parametrize("missing", [stun.USERNAME, stun.REALM, stun.NONCE], ids=lambda row: row.name)
def test_rfc8489_9_2_4_integrity_without_its_attributes_400(missing: Attribute[Any]) -> None:
    values = [(attribute, value) for attribute, value in credentials("alice") if attribute is not missing]
    result = outcome(signed(values, key_of("alice", "wonderland")))
    assert isinstance(result, Challenge)
    assert (result.code, result.failure) == (400, AuthFailure.INCOMPLETE)


@pytest.mark.parametrize("broken", [stun.USERNAME, stun.REALM, stun.NONCE], ids=lambda row: row.name)
def test_an_attribute_that_cannot_be_read_400(broken: Attribute[str]) -> None:
    other: Attribute[bytes] = Attribute(broken.type, broken.name, stun.DATA.kind)
    values = [
        (other, b"\xff\xfe") if attribute is broken else (attribute, value) for attribute, value in credentials("alice")
    ]
    assert outcome(signed(values, key_of("alice", "wonderland"))) == Challenge(400, AuthFailure.INCOMPLETE)


def test_rfc8489_9_2_4_unknown_user_401() -> None:
    assert outcome(request("bob", "x")) == Challenge(401, AuthFailure.UNKNOWN_USER, "bob")


def test_rfc8489_9_2_4_wrong_password_401() -> None:
    assert outcome(request("alice", "x")) == Challenge(401, AuthFailure.BAD_INTEGRITY, "alice")


def test_another_realm_401() -> None:
    message = signed(credentials("alice", realm="elsewhere"), key_of("alice", "wonderland"))
    assert outcome(message) == Challenge(401, AuthFailure.WRONG_REALM, "alice")


def test_rfc8489_9_2_4_stale_nonce_438() -> None:
    message = request("alice", "wonderland")
    assert outcome(message, now=later(601)) == Challenge(438, AuthFailure.STALE_NONCE, "alice")


@pytest.mark.parametrize("client", [Address("192.0.2.1", 40001), Address("192.0.2.2", 40000)])
def test_a_nonce_given_to_another_438(client: Address) -> None:
    message = signed(credentials("alice", client=client), key_of("alice", "wonderland"))
    assert outcome(message) == Challenge(438, AuthFailure.BAD_NONCE, "alice")


@pytest.mark.parametrize("username", ["alice", "bob", f"{T0 + 60}:carol"])
def test_rfc8489_9_2_4_the_nonce_is_judged_last(username: str) -> None:
    values = [*credentials(username)[:2], (stun.NONCE, "made up")]
    result = outcome(signed(values, b"wrong key"))
    assert isinstance(result, Challenge)
    assert result.code == 401


def test_a_static_user() -> None:
    account = accepted(request("alice", "wonderland"))
    assert account == Account("alice", "alice", REALM, key_of("alice", "wonderland"))
    assert account.signature == Signature(SHA1, key_of("alice", "wonderland"))


@pytest.mark.parametrize(
    ("user_id", "expected"),
    [("carol", "carol"), ("@carol:example.org", "@carol:example.org"), ("", str(T0 + 60))],
)
@pytest.mark.parametrize("secret", [CURRENT, PREVIOUS], ids=lambda secret: secret.name)
def test_a_time_limited_user_of_either_secret(user_id: str, expected: str, secret: Secret) -> None:
    credential = mint(secret.value, user_id, T0 + 60)
    account = accepted(request(*credential))
    assert account == Account(credential.username, expected, REALM, key_of(*credential), secret.name, T0 + 60)


def test_a_static_user_hides_a_time_limited_one() -> None:
    credential = mint(CURRENT.value, "carol", T0 + 60)
    authenticator = make({credential.username: "static"})
    assert accepted(request(credential.username, "static"), authenticator).secret_name is None
    assert isinstance(outcome(request(*credential), authenticator), Challenge)


@given(st.text(min_size=1, max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_only_the_right_password_is_right(username: str, password: str, other: str) -> None:
    authenticator = make({username: password}, ())
    assert accepted(request(username, password), authenticator).username == username
    same = key_of(username, other) == key_of(username, password)
    assert isinstance(outcome(request(username, other), authenticator), Account) is same


@pytest.mark.parametrize("left", [1.0, 0.5])
def test_a_credential_is_good_until_its_expiry(left: float) -> None:
    message = request(*mint(CURRENT.value, "carol", T0 + 60), now=later(60 - left))
    assert accepted(message, now=later(60 - left)).expires == T0 + 60


@pytest.mark.parametrize("over", [0.0, 1.0, 1e9])
def test_an_expired_credential_401(over: float) -> None:
    credential = mint(CURRENT.value, "carol", T0 + 60)
    now = later(60 + over)
    assert outcome(request(*credential, now=now), now=now) == Challenge(401, AuthFailure.EXPIRED, credential.username)


def test_a_credential_that_lives_too_long_401() -> None:
    """One in milliseconds would be good for fifty thousand years."""
    authenticator = Authenticator(REALM, {"alice": "wonderland"}, [CURRENT], max_lifetime=3600)
    assert accepted(request(*mint(CURRENT.value, "carol", T0 + 3600 + CLOCK_SKEW)), authenticator).user_id == "carol"
    assert accepted(request("alice", "wonderland"), authenticator).expires is None
    for expires in (T0 + 3600 + CLOCK_SKEW + 1, (T0 + 600) * 1000):
        credential = mint(CURRENT.value, "carol", expires)
        refused = Challenge(401, AuthFailure.TOO_LONG, credential.username)
        assert outcome(request(*credential), authenticator) == refused
        assert outcome(request(credential.username, "guess"), authenticator) != refused
        assert accepted(request(*credential), make()).expires == expires, "where there is no limit"
        known = accepted(request(*credential), make())
        assert outcome(request(*credential), authenticator, known=known) is known, "a living allocation goes on"


def test_a_secret_that_was_rotated_away_401() -> None:
    credential = mint(PREVIOUS.value, "carol", T0 + 60)
    result = outcome(request(*credential), make(secrets=[CURRENT]))
    assert result == Challenge(401, AuthFailure.BAD_INTEGRITY, credential.username)


def test_time_limited_names_are_unknown_without_a_secret() -> None:
    credential = mint(CURRENT.value, "carol", T0 + 60)
    assert outcome(request(*credential), make(secrets=())) == Challenge(
        401, AuthFailure.UNKNOWN_USER, credential.username
    )


def test_an_allocation_outlives_its_credential_and_its_secret() -> None:
    credential = mint(PREVIOUS.value, "carol", T0 + 60)
    known = accepted(request(*credential))
    now = later(7200)
    assert outcome(request(*credential, now=now), make(secrets=[CURRENT]), known=known, now=now) is known


def test_a_living_allocation_outlives_its_credential_in_a_renamed_realm_too() -> None:
    """The key is made anew for the realm; whoever else has the credential is refused."""
    credential = mint(CURRENT.value, "carol", T0 + 60)
    known, now = accepted(request(*credential)), later(7200)
    renamed = Authenticator("renamed", {}, [CURRENT])
    message = request(*credential, realm="renamed", now=now)
    account = outcome(message, renamed, known=known, now=now)
    assert isinstance(account, Account)
    assert account.realm == "renamed"
    assert outcome(message, renamed, now=now) == Challenge(401, AuthFailure.EXPIRED, credential.username)
    other = mint(CURRENT.value, "dave", T0 + 60)
    late = request(*other, realm="renamed", now=now)
    assert outcome(late, renamed, known=known, now=now) == Challenge(401, AuthFailure.EXPIRED, other.username)
    renamed.revoke("carol", T0 + 9000)
    assert outcome(message, renamed, known=known, now=now) == Challenge(401, AuthFailure.REVOKED, credential.username)


def test_an_allocations_key_is_its_users_only_key() -> None:
    known = accepted(request("alice", "wonderland"))
    changed = make({"alice": "looking-glass"})
    assert outcome(request("alice", "wonderland"), changed, known=known) is known
    assert outcome(request("alice", "looking-glass"), changed, known=known) == Challenge(
        401, AuthFailure.BAD_INTEGRITY, "alice"
    )


def test_another_user_on_the_same_5_tuple_is_judged_by_its_own_key() -> None:
    known = accepted(request("alice", "wonderland"))
    credential = mint(CURRENT.value, "carol", T0 + 60)
    assert accepted(request(*credential), known=known).username == credential.username
    forged = signed(credentials(credential.username), known.key)
    assert outcome(forged, known=known) == Challenge(401, AuthFailure.BAD_INTEGRITY, credential.username)


def test_a_known_account_needs_a_fresh_nonce_too() -> None:
    message = request("alice", "wonderland")
    known = accepted(message)
    assert outcome(message, known=known, now=later(601)) == Challenge(438, AuthFailure.STALE_NONCE, "alice")


@pytest.mark.parametrize("by", ["username", "user_id"])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_revoked_account_401_until_its_moment(by: str, is_known: bool) -> None:
    authenticator = make()
    credential = mint(CURRENT.value, "carol", T0 + 600)
    account = accepted(request(*credential), authenticator)
    known = account if is_known else None
    authenticator.revoke(getattr(account, by), T0 + 300)
    message = request(*credential)
    assert authenticator.is_revoked(account, NOW)
    assert outcome(message, authenticator, known) == Challenge(401, AuthFailure.REVOKED, credential.username)
    assert isinstance(outcome(message, authenticator, known, later(300)), Account)
    assert accepted(request(*mint(CURRENT.value, "dave", T0 + 600)), authenticator).user_id == "dave"


@pytest.mark.parametrize("parting", [False, True])
def test_what_expires_up_to_a_moment_can_be_revoked(parting: bool) -> None:
    authenticator = make()
    older, later_one = (mint(CURRENT.value, "carol", T0 + seconds) for seconds in (600, 601))
    authenticator.revoke_expiring("carol", T0 + 600, parting)
    assert outcome(request(*older), authenticator) == Challenge(401, AuthFailure.REVOKED, older.username)
    assert accepted(request(*later_one), authenticator).user_id == "carol"


def test_revocations_outlive_a_reload() -> None:
    before = make()
    before.revoke("alice", T0 + 300)
    after = Authenticator(REALM, {"alice": "new"}, [], before.revocations)
    assert outcome(request("alice", "new"), after) == Challenge(401, AuthFailure.REVOKED, "alice")


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(20)])
def test_no_key_opens_the_door_of_an_unknown_user(key: bytes) -> None:
    assert outcome(signed(credentials("bob"), key)) == Challenge(401, AuthFailure.UNKNOWN_USER, "bob")


def test_unknown_users_and_wrong_passwords_cost_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    macs: list[str] = []
    digest = PreparedKey.digest

    def counting(key: PreparedKey, covered: bytes) -> bytes:
        macs.append(key.integrity.digest)
        return digest(key, covered)

    authenticator = make()
    costs = {}
    requests = {name: request(name, "wrong") for name in ("alice", "bob", "")}
    monkeypatch.setattr(PreparedKey, "digest", counting)
    for name, message in requests.items():
        macs.clear()
        outcome(message, authenticator)
        costs[name] = list(macs)
    assert costs["alice"] == costs["bob"] == costs[""] == ["sha1"]


def test_the_common_case_computes_one_mac_over_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    message = request("alice", "wonderland")
    covered: list[bytes] = []
    digest = PreparedKey.digest

    def noting(key: PreparedKey, data: bytes) -> bytes:
        covered.append(data)
        return digest(key, data)

    authenticator = make()
    monkeypatch.setattr(PreparedKey, "digest", noting)
    known = accepted(message, authenticator)
    accepted(message, authenticator, known=known)
    assert [data[4:20] for data in covered] == [MASK, MASK]


def test_passwords_are_not_kept() -> None:
    authenticator = make({"alice": "wonderland"})
    assert "wonderland" not in repr(vars(authenticator))
    assert authenticator.secret_names == ("2024", "2023")
