"""Event streams (HTML standard section 9.2), read from the bytes of a reply."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import NamedTuple


class Event(NamedTuple):
    """`id` is the position behind it, empty where it has none."""

    id: str
    data: str


async def events_of(parts: AsyncIterable[bytes]) -> AsyncIterator[Event]:
    """The events of a stream, however its bytes are cut; comments and events without data are left out."""
    name, data = "", list[str]()
    async for line in _lines(parts):
        field, _, content = line.partition(":")
        content = content.removeprefix(" ")
        if field == "data":
            data.append(content)
        elif field == "id":
            name = content
        elif not line:
            if data:
                yield Event(name, "\n".join(data))
            name, data = "", []


async def _lines(parts: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """Lines end where the server ends them. What else ends one for Python may stand inside JSON."""
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode()
