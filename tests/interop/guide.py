"""docs/guide/in-production.md, as whoever follows it reads it: its blocks, with other places in them."""

import re
import textwrap
from collections.abc import Mapping

from tests.architecture.house import ROOT

_TEXT = (ROOT / "docs/guide/in-production.md").read_text(encoding="utf-8")


def block(language: str, places: Mapping[str, str]) -> str:
    """The guide's one block of this language; each of `places` must stand in it, and is replaced."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", _TEXT, flags=re.MULTILINE | re.DOTALL)
    for written, meant in places.items():
        assert written in text, f"the guide says {written!r} no more"
        text = text.replace(written, meant)
    return textwrap.dedent(text)
