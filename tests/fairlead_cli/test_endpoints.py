from pathlib import Path

import pytest

from fairlead_cli.endpoints import Uris, opened_uris, ops_addresses, page_urls, told_hosts, told_uris, unfitting_uris
from tests.certificates import self_signed
from tests.fairlead_cli.kit import configure

MACHINE = ["127.0.0.1", "::1", "192.0.2.7", "2001:db8::7"]


def test_the_defaults_of_the_daemons_fit_each_other(tmp_path: Path) -> None:
    found = configure(tmp_path)
    turn = ("turn:{host}:3478?transport=udp", "turn:{host}:3478?transport=tcp")
    assert opened_uris(found) == Uris(stun=("stun:{host}:3479",), turn=turn, turns=())
    assert unfitting_uris(found) == {}


def test_a_certificate_opens_turns(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    tls = f"tls: {{certificate: {files.certificate}, key: {files.key}}}\n"
    assert opened_uris(configure(tmp_path)).turns == ()
    assert opened_uris(configure(tmp_path, tls)).turns == ("turns:{host}:5349?transport=tcp",)
    moved = configure(tmp_path, tls + 'turnd: {listen_tls: ["tls://*:443"]}')
    assert unfitting_uris(moved) == {"turns": ("turns:{host}:443?transport=tcp",)}
    assert told_uris(configure(tmp_path)).turns == ()


def test_a_listener_with_an_address_is_told_by_it_unless_there_is_a_public_name(tmp_path: Path) -> None:
    listen = 'turnd: {listen: ["udp://[2001:db8::7]:3478", "tcp://0.0.0.0:3478"]}\n'
    assert opened_uris(configure(tmp_path, listen)).turn == (
        "turn:[2001:db8::7]:3478?transport=udp",
        "turn:{host}:3478?transport=tcp",
    )
    named = configure(tmp_path, listen + "public_host: turn.example.org")
    assert opened_uris(named).turn[0] == "turn:{host}:3478?transport=udp"


def test_a_port_that_the_system_chooses_cannot_be_told(tmp_path: Path) -> None:
    listen = 'turnd: {listen: ["udp://*:0", "tcp://*:0"]}\nstund: {listen: ["udp://*:0"]}'
    assert opened_uris(configure(tmp_path, listen)) == Uris((), (), ())


def test_stun_is_told_over_udp_alone(tmp_path: Path) -> None:
    """A stun: URI names no transport, and clients take it for UDP (RFC 7064 section 3.2)."""
    assert opened_uris(configure(tmp_path, 'stund: {listen: ["tcp://*:3479"]}')).stun == ()


def test_what_is_written_for_clients_is_what_they_are_told(tmp_path: Path) -> None:
    balanced = configure(tmp_path, 'signal_api: {ice: {turn: ["turn:lb.example.org:443?transport=tcp"]}}')
    assert told_uris(balanced).turn == ("turn:lb.example.org:443?transport=tcp",)
    assert told_uris(balanced).stun == ("stun:{host}:3479",)


def test_hosts_begin_with_what_others_can_reach(tmp_path: Path) -> None:
    assert told_hosts(configure(tmp_path), MACHINE) == ["192.0.2.7", "2001:db8::7", "127.0.0.1", "::1"]
    assert told_hosts(configure(tmp_path, "public_host: turn.example.org"), MACHINE) == ["turn.example.org"]


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", ["http://localhost:8080/", "http://192.0.2.7:8080/", "http://[2001:db8::7]:8080/"]),
        ('signal_api: {listen: "0.0.0.0:80"}', ["http://localhost:80/", "http://192.0.2.7:80/"]),
        ('signal_api: {listen: "192.0.2.7:80"}', ["http://192.0.2.7:80/"]),
        (
            'signal_api: {listen: "127.0.0.1:80"}\npublic_host: me.example.org',
            ["http://localhost:80/", "http://me.example.org:80/"],
        ),
    ],
)
def test_pages_begin_with_the_one_that_has_a_camera(tmp_path: Path, text: str, urls: list[str]) -> None:
    assert page_urls(configure(tmp_path, text), MACHINE) == urls


def test_an_ops_port_on_every_address_is_asked_over_loopback(tmp_path: Path) -> None:
    found = configure(tmp_path, "turnd: {ops: 0.0.0.0:1}\nsignal_api: {ops: '[::]:2'}\nstund: {ops: 192.0.2.7:3}")
    assert {name: str(ops) for name, ops in ops_addresses(found).items()} == {
        "stund": "192.0.2.7:3",
        "turnd": "127.0.0.1:1",
        "signal_api": "[::1]:2",
    }
