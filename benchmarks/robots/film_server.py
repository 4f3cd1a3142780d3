"""A network camera on the loopback interface that can be frozen: pictures of JPEG over HTTP."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

_EVERY_S = 1 / 25
_BOUNDARY = "picture"


class FilmServer:
    """Streams a pattern that moves; frozen, its connections stay open and nothing comes."""

    def __init__(self, height: int, width: int) -> None:
        self._size = height, width
        self._goes_on = threading.Event()
        self._goes_on.set()
        film = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
                self.send_header("Content-Type", kind)
                self.end_headers()
                try:
                    while True:
                        film._goes_on.wait()
                        data = film.picture()
                        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                        head += f"Content-Length: {len(data)}\r\n\r\n"
                        self.wfile.write(head.encode() + data + b"\r\n")
                        time.sleep(_EVERY_S)
                except OSError:
                    return

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}/film.mjpg"

    def picture(self) -> bytes:
        """Draw the picture of now as JPEG."""
        import cv2  # pyright: ignore[reportMissingImports]

        rows, columns = np.mgrid[0 : self._size[0], 0 : self._size[1]]
        moved = int(time.monotonic() * 50)
        picture = np.stack([rows + moved, columns + 2 * moved, rows + columns], axis=-1) % 256
        return cv2.imencode(".jpg", picture.astype(np.uint8))[1].tobytes()

    def freeze(self) -> None:
        """Send nothing more."""
        self._goes_on.clear()

    def thaw(self) -> None:
        """Go on."""
        self._goes_on.set()

    def __enter__(self) -> "FilmServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self._server.shutdown()
        self._server.server_close()
