"""The section signal_api: what is refused, where, and what to write instead."""

import json

import pytest

from fairlead.config import ConfigError
from signal_api.webhooks import Endpoint
from tests.signal_api.worlds import SIGNING_KEY, configured


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("listen", "8080", "HOST:PORT"),
        ("listen", "localhost:8080", "is no IP address"),
        ("origins", ["https://app.example/"], "without a path or a star"),
        ("origins", ["*"], "is no origin"),
        ("alternatives", ["b.example"], "is no origin"),
        ("alternatives", ["https://b.example"] * 17, "too many entries; write 16 or fewer"),
        ("hosts", ["https://signal.example"], "without scheme and port"),
        ("hosts", ["signal.example:8080"], "without scheme and port"),
        ("join_key", "short", "16 printable ASCII characters or more"),
        ("join_key", "a space at the end ", "printable ASCII"),
        ("join_key", "ключ" * 8, "printable ASCII"),
        ("trusted_proxies", ["proxy.example"], "is no IP address or network"),
        ("ice__stun", ["turn:{host}:3478"], "write stun:{host}:PORT"),
        ("ice__turn", ["turns:{host}:5349"], "write turn:{host}:PORT"),
        ("ice__turn", ["turn:{host}:3478, stun:evil"], "is no URI of this kind"),
        ("jwt__keys", [{"id": "k", "algorithm": "none", "key": SIGNING_KEY}], "is not known"),
        ("jwt__keys", [{"id": "k", "algorithm": "HS256", "key": "short"}], "at least 32 bytes"),
        ("jwt__keys", [{"id": "k", "algorithm": "RS256", "key": SIGNING_KEY}], "public key in PEM"),
        ("jwt__keys", [{"id": "k", "algorithm": "HS256", "key": SIGNING_KEY}] * 2, "stands twice"),
        ("jwt__keys", [], "no token could be accepted"),
        ("webhooks", [{"url": "app.example/hook", "secret": SIGNING_KEY}], "write https://HOST/PATH"),
        ("webhooks", [{"url": "ftp://app.example/hook", "secret": SIGNING_KEY}], "write https://HOST/PATH"),
        ("webhooks", [{"url": "https://app.example/", "secret": "short"}], "16 bytes or more"),
        ("webhooks", [{"url": "https://app.example/", "secret": "whsec_short!"}], "is not base64"),
        ("webhooks", [{"url": "https://app.example/", "secret": SIGNING_KEY, "events": ["rain"]}], "is not known"),
        ("fence", "barbed", "is not known"),
        ("limits__sessions", 0, "is too small"),
        ("limits__frames", 1, "unknown key"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(key: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(**{key: value})
    (problem,) = caught.value.problems
    assert said in str(problem)
    assert "short" not in str(problem).replace("too short", ""), "a secret is not quoted"


def test_what_can_be() -> None:
    section = configured(
        listen="*:0",
        origins=["https://app.example", "http://localhost:3000"],
        hosts=["Signal.Example"],
        trusted_proxies=["127.0.0.1", "10.0.0.0/8"],
        ice__turns=["turns:{host}:443?transport=tcp"],
    ).section
    assert section.listener.host == "*"
    assert section.hosts == ("signal.example",)
    assert section.ops_address.port == 0


def test_defaults() -> None:
    section = configured(listen=None, ops=None).section
    assert (section.listen, section.ops) == ("*:8080", "127.0.0.1:9480")
    assert not section.demo
    assert json.loads(section.limits.model_dump_json())["frame_bytes"] == 65536


def test_a_webhook_is_an_endpoint() -> None:
    hook = {"url": "https://app.example/hook", "secret": "whsec_" + "QUJD" * 8, "events": ["quota"]}
    (webhook,) = configured(webhooks=[hook]).section.webhooks
    assert webhook.endpoint() == Endpoint("https://app.example/hook", b"ABC" * 8, frozenset({"quota"}))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"engine__kind": "redis"}, "url is not set"),
        ({"engine__url": "http://127.0.0.1"}, "no URL of Redis"),
        ({"engine__url": "redis://:pass/word@127.0.0.1:6379/0"}, "no URL of Redis"),
        ({"engine__prefix": "a:b"}, "engine.prefix"),
        ({"workers": 2}, "set engine.kind to redis"),
        ({"workers": 0}, "workers"),
    ],
)
def test_what_no_engine_can_be(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(**keys)
    assert said in str(caught.value.problems[0])
