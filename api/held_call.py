"""One held `POST /vm_startup`: an open answer that is kept alive with spaces, then finished with JSON or broken off.

It waits inside `receive()`, so that the client's hang-up ends it and no task stands beside it; whoever has the answer
sends it from outside. (An ASGI server's `receive()` returns `http.disconnect` after the hang-up and after a whole answer.)
"""

import asyncio
import json
from dataclasses import dataclass, field

from litestar.types import Receive, Send

HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


@dataclass(eq=False, slots=True)
class HeldCall:
    """`until` is the loop's time at which it is broken off at the latest."""

    hostname: str
    address: str
    since: float
    until: float
    _send: Send
    _task: "asyncio.Task[None]" = field(init=False)
    over: bool = False  # answered or broken off: nothing more may be sent

    async def begin(self) -> None:
        """200 and chunked headers at once, so that proxies see life."""
        task = asyncio.current_task()
        assert task is not None  # a handler runs in one
        self._task = task
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})

    async def wait(self, receive: Receive) -> None:
        """Until it is answered, broken off, or the client hangs up."""
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            if not self.over:
                raise
        finally:
            self.over = True

    async def keep_alive(self) -> None:
        """A space, which JSON allows before a value. Finds dead peers, too: TCP ends the connection in the end."""
        if not self.over:
            await self._send({"type": "http.response.body", "body": b" ", "more_body": True})

    async def answer(self, command: str, pin: str) -> bool:
        """The one whole answer that there is; False when the call was over before."""
        if self.over:
            return False
        self.over = True
        body = json.dumps({"status": "success", "command": command, "pin": pin}).encode()
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        return True

    def break_off(self) -> None:
        """End without an answer: the connection breaks, the client sees an error and comes back.

        Any whole answer but success would make old clients stop asking for good. The server closes the connection of a
        handler that returns before its answer is complete.
        """
        if not self.over:
            self.over = True
            self._task.cancel()
