"""Who was let in and wants more: to be somebody else, to be heard elsewhere, to take over a session."""

import json

from tests.hostile.cases import attack
from tests.hostile.raw import Raw
from tests.hostile.target import Guest, Target
from tests.processes import JOIN_KEY


def _resumed(target: Target, **resume: object) -> dict[str, object]:
    """What a hello with this `resume` is welcomed by."""
    with Raw(target.place) as raw:
        assert raw.upgrade().status == 101
        raw.say("hello", data={"v": 1, "token": JOIN_KEY, "resume": {"after": 1} | resume})
        welcome: dict[str, object] = raw.hear("welcome")["data"]
        return welcome


def _session(guest: Guest) -> dict[str, object]:
    return {"sid": guest.welcome["sid"], "key": guest.welcome["key"]}


@attack("insider: a `from` and a `sid` of another")
def _spoofed(target: Target) -> None:
    with target.entered(room="spoof") as victim, target.entered(room="spoof") as guest:
        with target.entered(room="spoof") as witness:
            for kind, to in (("message", "*"), ("x.evil", witness.member), ("offer", witness.member)):
                lies = {"from": victim.member, "sid": victim.welcome["sid"], "seq": 1, "user": "root", "ts": 1}
                guest.raw.say(kind, room="spoof", to=to, data={"from": victim.member}, **lies)
                heard = witness.raw.hear(kind)
                assert heard["from"] == guest.member
                assert heard["ts"] != 1
                assert "sid" not in heard
                assert "user" not in heard
        assert guest.refusal("meta.set", room="spoof", data={"meta": 1, "room_meta": 1})["code"] == "forbidden"
        assert victim.is_well()


@attack("insider: leaves, kicks and describes for another")
def _proxy(target: Target) -> None:
    with target.entered(room="proxy") as victim, target.entered(room="proxy") as guest:
        guest.raw.say("leave", room="proxy", id="l", data={"member": victim.member, "sid": victim.welcome["sid"]})
        assert victim.raw.hear("member.left")["data"]["members"][0]["id"] == guest.member
        guest.join("proxy")
        for kind, data in (("kick", {"member": victim.member}), ("unban", {"user": "ann"})):
            assert guest.refusal(kind, room="proxy", data=data)["code"] == "forbidden"
        assert victim.is_well()


@attack("insider: speaks into rooms that it is not in, whether they are there or not")
def _foreign_room(target: Target) -> None:
    with target.entered(room="closed circle") as victim, target.entered(room="mine") as guest:
        for kind, data in (
            ("message", 1), ("x.a", 1), ("offer", {}), ("leave", {}), ("kick", {"member": victim.member}),
            ("unban", {"user": "a"}), ("meta.set", {"meta": 1}), ("report", {"outcome": "failed"}),
        ):  # fmt: skip
            there, nowhere = (
                guest.refusal(kind, room=room, to=[victim.member], data=data) for room in ("closed circle", "no circle")
            )
            assert there == nowhere, kind
            assert there["code"] == "room_not_found"
        assert victim.is_well()


@attack("insider: speaks to members of another room, whether they are there or not")
def _foreign_member(target: Target) -> None:
    with target.entered(room="theirs") as victim, target.entered(room="mine too") as guest:
        for kind in ("message", "offer"):
            refusals = [
                guest.refusal(kind, room="mine too", to=[to], data=1)
                for to in (victim.member, "m_nobody", victim.welcome["sid"])
            ]
            assert [refusal["code"] for refusal in refusals] == ["peer_not_found"] * 3
            texts = {
                json.dumps(refusal).replace(victim.member, "X").replace(victim.welcome["sid"], "X")
                for refusal in refusals
            }
            assert len({text.replace("m_nobody", "X") for text in texts}) == 1
        assert victim.is_well()


@attack("insider: rooms that its token does not name, whether they are there or not")
def _not_granted(target: Target) -> None:
    token = target.token(sig={"rooms": ["lobby-*"], "can": ["join", "publish"]})
    with target.entered(room="secret circle"), target.entered(token) as guest:
        refusals = [
            guest.refusal("join", room=room, data=data)
            for room in ("secret circle", "no such circle", "lobby", "Lobby-1", "lobby-\u200b*"[:5], "*")
            for data in ({}, {"password": "x"}, {"create": {"capacity": 9}})
        ]
        assert {json.dumps(refusal) for refusal in refusals} == {json.dumps(refusals[0])}
        assert refusals[0]["code"] == "forbidden"
        assert guest.refusal("join", room="lobby-1")["code"] == "room_not_found", "it may not open rooms"
        assert guest.refusal("message", room="lobby-1", to="*")["code"] == "room_not_found"


@attack("insider: guesses the key of a session, or that there is one")
def _guessed(target: Target) -> None:
    with target.entered() as victim:
        real, key = victim.welcome["sid"], victim.welcome["key"]
        guesses = ["", "x", key[:-1], key + "x", key.swapcase(), key[::-1], "\u0000", "*"]
        answers = [_resumed(target, sid=sid, key=guess) for sid in (real, "nobody") for guess in guesses]
        assert {(answer["resumed"], answer["reason"]) for answer in answers} == {(False, "unknown")}
        for method, path in (
            ("GET", "/v1/sessions/{}/events?wait=0"), ("POST", "/v1/sessions/{}/messages"),
            ("DELETE", "/v1/sessions/{}"), ("POST", "/v1/sessions/{}/close"), ("GET", "/v1/sessions/{}/relay"),
        ):  # fmt: skip
            for guess in [guess for guess in guesses if guess.isprintable()]:
                there, nowhere = (
                    target.ask(method, path.format(sid), b"{}", Authorization=f"Bearer {guess}")
                    for sid in (real, "N" * len(real))
                )
                assert there == nowhere, (path, guess)
                assert there.code in ("session_expired", "unauthorized")
        assert victim.is_well()


@attack("insider: credentials for the session of another, or for a room it is not in")
def _credentials(target: Target) -> None:
    def ask(sid: str, key: str, room: str) -> object:
        body = json.dumps({"sid": sid, "room": room}).encode()
        return target.ask("POST", "/v1/ice", body, Authorization=f"Bearer {key}")

    with target.entered(room="paid") as victim, target.entered() as guest:
        sid, key = victim.welcome["sid"], guest.welcome["key"]
        assert ask(sid, key, "paid") == ask("nobody", key, "paid")
        own = guest.welcome["sid"]
        assert ask(own, key, "paid") == ask(own, key, "no such room")


@attack("insider: goes on with a session by a stolen sid, or as another user")
def _taken_over(target: Target) -> None:
    with target.entered(target.token("ann")) as victim:
        with Raw(target.place) as raw:
            assert raw.upgrade().status == 101
            resume = {**_session(victim), "after": 1}
            raw.say("hello", data={"v": 1, "token": target.token("mallory"), "resume": resume})
            assert raw.closing().close_code == 4001
        assert victim.is_well()


@attack("insider: a resume that is said twice")
def _replayed(target: Target) -> None:
    """Whoever has the key has the session: the newest connection goes on, at no time there are two."""
    with target.entered(room="replay") as victim:
        session = _session(victim)
        with target.entered(room="replay") as other, Raw(target.place) as first, Raw(target.place) as second:
            for raw in (first, second):
                assert raw.upgrade().status == 101
                raw.say("hello", data={"v": 1, "token": JOIN_KEY, "resume": {**session, "after": 1}})
                assert raw.hear("welcome")["data"]["resumed"]
            assert victim.raw.closing().close_code == first.closing().close_code == 4009
            assert "key" not in json.dumps(other.joined)
            second.say("leave", room="replay", id="x")
            assert other.raw.hear("member.left")["data"]["members"][0]["id"] == victim.member
    assert not _resumed(target, **session, epoch="AAAAAAAA")["resumed"]


@attack("insider: a position that lies ahead, or in a log that never was")
def _position(target: Target) -> None:
    with target.entered() as victim:
        session = _session(victim)
    for after in (10**9, 2**63, "AAAAAAAA.1", "1.1.1", "\u0661.1"):
        answer = _resumed(target, **session, after=after)
        assert not answer["resumed"], after


@attack("insider: passwords, one after the other")
def _passwords(target: Target) -> None:
    """After a few the right one is refused as well, for a while."""
    token = target.token("guesser")
    with target.entered() as owner, target.entered(token) as guest:
        owner.join("vault", create={"password": "correct horse"})
        codes = [guest.refusal("join", room="vault", data={"password": f"guess {n}"})["code"] for n in range(6)]
        assert codes == ["wrong_password"] * 5 + ["rate_limited"]
        assert guest.refusal("join", room="vault", data={"password": "correct horse"})["code"] == "rate_limited"
        assert guest.refusal("join", room="vault")["code"] == "wrong_password"
        assert owner.is_well()


@attack("insider: PeerJS under the id of another")
def _peerjs_id(target: Target) -> None:
    ann, mallory = target.token("ann"), target.token("mallory")
    with Raw(target.place) as victim, Raw(target.place) as guest:
        assert victim.upgrade(f"/peerjs?key=peerjs&id=ann&token={ann}").status == 101
        assert b"OPEN" in victim.read().payload
        assert guest.upgrade(f"/peerjs?key=peerjs&id=ann&token={mallory}").status == 101
        assert b"ID-TAKEN" in guest.read().payload
        assert guest.closing().close_code == 4003
        with Raw(target.place) as witness:
            assert witness.upgrade(f"/peerjs?key=peerjs&id=mallory&token={mallory}").status == 101
            assert b"OPEN" in witness.read().payload
            witness.frame(1, b'{"type":"OFFER","src":"root","dst":"ann","payload":{"sdp":"x"}}')
            assert json.loads(victim.read().payload)["src"] == "mallory"
