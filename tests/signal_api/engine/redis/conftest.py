"""Nodes on the Redis that all tests have together."""

from collections.abc import AsyncIterator

import pytest

from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster, cluster_on


@pytest.fixture
async def cluster(one_redis: RedisServer, redis_prefix: str) -> AsyncIterator[Cluster]:
    async with cluster_on(one_redis.url, redis_prefix) as nodes:
        yield nodes
