"""Asks a daemon's ops port whether it is ready."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from fairlead.datagram import Address

#: seconds; a daemon probes its own listeners before it answers
_TIMEOUT = 5.0
_LONGEST_ANSWER = 1 << 16


async def reasons_not_ready(ops: Address) -> Sequence[str]:
    """Asks /readyz; empty when the daemon is ready, else its reasons, a sentence each."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            answer = await _get(ops, "/readyz")
    except TimeoutError:
        return (f"http://{ops}/readyz does not answer within {_TIMEOUT:g} s",)
    except OSError as error:
        return (f"http://{ops}/readyz cannot be reached ({error.strerror or error})",)
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ")[1:2]
    if status == [b"200"]:
        return ()
    return _reasons(body) or (f"http://{ops}/readyz answers {b' '.join(status).decode(errors='replace') or 'nothing'}",)


async def _get(server: Address, path: str) -> bytes:
    """One exchange of HTTP/1.0, so that the end of the connection is the end of the answer."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n".encode())
        parts: list[bytes] = []
        while (part := await reader.read(_LONGEST_ANSWER)) and len(parts) < 16:
            parts.append(part)
        return b"".join(parts)
    finally:
        writer.close()


def _reasons(body: bytes) -> Sequence[str]:
    try:
        document: Any = json.loads(body)
    except ValueError:
        return ()
    reasons = document.get("reasons") if isinstance(document, dict) else None
    return [str(reason) for reason in reasons] if isinstance(reasons, list) else ()
