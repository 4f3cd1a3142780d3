"""A plain port whose connections go on encrypted, from another address of this machine."""

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path


class TlsForwarder:
    """Passes bytes on to `server` and back; a context manager with the plain port's `address`."""

    def __init__(self, server: str, ca: Path, source: str) -> None:
        host, _, port = server.rpartition(":")
        self._server, self._source = (host, int(port)), source
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._tls.set_alpn_protocols(["h2"])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.address = ""

    def __enter__(self) -> "TlsForwarder":
        self._thread.start()
        opening = asyncio.start_server(self._forward, "127.0.0.1", 0)
        listener = asyncio.run_coroutine_threadsafe(opening, self._loop).result(60)
        self.address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    async def _cancel(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(
                *self._server, ssl=self._tls, local_addr=(self._source, 0)
            )
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
