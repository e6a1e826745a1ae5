"""Engines on a real Redis, and clients that they keep."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fairlead.buckets import TokenBucket
from fairlead.daemon import SystemClock
from signal_api.authorization import GUEST
from signal_api.clients import Client, Visitor
from signal_api.engine.redis.engine import RedisEngine
from signal_api.sessions import Session, digest


def client_of(sid: str, key: str = "key") -> Client:
    session = Session(sid, digest(key), "epoch")
    return Client(session, GUEST, Visitor(b"s", "signal.example", is_local=False), TokenBucket(), 0.0)


@asynccontextmanager
async def running_engine(url: str, prefix: str) -> AsyncIterator[RedisEngine]:
    engine = RedisEngine(url, prefix, SystemClock(), os.urandom)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()
