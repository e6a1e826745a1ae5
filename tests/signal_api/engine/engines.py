"""Engines on a real Redis, and clients that they keep."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fairlead.buckets import TokenBucket
from fairlead.daemon import SystemClock
from fairlead.metrics import Metrics
from signal_api.clients import Client, Visitor
from signal_api.engine.redis.engine import RedisEngine
from signal_api.engine.redis.meters import Meters
from signal_api.engine.redis.store import Store
from signal_api.protocol.authorization import GUEST
from signal_api.protocol.sessions import Session, digest
from tests.redis_server import PATIENT


def client_of(sid: str, key: str = "key") -> Client:
    session = Session(sid, digest(key), "epoch")
    return Client(session, GUEST, Visitor(b"s", "signal.example", is_local=False), TokenBucket(), 0.0)


def store_on(url: str, prefix: str, node: str = "n", patience: float = PATIENT) -> Store:
    """The way to Redis of a node that has not registered."""
    store = Store(url, prefix, Meters(Metrics("signal")), patience)
    store.node = node
    return store


@asynccontextmanager
async def running_engine(url: str, prefix: str, patience: float = PATIENT) -> AsyncIterator[RedisEngine]:
    engine = RedisEngine(url, prefix, SystemClock(), os.urandom, Metrics("signal"), patience)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()
