"""What was relayed for a room, and how its calls went: turnd's books and the clients' reports, member by member."""

from collections.abc import Sequence

import msgspec

from fairlead.link import Traffic
from signal_api.protocol.rooms import Member, Room
from signal_api.relay.reports import Report, explain
from signal_api.relay.sightings import Rejection, Relay, Sightings


class Outcome(msgspec.Struct, frozen=True):
    """A client's report, and what is to be made of it."""

    report: Report
    why: str


class MemberStats(msgspec.Struct, frozen=True):
    """Of one membership; `traffic` is the sum over its relays, as far as they are remembered."""

    member: str
    user: str | None
    traffic: Traffic
    relays: tuple[Relay, ...]
    rejections: tuple[Rejection, ...]
    outcomes: tuple[Outcome, ...]


class RoomStats(msgspec.Struct, frozen=True):
    """`linked` is whether turnd can be heard: without it, nothing seen means nothing."""

    room: str
    linked: bool
    traffic: Traffic
    members: tuple[MemberStats, ...]


def room_stats(room: Room, sightings: Sightings, told: Sequence[Sequence[Report]]) -> RoomStats:
    """Of those who are in the room now; what each of them has reported is in `told`."""
    linked = sightings.is_linked()
    members = tuple(
        _member_stats(member, sightings, reports) for member, reports in zip(room.members.values(), told, strict=True)
    )
    return RoomStats(room.name, linked, total([member.traffic for member in members]), members)


def _member_stats(member: Member, sightings: Sightings, reports: Sequence[Report]) -> MemberStats:
    sighting = sightings.of(member.turn_user)
    relays, rejections = (tuple(sighting.relays), tuple(sighting.rejections)) if sighting is not None else ((), ())
    linked = sightings.is_linked()
    outcomes = tuple(Outcome(report, explain(report, sighting, linked)) for report in reports)
    traffic = total([relay.traffic for relay in relays])
    return MemberStats(member.id, member.user, traffic, relays, rejections, outcomes)


def total(flows: Sequence[Traffic]) -> Traffic:
    """The sum of what several have relayed."""
    return Traffic(
        sum(flow.packets_to_peer for flow in flows),
        sum(flow.bytes_to_peer for flow in flows),
        sum(flow.packets_to_client for flow in flows),
        sum(flow.bytes_to_client for flow in flows),
    )
