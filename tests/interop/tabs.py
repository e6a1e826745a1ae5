"""What tests do in the tab of a browser."""

import asyncio
from typing import Any

from playwright.async_api import Page

#: seconds that a page has for whatever it is asked
WAIT = 60.0


async def run(tab: Page, expression: str, argument: Any = None) -> Any:
    """What an expression comes to, its promise kept; raises TimeoutError."""
    async with asyncio.timeout(WAIT):
        return await tab.evaluate(expression, argument)
