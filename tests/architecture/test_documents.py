"""What the Markdown refers to is there, and decisions have one form and an index."""

import re
from pathlib import Path

import pytest

from tests.architecture.house import ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("sdk/*/README.md")]
DECISIONS = sorted(ROOT.glob("docs/decisions/0*.md"))
_INDEX = ROOT / "docs/decisions/README.md"
#: a path of this repository in code marks: from one of its folders, with a suffix or a slash at its end
_FOLDERS = "fairlead|fairlead_cli|stund|turnd|signal_api|deploy|docs|native|bench|tests|sdk|tools|fuzz"
_PATH = re.compile(rf"`((?:{_FOLDERS})/[\w./-]*(?:\.(?:py|rs|md|yaml|c)|/))`")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = [ROOT / path for path in _PATH.findall(text)]
    linked = [document.parent / path for path in _LINK.findall(text)]
    assert not [str(path) for path in (*named, *linked) if not path.exists()]


def test_decisions_are_numbered_and_dated_and_indexed() -> None:
    titles = []
    for path in DECISIONS:
        found = re.match(r"# (\d+)\. (\S.*)\n\nAccepted, \d{4}-\d{2}-\d{2}\.", path.read_text(encoding="utf-8"))
        assert found, f"{path.name}: # NUMBER. Title, an empty line, Accepted, DATE."
        assert f"{int(found[1]):04}" == path.name[:4]
        titles.append(f"{found[1]}. [{found[2]}]({path.name})")
    listed = [line for line in _INDEX.read_text(encoding="utf-8").splitlines() if re.match(r"\d+\. ", line)]
    assert listed == titles
