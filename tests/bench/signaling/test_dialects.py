import json

import pytest

from bench.signaling.dialects import COUNT, SEEN, SENT, Centrifuge, Client, PeerJs, SigV1

_HOST = "127.0.0.1:1"


def _members(*names: str) -> bytes:
    members = [{"id": name} for name in names]
    return json.dumps({"type": "joined", "seq": 2, "data": {"members": members}}).encode()


def test_a_member_is_ready_when_it_knows_the_other() -> None:
    first, second = SigV1(_HOST, 7), SigV1(_HOST, 7)
    assert not first.hear(_members()).ready
    assert second.hear(_members("m_1")).ready
    assert first.hear(b'{"type":"member.joined","seq":3,"data":{"members":[{"id":"m_2"}]}}').ready
    frame = json.loads(first.frame())
    assert (frame["room"], frame["to"], frame["ack"], frame["data"]["sent"]) == ("room-7", "m_2", SEEN, SENT)
    assert first.hear(b'{"type":"ping"}').answer == b'{"type":"pong"}'


def test_peers_name_each_other() -> None:
    first, second = PeerJs(_HOST, 7, is_first=True), PeerJs(_HOST, 7, is_first=False)
    assert first.hear(b'{"type":"OPEN"}').ready
    message = json.loads(first.frame())
    assert message["dst"] in second.opening().url
    assert message["dst"] not in first.opening().url
    assert message["payload"]["candidate"]["sent"] == SENT


def test_a_client_of_centrifuge_listens_on_its_own_channel() -> None:
    first, second = Centrifuge(_HOST, 7, is_first=True), Centrifuge(_HOST, 7, is_first=False)
    (greeting,) = second.opening().greeting
    subscribed = json.loads(greeting.split(b"\n")[1])["subscribe"]["channel"]
    assert second.hear(b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{}}').ready
    frame = json.loads(first.frame())
    assert (frame["publish"]["channel"], frame["publish"]["data"]["sent"], frame["id"]) == (subscribed, SENT, COUNT)
    assert second.hear(b"{}").answer == b"{}"


@pytest.mark.parametrize(
    "client", [SigV1(_HOST, 1), PeerJs(_HOST, 1, is_first=True), Centrifuge(_HOST, 1, is_first=True)]
)
def test_all_send_frames_of_about_one_size(client: Client) -> None:
    assert 240 <= len(client.frame()) <= 420
