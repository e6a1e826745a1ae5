"""What fuzzers have found interesting, replayed without one; native/fuzz replays the engine's."""

import pytest

from fuzz.corpora import FOLDER, corpus_of, read
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_does_what_it_must_with_its_whole_corpus(name: str) -> None:
    inputs = read(corpus_of(name))
    assert len(inputs) > 30
    for each in inputs:
        TARGETS[name](each)


def test_every_corpus_is_small_and_has_its_target() -> None:
    corpora = sorted(FOLDER.iterdir())
    assert {file.stem for file in corpora} == {*TARGETS, "classify", "challenge", "engine"}
    assert sum(file.stat().st_size for file in corpora) < 300 * 1024
