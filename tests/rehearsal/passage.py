"""A way from a machine's own loopback device to a port of this host's loopback device.

What annexkit remembers of the rehearsal is an address that only this host has. With a
passage the same address answers inside a machine too, byte by byte.
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from annexkit.rehearsal import netns

LOOPBACK = "127.0.0.1"
PIECE = 64 * 1024  # bytes
LONGEST = 10.0  # seconds for opening or closing it


@contextmanager
def passage(pid: int, port: int) -> Iterator[None]:
    """Let a port of the loopback device of the namespace of *pid* lead to our own.

    :raises OSError: no such process, or the port is taken there.
    """
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name=f"passage to {port}", daemon=True)

    def ended(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(LONGEST)

    with netns.listen(pid, LOOPBACK, port) as listening:
        thread.start()
        try:
            server = ended(asyncio.start_server(_to(port), sock=listening))
            try:
                yield
            finally:
                ended(_close(server))
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(LONGEST)
            loop.close()


def _to(port: int) -> Callable[[StreamReader, StreamWriter], Awaitable[None]]:
    """Return what carries one connection both ways until both sides have said all."""

    async def hand_on(asking: StreamReader, answering: StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            answering.close()  # as if nothing had listened
            return
        try:
            await asyncio.gather(_carry(asking, forth), _carry(back, answering))
        finally:
            forth.close()
            answering.close()

    return hand_on


async def _carry(source: StreamReader, sink: StreamWriter) -> None:
    try:
        while data := await source.read(PIECE):
            sink.write(data)
            await sink.drain()
        sink.write_eof()
    except OSError:
        sink.close()  # which ends the other direction too


async def _close(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
