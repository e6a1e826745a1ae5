"""`python -m fuzz.coverage TARGET ...`: one Python target under atheris; what follows the name is libFuzzer's."""

import sys

import atheris

with atheris.instrument_imports(include=["fairlead.stun", "turnd.protocol", "signal_api.protocol.messages"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    program, name, *arguments = sys.argv
    atheris.Setup([program, *arguments], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
