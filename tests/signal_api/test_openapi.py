"""The document of the API: every route below /v1/sessions, and schemas that stand for themselves."""

import json
import re

from signal_api.metrics import SESSION_ROUTES
from tests.signal_api.service import Service


async def test_every_session_route_is_described_and_every_reference_leads_somewhere() -> None:
    async with Service() as service:
        document = (await service.http.get("/v1/openapi.json")).json()
    assert {*SESSION_ROUTES, "/v1/sessions"} == {path for path in document["paths"] if path.startswith("/v1/sessions")}
    assert "/v1/ice" in document["paths"]
    schemas = document["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert {"Hello", "Welcome", "Frame", "Results", "Events"} <= referred <= set(schemas)
    events = document["paths"]["/v1/sessions/{sid}/events"]["get"]
    assert set(events["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert events["security"] == [{"HTTPBearer": []}]
    assert "HTTPBearer" in document["components"]["securitySchemes"]


async def test_the_document_is_the_same_every_time() -> None:
    async with Service() as service:
        first, second = [(await service.http.get("/v1/openapi.json")).json() for _ in range(2)]
    assert first == second
