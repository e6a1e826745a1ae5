"""Passwords of rooms: right, wrong, guessed too often, and too many at once."""

import asyncio
import time

from fairlead.buckets import Rate
from signal_api.passwords import Passwords
from signal_api.protocol.refusals import ErrorCode, Refusal
from tests.signal_api.dice import dice
from tests.signal_api.worlds import ManualClock

RATE = Rate(2 / 60, 2)


async def _hash(passwords: Passwords, password: str) -> str:
    hashed = await passwords.hash(password)
    assert isinstance(hashed, str)
    return hashed


async def test_a_hash_shows_nothing_and_knows_its_password() -> None:
    passwords = Passwords(ManualClock(), dice(), lambda: 32)
    hashed = await _hash(passwords, "correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "horse" not in hashed
    assert hashed != await _hash(passwords, "correct horse")
    assert await passwords.check(hashed, "correct horse", b"ann", RATE) is True
    assert await passwords.check(hashed, "battery staple", b"ann", RATE) is False


async def test_who_guesses_waits_and_others_do_not() -> None:
    clock = ManualClock()
    passwords = Passwords(clock, dice(), lambda: 32)
    hashed = await _hash(passwords, "p")
    for _ in range(3):
        assert await passwords.check(hashed, "p", b"eve", RATE) is True, "right ones do not count"
    for _ in range(2):
        assert await passwords.check(hashed, "q", b"eve", RATE) is False
    refusal = await passwords.check(hashed, "p", b"eve", RATE)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.details) == (ErrorCode.RATE_LIMITED, {"limit": "passwords"})
    assert refusal.retry_after is not None
    assert await passwords.check(hashed, "p", b"ann", RATE) is True
    clock.move(refusal.retry_after)
    assert await passwords.check(hashed, "p", b"eve", RATE) is True


async def test_who_guesses_many_at_once_is_heard_no_more_often() -> None:
    passwords = Passwords(ManualClock(), dice(), lambda: 100)
    hashed = await _hash(passwords, "p")
    came = await asyncio.gather(*(passwords.check(hashed, f"{n}", b"eve", RATE) for n in range(30)))
    assert 2 <= came.count(False) <= 3, "two are checked at once"
    refused = [answer for answer in came if isinstance(answer, Refusal)]
    assert len(refused) == 30 - came.count(False)
    assert {str(answer.details) for answer in refused} == {str({"limit": "passwords"})}
    assert await passwords.check(hashed, "p", b"ann", RATE) is True


async def test_no_more_wait_than_may_and_the_loop_goes_on() -> None:
    passwords = Passwords(ManualClock(), dice(), lambda: 32)
    checks = [asyncio.ensure_future(passwords.hash("p")) for _ in range(40)]
    turns = 0
    while not all(check.done() for check in checks):
        turns += 1
        await asyncio.sleep(0.001)
    refused = [check.result() for check in checks if isinstance(check.result(), Refusal)]
    assert len(refused) == 8
    assert turns > 32, "the event loop ran meanwhile"


async def test_a_whole_room_comes_back_at_once() -> None:
    """The first of them proves the password for all; a wrong one is wrong as before."""
    most = 100
    hashed = await _hash(Passwords(ManualClock(), dice(), lambda: most), "p")
    passwords = Passwords(ManualClock(), dice(), lambda: most)
    begun = time.process_time()
    await passwords.check(hashed, "p", b"first", RATE)
    one = time.process_time() - begun
    begun = time.process_time()
    came = await asyncio.gather(*(passwords.check(hashed, "p", b"%d" % n, RATE) for n in range(most)))
    assert came == [True] * most
    assert time.process_time() - begun < most / 2 * one
    other = Passwords(ManualClock(), dice(), lambda: most)
    came = await asyncio.gather(*(other.check(hashed, "p", b"%d" % n, RATE) for n in range(most)))
    assert came == [True] * most, "nobody was there before them"
    assert await other.check(hashed, "q", b"eve", RATE) is False
