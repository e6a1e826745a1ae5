from pathlib import Path

import pytest

from fairlead_cli.check.occupancy import all_claims, find_occupancy
from tests.certificates import self_signed
from tests.fairlead_cli.kit import configure

MACHINE = ["127.0.0.1", "::1", "192.0.2.7"]


def told(folder: Path, text: str) -> list[str]:
    """The findings about ports, without the place; a ! before what is fatal."""
    findings = find_occupancy(configure(folder, text), MACHINE)
    return [f"{'!' * finding.fatal}{str(finding.problem).partition(': ')[2]}" for finding in findings]


def test_the_defaults_do_not_meet(tmp_path: Path) -> None:
    assert told(tmp_path, "") == []


def test_tls_listeners_count_where_there_is_a_certificate(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    keys = [claim.key for claim in all_claims(configure(tmp_path))]
    assert ("turnd", "listen_tls", 0) not in keys
    served = configure(tmp_path, f"tls: {{certificate: {files.certificate}, key: {files.key}}}")
    assert ("turnd", "listen_tls", 0) in [claim.key for claim in all_claims(served)]


def test_two_daemons_on_one_port(tmp_path: Path) -> None:
    assert told(tmp_path, 'stund: {listen: ["udp://*:3478"]}\nsignal_api: {ice: {stun: []}}') == [
        "!turnd.listen[0]: udp://*:3478 is wanted by udp://*:3478 (stund.listen[0]) as well; "
        "write another port in one of the two"
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('turnd: {listen: ["tcp://192.0.2.7:8080", "udp://*:3478", "tcp://*:3478"]}', "signal_api.listen"),
        ("turnd: {ops: '127.0.0.1:9480'}", "signal_api.ops"),
        ("signal_api: {ops: '127.0.0.1:8080'}", "signal_api.ops"),
        ("stund: {ops: '[::]:8080'}", "signal_api.listen"),
    ],
)
def test_every_kind_of_listener_is_compared(tmp_path: Path, text: str, key: str) -> None:
    (finding,) = [row for row in told(tmp_path, text) if row.startswith("!")]
    assert finding.startswith(f"!{key}: ")


@pytest.mark.parametrize(
    "text",
    [
        "stund: {ops: '0.0.0.0:9000'}\nturnd: {ops: '[::]:9000'}",  # each family has its ports to itself
        "stund: {ops: '127.0.0.1:9000'}\nturnd: {ops: '127.0.0.2:9000'}",
        "stund: {ops: '127.0.0.1:0'}\nturnd: {ops: '127.0.0.1:0'}",
        "turnd: {ops: '127.0.0.1:3479'}\nstund: {listen: ['udp://*:3479']}",  # UDP and TCP do not meet
        "turnd: {listen: ['udp://*:3478', 'udp://*:3478', 'tcp://*:3478']}",  # is opened once
    ],
)
def test_what_does_not_meet_is_not_told(tmp_path: Path, text: str) -> None:
    assert told(tmp_path, text) == []


def test_a_listener_among_the_relayed_ports(tmp_path: Path) -> None:
    config = "turnd: {relay: {ports: 3000-4000}}"
    assert [row.partition(" lies in ")[0] for row in told(tmp_path, config)] == [
        "stund.listen[0]: udp://*:3479",
        "turnd.listen[0]: udp://*:3478",
    ]
    elsewhere = 'stund: {listen: []}\nturnd: {listen: ["udp://127.0.0.1:3478"], relay: {ports: 3000-4000}}'
    ice = "\nsignal_api: {ice: {turn: [], stun: []}}"
    assert told(tmp_path, elsewhere + ice) == [], "what is relayed is bound to 192.0.2.7"


def test_a_port_that_clients_are_told_and_nobody_opens(tmp_path: Path) -> None:
    (finding,) = told(tmp_path, "turnd:\n  listen: ['udp://*:4000']\n")
    assert finding == (
        "signal_api.ice.turn: clients would be told ports that nobody opens; "
        "write [turn:{host}:4000?transport=udp] (`fairlead up` does so by itself)"
    )


def test_an_advertised_address_without_a_bound_one(tmp_path: Path) -> None:
    (finding,) = told(tmp_path, "turnd: {relay: {address: [192.0.2.7], advertise: ['2001:db8::1']}}")
    assert finding.startswith("!turnd.relay.advertise: 2001:db8::1 is advertised, but")
