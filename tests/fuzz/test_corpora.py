from pathlib import Path

from fuzz.corpora import pack, read, unpack, write


def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    inputs = [b"", b"\0\xff", b"longer than the others", b"\x01"]
    corpus = tmp_path / "target.hex"
    write(corpus, [*inputs, b"\x01"])
    assert read(corpus) == [b"", b"\x01", b"\0\xff", b"longer than the others"]
    unpack(corpus, tmp_path / "files")
    (tmp_path / "files" / "found-by-a-fuzzer").write_bytes(b"new")
    assert pack(tmp_path / "files", corpus) == 5
    assert read(corpus) == [b"", b"\x01", b"\0\xff", b"new", b"longer than the others"]


def test_a_corpus_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "none.hex") == []
