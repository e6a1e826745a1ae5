"""The Python client's example: two programs that run aiortc, and our servers between them."""

import os
import subprocess
import sys

from fairlead.datagram import Transport
from tests.architecture.house import ROOT
from tests.processes import JOIN_KEY, PATIENCE, Daemons

SDK = ROOT / "sdk" / "python"
EXAMPLE = SDK / "example" / "hello.py"


def test_the_example_says_hello_to_itself(daemons: Daemons) -> None:
    turnd = daemons.turnd()
    signal_api = daemons.signal_api(f"turn:{turnd.address(Transport.UDP)}?transport=udp").address("http")
    command = [sys.executable, str(EXAMPLE), f"http://{signal_api}", "kitchen", JOIN_KEY]
    environment = os.environ | {"PYTHONPATH": str(SDK)}
    programs = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        said = [program.communicate(timeout=PATIENCE) for program in programs]
    finally:
        for program in programs:
            program.kill()
    assert [(program.returncode, error) for program, (_, error) in zip(programs, said, strict=True)] == [(0, "")] * 2
    greetings = {output.strip() for output, _ in said}
    assert len(greetings) == 2
    assert all(greeting.startswith("hello from m_") for greeting in greetings)
    assert turnd.metrics().sum("turnd_allocations_opened_total") >= 2


def test_the_readme_shows_the_example_which_is_twenty_lines_of_code() -> None:
    example = EXAMPLE.read_text(encoding="utf-8")
    assert len([line for line in example.splitlines() if line]) <= 20
    assert example in (SDK / "README.md").read_text(encoding="utf-8")
