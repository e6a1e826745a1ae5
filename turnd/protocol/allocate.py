"""Allocate (RFC 8656 section 7).

The reply waits for the world: allocate() asks for a relay socket, and only when the shell has bound it does the
client hear of success. A port that another program holds costs one more try, not the request.
"""

from fairlead.datagram import Address, Family
from fairlead.stun.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    DONT_FRAGMENT,
    EVEN_PORT,
    LIFETIME,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    UDP,
    XOR_MAPPED_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from fairlead.stun.message import Message
from turnd.protocol.allocations import Allocation, RelaySocket, Reservation
from turnd.protocol.effects import (
    Allocated,
    AttachClient,
    CloseRelaySocket,
    Effect,
    Limit,
    OpenRelaySocket,
    Send,
    SetDeadline,
)
from turnd.protocol.lifetimes import granted_lifetime
from turnd.protocol.openings import MOST_OTHERS, Opening
from turnd.protocol.outcome import Outcome, conclude
from turnd.protocol.quotas import Claim, QuotaScope
from turnd.protocol.replies import Refusal, Request, Values, success
from turnd.protocol.state import State
from turnd.routes import RelayId

#: Seconds that a reserved port waits for its second allocation (RFC 8656 section 7.2 asks for at least 30).
RESERVATION_LIFETIME = 30.0
RESERVATION_TOKEN_LENGTH = 8


def allocate(state: State, request: Request) -> Outcome:
    """The steps of RFC 8656 section 7.2, in its order. Step 1, authentication, is behind us."""
    message = request.message

    # 2. The 5-tuple is free; a retransmission gets the reply of its original (RFC 8489 section 6.3.1).
    existing = state.allocations.by_five_tuple.get(request.datagram.five_tuple)
    if existing is not None:
        if existing.transaction_id == message.transaction_id and existing.account.username == request.account.username:
            return (Send(request.datagram.via, request.datagram.five_tuple, existing.reply),)
        return Refusal(437, "this 5-tuple has an allocation already")

    # 3. REQUESTED-TRANSPORT is there and names UDP.
    transport = message.first(REQUESTED_TRANSPORT)
    if transport is None:
        return Refusal(400, "REQUESTED-TRANSPORT is missing")
    if transport != UDP:
        return Refusal(442, f"relaying over protocol {transport} is not offered; UDP (17) is")

    # 4. DONT-FRAGMENT is understood by every engine. That it can be read is seen here, and the same of LIFETIME:
    #    behind this point ports and sockets are taken.
    message.first(DONT_FRAGMENT)
    lifetime = granted_lifetime(state.settings, message.first(LIFETIME), request.account, request.now)

    # 5, 6, 8, 9. What excludes each other does not stand together. No new work while draining.
    contradiction = _contradiction(message)
    if contradiction is not None:
        return contradiction
    token = message.first(RESERVATION_TOKEN)
    if state.draining:
        return Refusal(508, "this server is draining")
    if token is not None:
        return _claim_reservation(state, request, token, lifetime)

    # ADDITIONAL-ADDRESS-FAMILY is not offered, and its type allows to ignore it.
    # 7. REQUESTED-ADDRESS-FAMILY names a family that we relay; without it, IPv4.
    family = _requested_family(state, message)
    if isinstance(family, Refusal):
        return family

    # 8. EVEN-PORT wants an even port, and with its R bit set the next one too. 10. Quotas.
    even = message.first(EVEN_PORT)
    opening = Opening(request, lifetime, family, even is not None, bool(even))
    return _claim_quota(state, opening) or _open_sockets(state, opening)


def _contradiction(message: Message) -> Refusal | None:
    """A RESERVATION-TOKEN has chosen the port already. ADDITIONAL-ADDRESS-FAMILY asks for IPv6 beside the IPv4 that is
    given without a word, so that it stands alone, and reserves nothing."""
    additional = message.first(ADDITIONAL_ADDRESS_FAMILY)
    if message.has(RESERVATION_TOKEN):
        for each in (EVEN_PORT, REQUESTED_ADDRESS_FAMILY, ADDITIONAL_ADDRESS_FAMILY):
            if message.has(each):
                return Refusal(400, f"RESERVATION-TOKEN stands beside {each.name}")
    if additional is None:
        return None
    if message.has(REQUESTED_ADDRESS_FAMILY):
        return Refusal(400, "ADDITIONAL-ADDRESS-FAMILY stands beside REQUESTED-ADDRESS-FAMILY")
    if message.first(EVEN_PORT):
        return Refusal(400, "ADDITIONAL-ADDRESS-FAMILY stands beside an EVEN-PORT that reserves the next port")
    if additional != Family.IPV6:
        return Refusal(400, "ADDITIONAL-ADDRESS-FAMILY is IPv6 (2), or it is none")
    return None


def _requested_family(state: State, message: Message) -> Family | Refusal:
    code = message.first(REQUESTED_ADDRESS_FAMILY)
    wanted = Family.IPV4 if code is None else code
    for family in state.settings.hosts:
        if family == wanted:
            return family
    return Refusal(440, f"no relay address of family {wanted}; see relay.address")


def _claim_quota(state: State, opening: Opening) -> Refusal | None:
    """One claim for each port that will be taken: a reserved port is used as much as an allocated one."""
    request = opening.request
    if _rests_too_much(state, opening):
        state.counters.quota_rejections[QuotaScope.USER] += 1
        return Refusal(486, "too many ports that this user has given back still rest; see relay.port_hold")
    for _ in range(1 + opening.reserve_next):
        claim = state.quotas.claim(request.account.user_id, request.datagram.five_tuple.client.host, request.now)
        if isinstance(claim, QuotaScope):
            _release_claims(state, opening)
            state.counters.quota_rejections[claim] += 1
            return Refusal(486, f"quota {claim} is used up")
        opening.claims.append(claim)
    return None


def _rests_too_much(state: State, opening: Opening) -> bool:
    """Whether the user has given back as many ports as may rest: one credential does not empty the pool by turns."""
    request = opening.request
    held = state.ports[opening.family].held_of(request.account.user_id, request.now)
    return held >= state.quotas.limits.resting_per_user


def _release_claims(state: State, opening: Opening) -> None:
    for claim in opening.claims:
        state.quotas.release(claim)


def _open_sockets(state: State, opening: Opening) -> Outcome:
    pool = state.ports[opening.family]
    now = opening.request.now
    if opening.even:
        port = pool.take_even(state.entropy, now, with_next=opening.reserve_next)
    else:
        port = pool.take(state.entropy, now)
    if port is None:
        return _give_up(state, opening, "no relay port is free; widen relay.ports")
    host = state.settings.hosts[opening.family].bound
    opening.waiting = [
        RelaySocket(state.allocations.new_relay_id(), Address(host, port + step))
        for step in range(1 + opening.reserve_next)
    ]
    return _open_next(state, opening)


def _open_next(state: State, opening: Opening) -> tuple[Effect, ...]:
    socket = opening.waiting[0]
    state.openings[socket.id] = opening
    return (OpenRelaySocket(socket.id, socket.address),)


def _give_up(state: State, opening: Opening, why: str) -> Refusal:
    _release_claims(state, opening)
    return Refusal(508, why)


def relay_socket_opened(state: State, relay: RelayId) -> tuple[Effect, ...]:
    """The shell has bound a socket: ask for the next, or tell the client."""
    opening = state.openings.pop(relay)
    opening.opened.append(opening.waiting.pop(0))
    if opening.waiting:
        return _open_next(state, opening)
    return conclude(state, opening.request, _finish(state, opening))


def relay_socket_failed(state: State, relay: RelayId, in_use: bool, problem: str) -> tuple[Effect, ...]:
    """The shell could not bind, the system says why: another port when somebody else has this one, else 508."""
    opening = state.openings.pop(relay)
    pool = state.ports[opening.family]
    now, user_id = opening.request.now, opening.request.account.user_id
    failed = opening.waiting.pop(0).address.port
    if in_use:
        pool.foreign(failed, now)
    else:
        pool.give_back(failed)
    closing = tuple(CloseRelaySocket(socket.id) for socket in opening.opened)
    for socket in opening.opened:
        pool.release(socket.address.port, user_id, now)
    for socket in opening.waiting:
        pool.give_back(socket.address.port)
    opening.opened.clear()
    if in_use and opening.others:
        opening.others -= 1
        outcome = _open_sockets(state, opening)
    elif in_use:
        outcome = _give_up(state, opening, f"{1 + MOST_OTHERS} relay ports in a row are used by other programs")
    else:
        why = f"the machine gives no socket: {problem}; see relay.address, and its limit of open files"
        outcome = _give_up(state, opening, why)
    return closing + conclude(state, opening.request, outcome)


def _finish(state: State, opening: Opening) -> tuple[Effect, ...]:
    relay, *reserved = opening.opened
    claim, *reserved_claim = opening.claims
    request = opening.request
    if not reserved:
        return _create(state, request, relay, claim, opening.lifetime)
    token = state.entropy(RESERVATION_TOKEN_LENGTH)
    reservation = Reservation(token, reserved[0], request.account.user_id, reserved_claim[0])
    state.allocations.reserve(reservation, request.now.monotonic + RESERVATION_LIFETIME)
    return _create(state, request, relay, claim, opening.lifetime, ((RESERVATION_TOKEN, token),))


def _claim_reservation(state: State, request: Request, token: bytes, lifetime: int) -> Outcome:
    """The reserved port becomes an allocation, and its quota claim goes with it."""
    reservation = state.allocations.reservations.get(token)
    if reservation is None or reservation.user_id != request.account.user_id:
        return Refusal(508, "no such reservation; it waits 30 s for its own user")
    state.allocations.unreserve(token)
    return _create(state, request, reservation.relay, reservation.claim, lifetime)


def _create(
    state: State, request: Request, relay: RelaySocket, claim: Claim, lifetime: int, extra: Values = ()
) -> tuple[Effect, ...]:
    """The allocation comes alive: the engine learns whose socket it is before the client learns where it is."""
    allocations = state.allocations
    datagram, now = request.datagram, request.now
    told = state.told(relay.address)
    reply = success(
        request,
        (
            (XOR_RELAYED_ADDRESS, told),
            (LIFETIME, lifetime),
            *extra,
            (XOR_MAPPED_ADDRESS, datagram.five_tuple.client),
        ),
    )
    allocation = Allocation(
        id=allocations.new_id(),
        five_tuple=datagram.five_tuple,
        via=datagram.via,
        account=request.account,
        claim=claim,
        relay=relay,
        transaction_id=request.message.transaction_id,
        reply=reply.data,
        created=now.monotonic,
        expires=now.monotonic + lifetime,
    )
    allocations.add(allocation)
    state.counters.allocations_opened[datagram.five_tuple.transport] += 1
    bandwidth = state.settings.bandwidth
    limits = (Limit(relay.id, request.account.user_id, bandwidth),) if bandwidth.is_limit else ()
    return (
        *limits,
        AttachClient(relay.id, datagram.five_tuple, datagram.via),
        SetDeadline(relay.id, allocation.expires),
        reply,
        Allocated(allocation.id, request.account.username, datagram.five_tuple, datagram.via, told),
    )
