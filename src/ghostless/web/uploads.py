"""Bodies on their way in: how slowly they may come, how many at a time, and who makes room.

Only time in which the client is waited for counts; what the server itself takes does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from .limits import Limits

UPLOAD_PATH = "/api/brackets"
MASK_BYTES = 8_000_000
_CLOSE = {"connection": "close"}
# An upload that is this slow, or silent for so long, makes room for another.
_SECONDS_OF_SILENCE = 4.0
_HURRIED_SECONDS = 8.0
_HURRIED_BYTES_PER_SECOND = 100_000


def is_upload(scope: Mapping[str, Any]) -> bool:
    """Whether a request brings photos: a body that may be large, and take its time."""
    return bool(scope["method"] == "POST" and scope["path"].endswith(UPLOAD_PATH))


def is_mask(scope: Mapping[str, Any]) -> bool:
    """Whether a request brings a mask that was painted."""
    return bool(scope["method"] == "POST" and scope["path"].endswith("/masks"))


def too_large(limit: int) -> str:
    return f"expected a request of at most {limit:,} bytes, found a larger one; send less"


class Body:
    """A request's body: counted, and broken off with 413 or 408 where it is too large or slow.

    most_bytes: of the body. in_time: whether it must be there within `stall_seconds`; else, as for
    uploads, the client is waited for as long as it keeps up `body_bytes_per_second`.
    """

    def __init__(self, receive: Receive, most_bytes: int, limits: Limits, in_time: bool) -> None:
        self._receive, self._most_bytes, self._limits = receive, most_bytes, limits
        self._in_time = in_time
        self._waited, self._total = 0.0, 0
        self._since: float | None = None
        self._patience: asyncio.Timeout | None = None
        self._given_up = False
        self._complete = False

    async def receive(self) -> Message:
        """Take the next part of the body."""
        if self._complete:  # what is waited for now is that the client goes
            return await self._receive()
        self._since = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds_left()) as self._patience:
                if self._given_up:
                    raise TimeoutError
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408,
                "expected the rest of the request in time, found that it comes too slowly; "
                "send it again over a quicker line",
                _CLOSE,
            ) from None
        finally:
            self._patience = None
            self._waited += time.monotonic() - self._since
            self._since = None
        if message["type"] == "http.request":
            self._total += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._total > self._most_bytes:
                raise HTTPException(413, too_large(self._most_bytes), _CLOSE)
        return message

    def _seconds_left(self) -> float:
        stall = self._limits.stall_seconds
        allowed = stall
        if not self._in_time:
            allowed += self._total / self._limits.body_bytes_per_second
        return max(0.0, min(stall, allowed - self._waited))

    def silence(self) -> float:
        """Seconds since the client is waited for; 0 while it is not."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def is_slow(self) -> bool:
        """Whether it may be broken off for another's sake."""
        silence = self.silence()
        waited = self._waited + silence
        slow = waited > _HURRIED_SECONDS and self._total < _HURRIED_BYTES_PER_SECOND * waited
        return slow or silence > _SECONDS_OF_SILENCE

    def give_up(self) -> None:
        """Break it off, now if the client is waited for."""
        self._given_up = True
        if self._patience is not None:
            with suppress(RuntimeError):  # it has just ended
                self._patience.reschedule(asyncio.get_running_loop().time())


class Uploads:
    """The uploads that are received now, and whose they are."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bodies: dict[Body, str] = {}

    def enter(self, body: Body, client: str) -> bool:
        """Take in one more, in place of a slow one if need be; False if there is no room.

        One client may have all but one place, so that another finds one.
        """
        most = self._limits.uploads
        own = [each for each, whose in self._bodies.items() if whose == client]
        if len(own) >= max(1, most - 1) and not self._drop_a_slow_one(own):
            return False
        if len(self._bodies) >= most and not self._drop_a_slow_one(list(self._bodies)):
            return False
        self._bodies[body] = client
        return True

    def leave(self, body: Body) -> None:
        self._bodies.pop(body, None)

    def _drop_a_slow_one(self, bodies: list[Body]) -> bool:
        slow = [body for body in bodies if body.is_slow()]
        if not slow:
            return False
        slowest = max(slow, key=lambda body: body.silence())
        slowest.give_up()
        self.leave(slowest)
        return True
