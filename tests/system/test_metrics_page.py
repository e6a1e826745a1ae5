"""docs/reference/metrics.md has every family that the daemons expose, in their words."""

import os

from fairlead.reasons import Reason
from tests.architecture.house import ROOT
from tests.processes import Daemons
from tests.redis_server import RedisServer
from tests.system.metrics_page import REASONS, named_in_head, page

_PAGE = ROOT / "docs/reference/metrics.md"


def test_the_page_says_what_the_daemons_say(daemons: Daemons, redis_server: RedisServer) -> None:
    engine = {"engine": {"kind": "redis", "url": redis_server.url}}
    started = {"turnd": daemons.turnd(), "stund": daemons.stund(), "signal-api": daemons.signal_api(own=engine)}
    text = page({name: daemon.get("/metrics")[1] for name, daemon in started.items()})
    if os.environ.get("FAIRLEAD_WRITE"):
        _PAGE.write_text(text, encoding="utf-8")
    assert _PAGE.read_text(encoding="utf-8") == text, "FAIRLEAD_WRITE=1 writes it anew"
    assert not {name for name in named_in_head() if f"`{name}`" not in text}


def test_every_reason_is_explained() -> None:
    assert list(REASONS) == list(Reason)
