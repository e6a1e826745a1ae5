"""The AsyncAPI document: every frame that is understood or sent is in it, and real frames fit their schemas."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

import signal_api
from signal_api.asyncapi import FROM_CLIENT, FROM_SERVER, asyncapi
from signal_api.node.verbs import AT_ONCE, HANDLERS
from tests.signal_api.service import Service
from tests.signal_api.socketless import Node

_SENT = re.compile(r"""server_frame\(\s*"([a-z.]+)\"""")


def validator(name: str) -> Any:
    document = asyncapi()
    schema = {"$ref": f"#/components/messages/{name}/payload", "components": document["components"]}
    return jsonschema_rs.validator_for(schema)


def test_what_is_handled_is_described() -> None:
    assert set(FROM_CLIENT) == {*HANDLERS, *AT_ONCE}


def test_what_is_sent_is_described() -> None:
    """Membership news are sent by their kind, and what members say by its type; those the next test sees."""
    sources = Path(signal_api.__file__).parent.rglob("*.py")
    sent = {kind for path in sources for kind in _SENT.findall(path.read_text(encoding="utf-8"))}
    assert sent <= set(FROM_SERVER)
    assert len(sent) > 10


async def test_what_clients_hear_fits_its_schema() -> None:
    node = Node()
    first, second = await node.enter(), await node.enter()
    await first.join("r", meta={"name": "a"}, create={"meta": {"topic": 1}})
    joined = await second.join("r")
    await second.say("offer", room="r", to=joined["members"][0]["id"], data={"type": "offer", "sdp": "v=0"}, id="o")
    await second.say("meta.set", room="r", data={"meta": {"hand": "up"}})
    await first.say("message", room="elsewhere", to="*", id="no")
    await second.say("leave", room="r", data={"room": "r"}, id="l")
    await node.pass_time(1)
    heard = [*first.line.frames, *second.line.frames]
    assert {"welcome", "joined", "member.joined", "member.left", "member.updated", "offer", "ok", "error"} <= {
        frame["type"] for frame in heard
    }
    for frame in heard:
        validator(f"server.{frame['type']}").validate(frame)


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("client.join", {"type": "join", "id": "1", "data": {"room": "r", "create": {"capacity": 2, "meta": [1]}}}),
        ("client.hello", {"type": "hello", "data": {"v": 1, "rooms": ["r"]}}),
        ("client.candidate", {"type": "candidate", "room": "r", "to": ["m_1"], "data": None}),
        ("client.message", {"type": "message", "room": "r", "to": {"user": "u"}, "ack": 4, "data": "text"}),
    ],
)
def test_what_clients_say_fits_its_schema(name: str, frame: dict[str, Any]) -> None:
    validator(name).validate(frame)
    with pytest.raises(jsonschema_rs.ValidationError):
        validator(name).validate(frame | {"id": "x" * 65})


async def test_it_is_served_and_every_reference_leads_somewhere() -> None:
    async with Service() as service:
        reply = await service.http.get("/v1/asyncapi.json")
    document = reply.json()
    assert (reply.status_code, document["asyncapi"]) == (200, "3.0.0")
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        node = document
        for part in reference.split("/"):
            node = node[part]
