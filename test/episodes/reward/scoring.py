"""A server that scores films, and may be slow, die, or talk nonsense."""

from __future__ import annotations

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import numpy as np
from PIL import Image

from vla_rl_nodes.closable import Closable

Mood = Literal["good", "slow", "dies", "nonsense", "no answer", "refuses"]


class ScoringServer(Closable):
    """Scores the last frame by its brightness, from 1 in the dark to 5 in full light.

    Attributes:
        mood: how it answers from now on.
        asked: the requests so far.
    """

    def __init__(self, port: int = 0) -> None:
        self.mood: Mood = "good"
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.let_go = threading.Event()  # frees the requests that a slow server holds
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.asked.append(json.loads(body))
                server.headers.append(dict(self.headers))
                if server.mood == "slow":
                    server.let_go.wait(30.0)
                if server.mood == "dies":
                    self.connection.close()
                    self.close_connection = True
                    return
                answer = server.answer(server.asked[-1])
                self.send_response(500 if server.mood == "refuses" else 200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/score"

    def answer(self, request: dict[str, Any]) -> bytes:
        if self.mood == "nonsense":
            return b"<html>busy</html>"
        if self.mood == "no answer":
            return json.dumps({"answer": "I cannot see the cube."}).encode()
        with Image.open(io.BytesIO(base64.b64decode(request["frames"][-1]))) as picture:
            light = float(np.asarray(picture).mean()) / 255
        text = f"The scene is {light:.2f} bright – “nearly”.\nANSWER: {1 + round(4 * light)}\n"
        return json.dumps({"answer": text}).encode()

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
