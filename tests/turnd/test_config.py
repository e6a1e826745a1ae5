"""The section turnd: what may be written, and what is said about the rest."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.config import ConfigError, load
from turnd.config import TurndSettings


def settings(tmp_path: Path, section: dict[str, Any]) -> TurndSettings:
    path = tmp_path / "fairlead.yaml"
    path.write_text(yaml.safe_dump({"turnd": section}))
    return load(path, {}, "turnd", TurndSettings).section


def test_the_port_range_is_read_as_two_numbers(tmp_path: Path) -> None:
    assert settings(tmp_path, {"relay": {"ports": "50000-50199"}}).relay.port_range == (50000, 50199)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"relay": {"ports": "50199-50000"}}, "no range of ports; write it as FIRST-LAST"),
        ({"relay": {"ports": "1-70000"}}, "no range of ports"),
        ({"relay": {"ports": "0-100"}}, "no range of ports"),
        ({"relay": {"address": ["192.0.2.1", "192.0.2.2"]}}, "two addresses of one family"),
        ({"relay": {"address": ["relay.example"]}}, "relay.example"),
        ({"relay": {"address": ["0.0.0.0"]}}, "no single address; write one of this machine's"),
        ({"relay": {"advertise": ["ff02::1"]}}, "no single address"),
        ({"relay": {"address": ["::ffff:192.0.2.1"]}}, "an IPv4 address in another form; write 192.0.2.1"),
        ({"relay": {"advertise": ["fe80::1%eth0"]}}, "of this machine's link alone; write an address that clients"),
        ({"peers": {"allow": ["10.0.0.1/8"]}}, "bits behind its prefix are set; write 10.0.0.0/8"),
        ({"peers": {"allow": ["multicast"]}}, "never relayed to"),
        ({"peers": {"deny": ["everybody"]}}, "no class of addresses; write one of"),
        ({"lifetime": {"default": 0}}, "write 1 or more"),
        ({"lifetime": {"max": 4294967296}}, "too large; write 4294967295 or less"),
        (
            {"limits": {"buckets": 1 << 40}},
            "turnd.limits.buckets: '1099511627776' is too large; write 16777216 or less",
        ),
        ({"buffers": {"receive": 2147483648}}, "too large; write 1073741824 or less"),
        ({"buffers": {"listeners": 2147483648}}, "too large; write 1073741824 or less"),
        ({"threads": 0}, "turnd.threads: '0' is too small; write 1 or more"),
        ({"engine": "fast"}, "auto"),
        ({"expiry": "never"}, "allocate"),
        ({"listen": ["3478"]}, "write TRANSPORT://HOST:PORT"),
        ({"listen": ["dtls://*:3478"]}, "has no place here; write udp:// or tcp://"),
        ({"listen": ["tls://*:3478"]}, "has no place here; write udp:// or tcp://"),
        ({"listen_tls": ["tcp://*:5349"]}, "has no place here; write tls://"),
        ({"quotas": {"permissions": 0}}, "write 1 or more"),
        ({"quotas": {"bandwidth": {"user": {"burst": 1500}}}}, "write 65536 or more"),
    ],
)
def test_a_wrong_value_is_refused_with_a_remedy(tmp_path: Path, section: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings(tmp_path, section)


def test_a_default_lifetime_above_the_maximum_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="above the max of 60; raise max"):
        settings(tmp_path, {"lifetime": {"default": 600, "max": 60}})


def test_what_two_keys_say_together_is_placed_where_they_stand() -> None:
    environ = {"FAIRLEAD__TURND__ENGINE": "python", "FAIRLEAD__TURND__LIFETIME__DEFAULT": "7200"}
    with pytest.raises(
        ConfigError, match=r"^environment variable FAIRLEAD__TURND__LIFETIME__DEFAULT: turnd\.lifetime: "
    ):
        load(None, environ, "turnd", TurndSettings)
