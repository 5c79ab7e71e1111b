"""Connections that wait for their client: how long, how many, and who goes when there are too many.

Whoever can reach the server can open connections and say nothing, or very little at a time. So
each state in which the client is waited for ends by itself: a request's head has seconds to be
whole, a connection between two requests lasts as long, an answer that nobody takes is given up
(bodies: see `uploads`). And when there are as many connections as there may be, the one that has
waited longest makes room for the newcomer, so that nobody can keep all others out by waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from .limits import Limits
from .uploads import is_upload

# A body or an answer on its way is not broken off for a newcomer before.
_SECONDS_OF_GRACE = 2.0


class Connection(H11Protocol):
    """uvicorn's connection, with limits. `limited_to` makes the class for a server."""

    limits = Limits()

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.waiting_since = self.loop.time()
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None

    # What the client is waited for ----------------------------------------------------------------

    @property
    def is_serving(self) -> bool:
        """Whether a request's head has come and its answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def may_go(self) -> bool:
        """Whether it waits for its client, for long enough to be ended for another's sake."""
        if not self.is_serving:
            return True
        if self.loop.time() - self.waiting_since < _SECONDS_OF_GRACE:
            return False
        if self.flow.write_paused:
            return True
        # Uploads take long, and are counted by themselves.
        return self.cycle.more_body and not is_upload(self.scope)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._make_room()
        self._await_request(self.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self.waiting_since = self.loop.time()
        if self.is_serving:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.is_serving and not self.transport.is_closing():
            # Bytes do not prolong it, unlike uvicorn's own.
            self._await_request(self.limits.idle_seconds)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.waiting_since = self.loop.time()
        self._write_deadline = self.loop.call_later(self.limits.stall_seconds, self._end)

    def resume_writing(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None
        super().resume_writing()

    def shutdown(self) -> None:
        """Called when the server ends: what the client is waited for is not waited for any more."""
        if self.is_serving and (self.cycle.more_body or self.flow.write_paused):
            self._end()
        else:
            super().shutdown()

    def _await_request(self, seconds: float) -> None:
        self._stop_waiting()
        self.waiting_since = self.loop.time()
        self._deadline = self.loop.call_later(seconds, self._end)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self.connections.discard(self)
        if not self.transport.is_closing():
            self.transport.abort()

    # How many there may be ------------------------------------------------------------------------

    def _make_room(self) -> None:
        """Let the longest-waiting connections go until this one fits, or this one."""
        all_of_them = [each for each in self.connections if isinstance(each, Connection)]
        own = [each for each in all_of_them if each.client_host == self.client_host]
        for group, most in (
            (own, self.limits.client_connections),
            (all_of_them, self.limits.connections),
        ):
            if len([each for each in group if each in self.connections]) > most:
                self._let_one_go(group)

    def _let_one_go(self, group: Iterable[Connection]) -> None:
        waiting = [e for e in group if e is not self and e in self.connections and e.may_go]
        (min(waiting, key=lambda each: each.waiting_since) if waiting else self)._end()

    @property
    def client_host(self) -> str:
        return self.client[0] if self.client else ""


def limited_to(limits: Limits) -> type[Connection]:
    """Make the class of a server's connections."""
    return type("LimitedConnection", (Connection,), {"limits": limits})
