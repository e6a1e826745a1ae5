from typing import Any

import pytest
from pydantic import ValidationError

from fairlead.stun.binding import BindingSettings
from stund.config import StundSettings
from stund.responder import ResponderSettings


def test_the_ports_that_are_stunds_by_default() -> None:
    settings = StundSettings()
    assert [str(listener) for listener in settings.listen] == ["udp://*:3479", "tcp://*:3479"]
    assert [str(listener) for listener in settings.listen_tls] == ["tls://*:5350"]
    assert settings.ops == "127.0.0.1:9479"


def test_replies_are_the_least_by_default() -> None:
    assert StundSettings().responder == ResponderSettings(BindingSettings(None, False), False)
    generous = StundSettings(software="x", mapped_address=True, classic=True)
    assert generous.responder == ResponderSettings(BindingSettings("x", True), True)


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        ({"listen": ["tls://*:1"]}, "tls://*:1 has no place here; write udp:// or tcp://"),
        ({"listen_tls": ["tcp://*:1"]}, "tcp://*:1 has no place here; write tls://"),
        ({"software": "ä" * 65}, "more than 128 bytes; every reply would carry them"),
        ({"streams": {"idle": 0}}, "greater than 0"),
        ({"buffers": {"receive": -1}}, "greater than or equal to 0"),
    ],
)
def test_what_makes_no_sense_is_refused(section: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as caught:
        StundSettings.model_validate(section)
    assert wrong in str(caught.value)
