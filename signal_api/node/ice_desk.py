"""Gives clients their ICE servers: when they come into a room, before their credentials end, and when a turnd goes.

A client that has to ask for its next credential is a client that can forget to. So the next one is on its way before
the time that the last one named as its `refresh_at`.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fairlead.clock import Entropy
from fairlead.link import Draining
from signal_api.clients import Client
from signal_api.metrics import Instruments
from signal_api.node.roster import Roster
from signal_api.pacing import paced
from signal_api.policy import Policy
from signal_api.protocol.effects import ClosedReason
from signal_api.protocol.messages import server_frame, to_json
from signal_api.protocol.sessions import Membership
from signal_api.relay.ice_servers import REFRESH_AFTER, IceGrant, Issuer, grant, webrtc, without_relay
from signal_api.relay.sightings import Sightings
from signal_api.timers import Timers

#: Renewals come this much, as a share of a credential's life, before refresh_at; half of it is left to chance, so that
#: those who came together do not ask turnd together.
_AHEAD = 0.1
#: The share of a drain's time after which everybody has been told of it.
_TELLING = 0.25
_NO_MORE = "you may not relay in this room any more; the credential that you have is the last one"


class IceDesk:
    """`spawn` runs what nobody waits for. `may_relay` says whether a member may; whoever knows the rooms sets it."""

    def __init__(
        self,
        policy: Callable[[], Policy],
        entropy: Entropy,
        instruments: Instruments,
        timers: Timers,
        roster: Roster,
        sightings: Sightings,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._policy = policy
        self._entropy = entropy
        self._instruments = instruments
        self._timers = timers
        self._roster = roster
        self._sightings = sightings
        self._spawn = spawn
        self._draining: Draining | None = None
        self.may_relay: Callable[[Client, Membership], Awaitable[bool]] | None = None

    def issue(self, user_id: str, host: str, label: str, until: float | None = None) -> IceGrant:
        """A fresh credential; `label` is what it is counted as. `host` is how the client found us, `until` (Unix time)
        when the credential ends at the latest."""
        issuer, wall = self._issuer(), self._timers.clock.now().wall
        self._instruments.ice_issued[label,] += 1
        if until is not None:
            issuer = issuer._replace(lifetime=max(1, min(issuer.lifetime, int(until) - int(wall))))
        return grant(issuer, self._policy().public_host or host, user_id, wall, self._entropy)

    def for_member(self, client: Client, room: str, turn_user: str, label: str) -> IceGrant:
        """A fresh credential for a room; the next one is sent in time."""
        given = self.issue(turn_user, client.visitor.host, label)
        early = _AHEAD * (0.5 + int.from_bytes(self._entropy(1)) / 512)
        client.renewals[room] = self._timers.clock.now().monotonic + given.lifetime * (REFRESH_AFTER - early)
        self._arm(client)
        return given

    def take_in(self, client: Client) -> None:
        """A session goes on here: its next credentials come from here, in the same time."""
        self._arm(client)

    def give_up(self, client: Client) -> None:
        """It goes on elsewhere."""
        if client.renewal is not None:
            client.renewal.cancel()
            client.renewal = None

    def forget(self, client: Client) -> None:
        """The session has ended."""
        client.renewals.clear()
        self._arm(client)

    def turnd_goes(self, draining: Draining) -> None:
        """No client is sent to that turnd any more, and those who relay through it are asked to leave it."""
        self._draining = draining
        self._spawn(self._send_elsewhere(draining))

    def turnd_is_back(self) -> None:
        """There is a turnd that takes allocations."""
        self._draining = None

    # Renewal

    def _arm(self, client: Client) -> None:
        """One timer, at the first renewal."""
        self.give_up(client)
        if client.renewals and self._roster.get(client.sid) is client:
            left = min(client.renewals.values()) - self._timers.clock.now().monotonic
            client.renewal = self._timers.after(max(0.0, left), lambda: self._spawn(self._renew(client)))

    async def _renew(self, client: Client) -> None:
        now = self._timers.clock.now().monotonic
        for room, due in [(room, due) for room, due in client.renewals.items() if due <= now]:
            membership = client.session.rooms.get(room)
            is_allowed = membership is not None and await self._allows(client, membership)
            if self._roster.get(client.sid) is not client:
                return
            if client.renewals.get(room) != due:
                continue  # It has left meanwhile, or has been given another.
            del client.renewals[room]
            if is_allowed and membership is not None:
                given = self.for_member(client, room, membership.turn_user, "push")
                client.deliver(server_frame("ice", to_json(webrtc(given)), room=room))
            elif membership is not None:
                self._withhold(client, room)
        self._arm(client)

    async def _allows(self, client: Client, membership: Membership) -> bool:
        assert self.may_relay is not None  # Whoever brings clients here knows the rooms.
        return await self.may_relay(client, membership)

    def _withhold(self, client: Client, room: str) -> None:
        """The right was taken by another token, or from its role: it hears so instead of a credential."""
        servers = without_relay(self._issuer().urls, self._policy().public_host or client.visitor.host)
        body = {"iceServers": servers, "restart": False, "reason": ClosedReason.NOT_GRANTED, "message": _NO_MORE}
        client.deliver(server_frame("ice", to_json(body), room=room))

    # Drain

    def _issuer(self) -> Issuer:
        """Without the servers of a turnd that drains, unless there are no others."""
        issuer = self._policy().issuer
        if self._draining is None:
            return issuer
        rest = issuer.urls.without(self._draining.hosts, self._draining.ports)
        return issuer._replace(urls=rest) if rest.turn else issuer

    async def _send_elsewhere(self, draining: Draining) -> None:
        members = [(client, row) for client in self._roster for row in client.session.rooms.values()]
        async for client, membership in paced(members, draining.seconds * _TELLING):
            if self._draining is not draining:
                return
            renews = membership.room in client.renewals and await self._allows(client, membership)
            if client.session.rooms.get(membership.room) is membership and self._roster.get(client.sid) is client:
                self._tell_of_drain(client, membership, draining, renews)

    def _tell_of_drain(self, client: Client, membership: Membership, draining: Draining, renews: bool) -> None:
        """A restart is asked for where it helps: of those who relay, and when there is another server."""
        room, sighting = membership.room, self._sightings.of(membership.turn_user)
        relays = sighting is not None and any(relay.ended is None for relay in sighting.relays)
        body: dict[str, Any] = {"restart": relays, "reason": "draining", "seconds": draining.seconds}
        if not self._policy().issuer.urls.without(draining.hosts, draining.ports).turn:
            last = "this is the only TURN server there is: calls through it go on until it stops"
            body |= {"restart": False, "message": last}
            if not relays:
                return
        elif renews:
            body |= webrtc(self.for_member(client, room, membership.turn_user, "push"))
        else:
            return
        client.deliver(server_frame("ice", to_json(body), room=room))
