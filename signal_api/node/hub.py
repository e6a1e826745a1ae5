"""The sessions of this node: how they open, come back and end."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple

from fairlead.buckets import BucketTable, TokenBucket
from fairlead.clock import Entropy, Now
from fairlead.log import get_logger
from signal_api.chronicle import Chronicle
from signal_api.clients import Client, Connection, Visitor
from signal_api.metrics import Instruments
from signal_api.node.budgets import Budgets
from signal_api.node.custody import Custody
from signal_api.node.drain import Drain
from signal_api.node.frames import PROTOCOL, Hello, welcome
from signal_api.node.ice_desk import IceDesk
from signal_api.node.liveness import Liveness
from signal_api.node.roster import Roster
from signal_api.policy import Policy
from signal_api.protocol.authorization import Denial, Flaw, Grants, not_accepted
from signal_api.protocol.effects import LeaveReason
from signal_api.protocol.messages import server_frame
from signal_api.protocol.refusals import CloseCode, Closing, EngineUnavailableError, ErrorCode, Refusal
from signal_api.protocol.revocations import Revocation, RevocationKind, Revocations
from signal_api.protocol.sessions import Entry, ResumeFailure, new_epoch, new_session
from signal_api.relay.fence import Fences
from signal_api.relay.rights import RelayRights
from signal_api.relay.sightings import Sightings
from signal_api.timers import Clock, Timer, Timers
from signal_api.turnstile import Turnstile
from signal_api.webhooks import Webhooks

#: rows of the table of sources that connect; each takes 16 bytes
_SOURCES = 4096
#: how who is not let in may come in later: with a fresh token, or once tokens can be checked
_UNTIL_LATER = {
    ErrorCode.TOKEN_EXPIRED: CloseCode.TOKEN_EXPIRED,
    ErrorCode.ENGINE_UNAVAILABLE: CloseCode.ENGINE_UNAVAILABLE,
}
#: seconds until rooms are told again that somebody is gone, when they could not be changed
_LEAVE_AGAIN = 1.0
#: clients of which rooms are told at once that they are gone: a store has room left for those who come
_FAREWELLS = 8

_log = get_logger("signal_api.hub")


class _Entrant(NamedTuple):
    """Who may come in; only its client is told the key."""

    client: Client
    key: str
    is_new: bool


class Hub:
    """Takes connections, and knows whose they are.

    `farewell` tells the rooms of a client that it is gone, `review` looks again at what its tokens grant; whoever knows
    the rooms sets them.
    """

    def __init__(self, policy: Policy, clock: Clock, entropy: Entropy, instruments: Instruments) -> None:
        self.policy = policy
        self.clock = clock
        self.entropy = entropy
        self.instruments = instruments
        self.timers = Timers(clock)
        self.turnstile = Turnstile()
        self.roster = Roster()
        self.sightings = Sightings()
        self.revocations = Revocations()
        self.webhooks = Webhooks(clock, entropy, self._count_webhook)
        self.chronicle = Chronicle(self.webhooks, self.timers, self.sightings)
        self.fences = Fences(policy.fence)
        self.rights = RelayRights(clock, lambda: self.policy.issuer)
        self.budgets = Budgets(self.rights, self.chronicle, instruments, self.spawn)
        self.leaving = Drain(self.roster, entropy)
        self.farewell: Callable[[Client, LeaveReason], Coroutine[Any, Any, None]] | None = None
        self.review: Callable[[Client], Coroutine[Any, Any, None]] | None = None
        self.desk = IceDesk(
            lambda: self.policy, entropy, instruments, self.timers, self.roster, self.sightings, self.spawn
        )
        #: where sessions may be at other nodes as well
        self.custody: Custody | None = None
        self._liveness = Liveness(clock, self.timers, away=self._away, gone=self.end)
        self._sources = BucketTable(_SOURCES, entropy(16))
        self._key_timer: Timer | None = None
        self._farewells = asyncio.Semaphore(_FAREWELLS)
        self._tasks: set[asyncio.Task[None]] = set()

    # Coming in

    def may_connect(self, source: bytes) -> float:
        """0.0, or the seconds until this source may open another connection."""
        return self._sources.take(source, self.policy.connect_rate, self.clock.monotonic())

    async def look_for_key(self, token: str | None) -> None:
        """Before a token is judged: its key may have been published a moment ago."""
        if self.policy.keys is not None:
            await self.policy.keys.look_for(token, self.clock)

    async def keep_keys(self) -> None:
        """Fetches what is published of the keys of tokens, now and every so often."""
        if self._key_timer is not None:
            self._key_timer.cancel()
            self._key_timer = None
        keys = self.policy.keys
        if keys is not None and keys.interval is not None:
            keys.totals = self.instruments.key_sets
            self._key_timer = self.timers.after(keys.interval, lambda: self.spawn(self.keep_keys()))
            await keys.refresh()

    async def adopt(self, policy: Policy) -> None:
        """Goes by another reading of the configuration from now on."""
        self.rights.outlive()
        before, self.policy = self.policy, policy
        if policy.keys is not None and before.keys is not None:
            policy.keys.take_over(before.keys)
        await self.keep_keys()

    def admit(self, token: str | None, visitor: Visitor) -> Grants | Denial:
        """What a token grants, unless it was revoked; a refusal is counted."""
        now = self.clock.now()
        grants = self.policy.doorkeeper.admit(token, visitor.is_local, now)
        if isinstance(grants, Grants) and self.revocations.cover(grants, now.wall):
            grants = not_accepted(Flaw.REVOKED)
        if isinstance(grants, Denial):
            self.instruments.auth_failures[grants.flaw.value,] += 1
            return grants if self.policy.keys is None else self.policy.keys.put_off(grants)
        return grants

    async def let_in(self, hello: Hello, visitor: Visitor, connection: Connection) -> Client | Closing:
        """As enter, also for a session that another node has; one that is new is kept before its client hears of it. A
        connection that is over takes nothing from there: its client may be back by another."""
        custody, resume = self.custody, hello.resume
        if custody is None or self.draining or connection.is_over:
            return self.enter(hello, visitor, connection)
        try:
            if resume is not None:
                await custody.find(resume.sid, resume.key)
        except EngineUnavailableError as error:
            return Closing(CloseCode.ENGINE_UNAVAILABLE, str(error))
        entrant = await self._kept(self._judge(hello, visitor, connection), connection)
        return entrant if isinstance(entrant, Closing) else self._welcome(entrant, hello, visitor, connection)

    async def open(self, grants: Grants, visitor: Visitor, connection: Connection) -> Client | Closing:
        """A session of its own for who has been let in."""
        entrant = await self._kept(self._open(grants, visitor, self.clock.now()), connection)
        return entrant if isinstance(entrant, Closing) else self._greet(entrant, connection, None)

    async def _kept(self, entrant: "_Entrant | Closing", connection: Connection) -> "_Entrant | Closing":
        """A new session is kept before its client hears of it, which may be too late."""
        if isinstance(entrant, Closing) or not entrant.is_new or self.custody is None:
            return entrant
        try:
            await self.custody.open(entrant.client)
        except EngineUnavailableError as error:
            self.roster.remove(entrant.client)
            return Closing(CloseCode.ENGINE_UNAVAILABLE, str(error))
        except BaseException:
            self.roster.remove(entrant.client)
            raise
        if self.draining or connection.is_over or self.roster.get(entrant.client.sid) is not entrant.client:
            self.end(entrant.client)
            return Closing(CloseCode.DRAIN if self.draining else CloseCode.REBALANCE, "it ended before it began")
        return entrant

    def enter(self, hello: Hello, visitor: Visitor, connection: Connection) -> Client | Closing:
        """Opens a session, or goes on with one; the welcome is the first frame on the connection."""
        entrant = self._judge(hello, visitor, connection)
        return entrant if isinstance(entrant, Closing) else self._welcome(entrant, hello, visitor, connection)

    def _judge(self, hello: Hello, visitor: Visitor, connection: Connection) -> "_Entrant | Closing":
        """Whether somebody may come in, and as whom."""
        if connection.is_over:
            return Closing(CloseCode.NORMAL, "the connection ended before its client was let in")
        if hello.v != PROTOCOL:
            return Closing(CloseCode.UNSUPPORTED_VERSION, f"this server speaks version {PROTOCOL}")
        if self.draining:
            return Closing(CloseCode.DRAIN, "this server is about to stop")
        now = self.clock.now()
        resume = hello.resume
        known = self.roster.holder(resume.sid, resume.key) if resume is not None else None
        user = self._admit(hello, visitor, now, known)
        if isinstance(user, Closing):
            return user
        if resume is None or known is None:
            return self._open(user, visitor, now)
        known.is_regranted |= user != known.grants
        known.grants = user
        return _Entrant(known, resume.key, is_new=False)

    def _welcome(self, entrant: "_Entrant", hello: Hello, visitor: Visitor, connection: Connection) -> Client:
        client, resume = entrant.client, hello.resume
        if resume is None or entrant.is_new:
            return self._greet(entrant, connection, ResumeFailure.UNKNOWN if resume is not None else None)
        missed = client.session.after(resume.after, resume.epoch)
        self.come_back(client, entrant.key, visitor, connection, missed)
        return client

    def _greet(self, entrant: "_Entrant", connection: Connection, failure: ResumeFailure | None) -> Client:
        """The first frame of a new session; `failure` says why it does not go on with another."""
        client, key, _ = entrant
        now = self.clock.now()
        self.instruments.sessions_opened[connection.transport,] += 1
        self._attach(client, connection, now)
        if failure is not None:
            self.instruments.resumes[failure.value,] += 1
        client.deliver(server_frame("welcome", welcome(self.policy, client.session, key, now, failure)))
        return client

    def _admit(self, hello: Hello, visitor: Visitor, now: Now, known: Client | None) -> Grants | Closing:
        """What the token grants; a session that goes on needs none while the one it came with is good."""
        if known is not None and hello.token is None:
            if known.is_authorized(now):
                return known.grants
            return Closing(CloseCode.TOKEN_EXPIRED, "the session's token has expired; resume it with a fresh one")
        grants = self.admit(hello.token, visitor)
        if isinstance(grants, Refusal):
            return Closing(_UNTIL_LATER.get(grants.code, CloseCode.UNAUTHORIZED), grants.message)
        if known is not None and known.grants.user != grants.user:
            return Closing(CloseCode.UNAUTHORIZED, "the session belongs to another user")
        return grants

    def _open(self, grants: Grants, visitor: Visitor, now: Now) -> "_Entrant | Closing":
        obstacle = self.roster.room_for(grants.user, visitor.source, self.policy.limits)
        if isinstance(obstacle, Closing):
            return obstacle
        if obstacle is not None:
            self.end(obstacle, LeaveReason.REPLACED)
        session, key = new_session(self.entropy)
        client = Client(session, grants, visitor, TokenBucket(), now.monotonic)
        self.roster.add(client)
        return _Entrant(client, key, is_new=True)

    def come_back(
        self,
        client: Client,
        key: str,
        visitor: Visitor,
        connection: Connection,
        missed: list[Entry] | ResumeFailure,
        greet: bool = True,
    ) -> None:
        """Sends exactly what was missed, or a welcome that says that the client has to begin anew."""
        session, now = client.session, self.clock.now()
        client.visitor = client.visitor._replace(host=visitor.host, is_local=visitor.is_local)
        if client.connection is not None:
            client.connection.close(CloseCode.REPLACED)
        self._attach(client, connection, now)
        if isinstance(missed, ResumeFailure):
            self.instruments.resumes[missed.value,] += 1
            session.renew(new_epoch(self.entropy))
            client.begins_anew = True
            client.deliver(server_frame("welcome", welcome(self.policy, session, key, now, missed)))
            return
        self.instruments.resumes["resumed",] += 1
        greeting = server_frame("welcome", welcome(self.policy, session, key, now, resumed=True)) if greet else None
        connection.catch_up(greeting, missed)

    def take_in(self, client: Client) -> None:
        """A session of another node goes on here; its connection is lost until the client comes."""
        self.roster.add(client)
        self._liveness.disconnected(client, self.policy.times)
        self.desk.take_in(client)
        if self.revocations.cover(client.grants, self.clock.now().wall):
            self.timers.after(0.0, partial(self.end, client, LeaveReason.KICKED, CloseCode.UNAUTHORIZED))

    def give_up(self, client: Client, code: CloseCode) -> None:
        """A session goes on at another node."""
        client.is_elsewhere = True
        client.stop_timers()
        self.desk.give_up(client)
        if client.lapse is not None:
            client.lapse.cancel()
        self.roster.remove(client)
        if client.connection is not None:
            connection, client.connection = client.connection, None
            connection.close(code)
            self.leaving.note_departure()

    def _attach(self, client: Client, connection: Connection, now: Now) -> None:
        client.connection = connection
        client.last_heard = now.monotonic
        self.instruments.connections[connection.transport,] += 1
        self._liveness.connected(client, connection, self.policy.times)

    # Going

    def expect_heartbeats(self, client: Client, connection: Connection, patience: float) -> None:
        """This client is not pinged: it speaks by itself, and is gone after so many seconds of silence."""
        self._liveness.expect(client, connection, patience)

    def reauthorize(self, client: Client, grants: Grants) -> None:
        """A fresh token of the same user, inside the session."""
        client.grants = grants
        if client.connection is not None:
            self._liveness.authorized(client, client.connection)

    def detach(self, client: Client, connection: Connection) -> None:
        """The connection is lost; the session waits. A connection that was replaced takes nothing with it."""
        if client.connection is connection:
            client.connection = None
            self._liveness.disconnected(client, self.policy.times)
            self.leaving.note_departure()

    def revoke(self, revocation: Revocation) -> None:
        """Learns what is revoked, and ends the sessions that came by it."""
        wall = self.clock.now().wall
        self.revocations.learn(revocation, wall)
        for client in self.roster:
            if self.revocations.cover(client.grants, wall):
                self.end(client, LeaveReason.KICKED, CloseCode.UNAUTHORIZED)
            elif self.review is not None and any(self.revocations.cover(own, wall) for own in client.own_grants()):
                self.spawn(self.review(client))
        if revocation.kind is RevocationKind.USER and not revocation.is_lifted:
            self.rights.withdraw_user(revocation.id, "token revoked")

    def end(
        self, client: Client, reason: LeaveReason = LeaveReason.TIMEOUT, code: CloseCode = CloseCode.NORMAL
    ) -> None:
        """Forgets a session for good; a connection that it still has is told why, by default that it asked for it."""
        client.stop_timers()
        if client.lapse is not None:
            client.lapse.cancel()
        self.desk.forget(client)
        self.roster.remove(client)
        if client.connection is not None:
            connection, client.connection = client.connection, None
            connection.close(code)
            self.leaving.note_departure()
        self._away(client, reason)

    def _away(self, client: Client, reason: LeaveReason = LeaveReason.TIMEOUT) -> None:
        if self.farewell is not None and (client.session.rooms or client.owed):
            self.spawn(self._take_leave(client, reason))
        elif self.custody is not None and self.roster.get(client.sid) is not client:
            self.custody.end(client)

    async def _take_leave(self, client: Client, reason: LeaveReason) -> None:
        """Rooms that cannot be told are told later. Only then is a session that has ended forgotten for good, so that
        whoever takes over in between tells them. What it relays ends at once, however many leave beside it."""
        assert self.farewell is not None  # Or nobody would have asked for it.
        if self.roster.has_ended(client):
            for membership in client.session.rooms.values():
                self.rights.withdraw(membership.turn_user, "session ended", parting=reason.is_own)
        try:
            async with self._farewells, client.turn:
                await self.farewell(client, reason)
        except EngineUnavailableError:
            self.timers.after(_LEAVE_AGAIN, partial(self._leave_again, client, reason))
            return
        if self.custody is not None and self.roster.has_ended(client):
            self.custody.end(client)

    def _leave_again(self, client: Client, reason: LeaveReason) -> None:
        if client.is_away:
            self._away(client, reason)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something that nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a task in the background failed", exc_info=task.exception())

    # The end

    @property
    def draining(self) -> bool:
        """Whether nobody is let in any more."""
        return self.leaving.is_on

    async def drain(self, window: float) -> None:
        """Sends every client away, within `window` seconds, and returns when all are gone; new ones are refused."""
        await self.leaving.run(window, self.policy.alternatives)

    def _count_webhook(self, result: str) -> None:
        self.instruments.webhooks[result,] += 1

    async def settled(self) -> None:
        """Waits for what was spawned so far."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Stops the timers and what still runs."""
        self.timers.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
