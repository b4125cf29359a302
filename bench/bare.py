"""`python -m bench.bare PORT`: the smallest ASGI application that holds a call, on uvicorn: what holding costs by itself."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

Message = dict[str, Any]


async def hold(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Headers at once, then nothing until the client hangs up."""
    if scope["type"] != "http":
        return
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b" ", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


if __name__ == "__main__":
    asyncio.run(
        uvicorn.Server(
            uvicorn.Config(
                hold, port=int(sys.argv[1]), access_log=False, log_level="error", lifespan="off", backlog=8192
            )
        ).serve()
    )
