from pathlib import Path

import pytest

from fairlead_cli.up.summary import Row, render, summarise
from tests.certificates import self_signed
from tests.fairlead_cli.kit import configure

MACHINE = ["127.0.0.1", "192.0.2.7", "2001:db8::7"]
KEY = "0123456789abcdef"


def rows(part: object) -> dict[str, list[str]]:
    """Lines by the word beside them; those without a word belong to the one above."""
    found: dict[str, list[str]] = {}
    assert isinstance(part, list)
    word = ""
    for row in part:
        assert isinstance(row, Row)
        word = row.word or word
        found.setdefault(word, []).extend(row.lines)
    return found


def test_every_endpoint_is_there(tmp_path: Path) -> None:
    summary = summarise(configure(tmp_path, f"signal_api: {{join_key: {KEY}}}"), MACHINE, ["/state/secret"])
    assert rows(summary.endpoints) == {
        "stun": ["stun:192.0.2.7:3479"],
        "turn": [
            "turn:192.0.2.7:3478?transport=udp",
            "turn:192.0.2.7:3478?transport=tcp",
            "also at [2001:db8::7], 127.0.0.1",
        ],
        "relayed": ["192.0.2.7:49152-65535", "[2001:db8::7]:49152-65535"],
        "page": [
            f"http://localhost:8080/#{KEY}",
            f"http://192.0.2.7:8080/#{KEY}",
            f"http://[2001:db8::7]:8080/#{KEY}",
        ],
        "api": ["http://localhost:8080/v1/openapi.json"],
        "metrics": [
            "http://127.0.0.1:9479/metrics  stund; also /readyz, /healthz",
            "http://127.0.0.1:9478/metrics  turnd; also /readyz, /healthz",
            "http://127.0.0.1:9480/metrics  signal_api; also /readyz, /healthz",
        ],
        "kept in": ["/state/secret"],
    }


def test_a_key_of_any_signs_stands_in_the_fragment(tmp_path: Path) -> None:
    summary = summarise(configure(tmp_path, "signal_api: {join_key: 'a+b/c= #%d01234567'}"), MACHINE)
    assert rows(summary.endpoints)["page"][0] == "http://localhost:8080/#a%2Bb%2Fc%3D%20%23%25d01234567"


def test_a_public_name_stands_for_all_addresses(tmp_path: Path) -> None:
    found = rows(summarise(configure(tmp_path, "public_host: turn.example.org"), MACHINE).endpoints)
    assert found["turn"] == ["turn:turn.example.org:3478?transport=udp", "turn:turn.example.org:3478?transport=tcp"]


def test_what_is_off_and_why(tmp_path: Path) -> None:
    off = rows(summarise(configure(tmp_path), MACHINE).off)
    assert off["turns:"] == ["no TLS certificate: set tls.certificate and tls.key"]
    assert set(off) >= {"https, wss", "camera", "public name"}


def test_what_is_on_is_not_off(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    text = f"tls: {{certificate: {files.certificate}, key: {files.key}}}\npublic_host: h\nturnd: {{engine: python}}"
    summary = summarise(configure(tmp_path, text), MACHINE)
    assert "turns:h:5349?transport=tcp" in rows(summary.endpoints)["turn"]
    assert not {"turns:", "public name", "native engine"} & set(rows(summary.off))


@pytest.mark.parametrize("config", [None, Path("f.yaml")])
def test_what_to_try_next_is_ready_to_paste(tmp_path: Path, config: Path | None) -> None:
    found = rows(summarise(configure(tmp_path), MACHINE, config=config).next_steps)
    option = " --config f.yaml" if config else ""
    assert found["a credential"] == [f"fairlead creds alice{option}"]
    assert found["the settings"] == [f"fairlead check{option}"]


def test_on_paper_it_has_columns_and_all_of_its_lines(tmp_path: Path) -> None:
    text = render(summarise(configure(tmp_path), MACHINE), 1.234).plain
    assert " is up after 1.2 s.\n" in text
    assert "\n  turn     turn:192.0.2.7:3478?transport=udp\n           turn:192.0.2.7:3478?transport=tcp\n" in text
    assert "Ctrl-C drains" in text
