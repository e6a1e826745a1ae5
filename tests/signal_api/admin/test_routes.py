"""The document of the admin API."""

from signal_api.metrics import ADMIN, route_label
from tests.signal_api.service import Service


async def test_every_operation_is_described_with_its_key_and_its_problems(service: Service) -> None:
    document = (await service.http.get("/v1/openapi.json")).json()
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        if path.startswith(f"{ADMIN}/")
        for method, operation in methods.items()
    }
    assert ("post", "/v1/admin/rooms/{name}/kick") in operations
    for where, operation in operations.items():
        assert operation["security"] == [{"ApiKey": []}], where
        assert operation["summary"], where
        assert "application/problem+json" in operation["responses"]["4XX"]["content"], where


def test_names_in_paths_make_no_series() -> None:
    assert route_label("/v1/admin/rooms/a/b/kick") == ADMIN
    assert route_label("/v1/administrator") == "other"
