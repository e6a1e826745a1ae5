"""A session: what a client keeps while its connections come and go.

Every durable frame gets the next number of its session and stays in the log until the client has acknowledged it,
so that whoever comes back with the key and a position is either sent exactly what it missed, or told that it must
begin anew. There is never a replay with a hole.
"""

import base64
import enum
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from fairlead.clock import Entropy
from signal_api.protocol.authorization import Grants
from signal_api.protocol.messages import NULL, ServerFrame, server_frame, to_json
from signal_api.protocol.names import letters
from signal_api.protocol.rooms import UNSAID, Terms

LOG_FRAMES = 256
#: of tails: all frames of one type share their head
LOG_BYTES = 512 * 1024
#: ids of frames that took effect, and how long they are remembered (seconds)
REMEMBERED_IDS = 256
REMEMBERED_FOR = 120.0


class ResumeFailure(enum.StrEnum):
    """Why a client has to begin anew."""

    UNKNOWN = "unknown"
    EPOCH = "epoch"
    GAP = "gap"


class Entry(msgspec.Struct, frozen=True):
    """One frame of the log under its number."""

    seq: int
    frame: ServerFrame

    def encode(self) -> bytes:
        return self.frame.encode(self.seq)


class Position(NamedTuple):
    """How far a client has read: the log's epoch (None when it did not say) and the last number."""

    epoch: str | None
    seq: int


def parse_position(after: float | str, epoch: str | None = None) -> Position:
    """Reads an event id `<epoch>.<seq>`, or the plain number beside a separate epoch; raises ValueError."""
    if not isinstance(after, str):
        return Position(epoch, int(after))  # JSON knows no integers: 12.0 is 12, and some write it so.
    written, dot, number = after.rpartition(".")
    if not dot or not number.isascii() or not number.isdigit() or len(number) > 16:
        raise ValueError(f"{after[:64]!r} is no event id; it is written <epoch>.<seq>")
    return Position(written, int(number))


@dataclass(slots=True)
class Membership:
    """A room as its member remembers it, to come back as who it was; `present` until the room was told of its end.
    `turn_user` is the user id of its TURN credentials, `grants` what a token for this room alone allows. What held in
    the room is remembered for one that was left empty meanwhile, so that it does not come back without its password."""

    room: str
    member: str
    order: int | None
    meta: msgspec.Raw
    turn_user: str
    present: bool = True
    grants: Grants | None = None
    terms: Terms = UNSAID
    room_meta: msgspec.Raw = field(default_factory=lambda: NULL)


class _News(NamedTuple):
    kind: str
    room: str
    rseq: int
    member: bytes


class Session:
    """Numbering, log, replies and rooms of one client; `key_digest` is all that is kept of its key."""

    __slots__ = (
        "_certain",
        "_forgotten",
        "_log",
        "_log_bytes",
        "_renewed",
        "_replies",
        "epoch",
        "key_digest",
        "news",
        "rooms",
        "seq",
        "sid",
    )

    def __init__(self, sid: str, key_digest: bytes, epoch: str) -> None:
        self.sid = sid
        self.key_digest = key_digest
        self.epoch = epoch
        self.seq = 0
        self.rooms: dict[str, Membership] = {}
        self._renewed = False
        self._certain: int | None = None  # up to here the client has seen what we have, for all that is known
        self._log: list[Entry] = []  # numbers without gaps
        self._log_bytes = 0
        self._forgotten = 0  # highest number that the log has lost or trimmed
        self._replies: dict[str, tuple[float, ServerFrame]] = {}  # in the order of their times
        self.news: list[_News] = []  # membership events that wait for their number

    # The log

    @property
    def is_renewed(self) -> bool:
        """Whether this is not its first log."""
        return self._renewed

    @property
    def log(self) -> Sequence[Entry]:
        """What was not acknowledged, in the order of its numbers, which have no gap."""
        return self._log

    def continue_at(self, seq: int, log: Sequence[ServerFrame], is_renewed: bool, is_certain: bool) -> None:
        """Goes on from a log whose last number is `seq`. Unless that is certain, the client may have been sent more
        under the numbers that come next, and who has read so far has to begin anew."""
        self.seq, self._renewed = seq, is_renewed
        self._forgotten = seq - len(log)
        self._log = [Entry(self._forgotten + number, frame) for number, frame in enumerate(log, 1)]
        self._log_bytes = sum(len(frame.tail) for frame in log)
        self._certain = None if is_certain else seq

    def append(self, frame: ServerFrame) -> Entry:
        """Numbers a frame and keeps it; the oldest entries give way at the log's bounds."""
        self.seq += 1
        entry = Entry(self.seq, frame)
        self._log.append(entry)
        self._log_bytes += len(frame.tail)
        while len(self._log) > LOG_FRAMES or self._log_bytes > LOG_BYTES:
            self.acknowledge(self._forgotten + 1)
        return entry

    def acknowledge(self, seq: int) -> None:
        """The client has everything up to this number; a number that was never given is ignored."""
        if seq > self.seq:
            return
        while self._forgotten < seq:
            self._log_bytes -= len(self._log.pop(0).frame.tail)
            self._forgotten += 1

    def since(self, position: Position) -> list[Entry] | ResumeFailure:
        """What a client at this position has missed.

        Without an epoch the numbers mean the session's first log; once that is gone they mean nothing.
        """
        if self._renewed if position.epoch is None else position.epoch != self.epoch:
            return ResumeFailure.EPOCH
        certain, self._certain = self._certain, None
        if not self._forgotten <= position.seq <= (self.seq if certain is None else certain):
            return ResumeFailure.GAP
        return self._log[position.seq - self._forgotten :]

    def after(self, position: float | str, epoch: str | None = None) -> "list[Entry] | ResumeFailure":
        """As since, for a position as a client writes it, which acknowledges all before it."""
        try:
            read = parse_position(position, epoch)
        except ValueError:
            return ResumeFailure.EPOCH
        missed = self.since(read)
        if not isinstance(missed, ResumeFailure):
            self.acknowledge(read.seq)
        return missed

    def renew(self, epoch: str) -> None:
        """Begins an empty log under a new epoch; rooms and remembered replies stay."""
        self.epoch, self.seq, self._renewed, self._certain = epoch, 0, True, None
        self._log.clear()
        self._log_bytes = self._forgotten = 0
        self.news.clear()

    def holds(self, key: str) -> bool:
        """Whether this is the session's key; in constant time."""
        return hmac.compare_digest(digest(key), self.key_digest)

    # Replies to frames that took effect

    def remember(self, frame_id: str, reply: ServerFrame, now: float) -> None:
        """Keeps the reply that answers a repetition of the frame."""
        self._replies[frame_id] = (now, reply)
        while len(self._replies) > REMEMBERED_IDS:
            self._forget_oldest_reply()

    def remembered(self, frame_id: str, now: float) -> ServerFrame | None:
        """The reply to a frame that took effect already, None when this is its first time."""
        while self._replies and next(iter(self._replies.values()))[0] + REMEMBERED_FOR <= now:
            self._forget_oldest_reply()
        found = self._replies.get(frame_id)
        return found[1] if found else None

    def replies(self) -> Iterator[tuple[str, float, ServerFrame]]:
        """Ids of frames that took effect, when, and the replies."""
        return ((frame_id, at, reply) for frame_id, (at, reply) in self._replies.items())

    def _forget_oldest_reply(self) -> None:
        del self._replies[next(iter(self._replies))]

    # Membership news, gathered for a moment

    def gather(self, kind: str, room: str, rseq: int, member: bytes) -> bool:
        """Keeps an event for the next flush; True when it is the first, so that a flush is due."""
        self.news.append(_News(kind, room, rseq, member))
        return len(self.news) == 1

    def flush(self) -> list[Entry]:
        """Numbers the gathered events: one frame for each run of one kind in one room.

        Due some 50 ms after the first, and before any other frame of the session, which might be about them.
        """
        runs: list[list[_News]] = []
        for news in self.news:
            if runs and runs[-1][0].kind == news.kind and runs[-1][0].room == news.room:
                runs[-1].append(news)
            else:
                runs.append([news])
        self.news.clear()
        return [self.append(_news_frame(run)) for run in runs]


def _news_frame(run: list[_News]) -> ServerFrame:
    last = run[-1]
    data = b'{"room":%b,"rseq":%d,"members":[%b]}' % (
        to_json(last.room),
        last.rseq,
        b",".join(news.member for news in run),
    )
    return server_frame(last.kind, data, room=last.room)


class NewSession(NamedTuple):
    """A session and the key that only its client is told."""

    session: Session
    key: str


def new_session(entropy: Entropy) -> NewSession:
    """A session of its own; the key is worth 256 bits."""
    key = base64.urlsafe_b64encode(entropy(32)).rstrip(b"=").decode()
    return NewSession(Session(f"s_{name(entropy, 16)}", digest(key), new_epoch(entropy)), key)


def new_epoch(entropy: Entropy) -> str:
    """8 characters that name one log of one session."""
    return name(entropy, 8)


def name(entropy: Entropy, length: int) -> str:
    """So many random characters, each worth 5 bits."""
    return letters(entropy(length))


def digest(key: str) -> bytes:
    """What is kept of a key; the key itself is long and random, so nothing slower is needed."""
    return hashlib.sha256(key.encode()).digest()
