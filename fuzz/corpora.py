"""Corpora as text: one input a line, in hexadecimal, so that a change of them can be read."""

from pathlib import Path

FOLDER = Path(__file__).with_name("corpora")


def corpus_of(target: str) -> Path:
    return FOLDER / f"{target}.hex"


def read(file: Path) -> list[bytes]:
    """Every input; none of a corpus that does not exist yet."""
    return [bytes.fromhex(line) for line in file.read_text().splitlines()] if file.exists() else []


def write(file: Path, inputs: list[bytes]) -> None:
    """The shortest first, each once."""
    ordered = sorted(set(inputs), key=lambda each: (len(each), each))
    file.write_text("".join(f"{each.hex()}\n" for each in ordered))


def unpack(file: Path, folder: Path) -> None:
    """Puts each input into a file of its own, as fuzzers want them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(read(file)):
        (folder / f"kept-{number}").write_bytes(each)


def pack(folder: Path, file: Path) -> int:
    """Makes a corpus of all files of a folder; returns how many inputs it has."""
    write(file, [each.read_bytes() for each in folder.iterdir()])
    return len(read(file))
