"""A server of each protocol over loopback, with our own shipped policy behind it.

It reads and writes the wire formats by itself, with no codec of vla_rl_nodes/remote, so that both
sides have to agree with the protocol and not with each other. As a program it serves until it is
killed: ``python test/remote/server.py --protocol openpi --port 8000``.
"""

from __future__ import annotations

import argparse
import base64
import json
import ssl
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.engine import OnnxEngine
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.resources import resource

Act = Callable[[Any], Any]
Mangle = Callable[[bytes], bytes]
METADATA = {"served_by": "test/remote/server.py", "prefix": True}


def same(data: bytes) -> bytes:
    """Leaves an answer as it is."""
    return data


class WebsocketServer(Closable):
    """openpi's protocol: metadata first, then one map for each map; GET /healthz says OK.

    Args:
        act: a request's map to an answer's map; what it raises is sent as openpi does.
        metadata: the first message.
        mangle: what is done to each answer's bytes.
        key: what the header Authorization must be, if anything.
        tls: for wss.
        port: 0 takes a free one.
    """

    def __init__(
        self, act: Act, metadata: Any = METADATA, mangle: Mangle = same, key: str | None = None,
        tls: ssl.SSLContext | None = None, port: int = 0,
    ) -> None:  # fmt: skip
        self.act, self.metadata, self.mangle, self.key = act, metadata, mangle, key
        self.connections = 0
        self._server = serve(
            self._handle, "127.0.0.1", port, compression=None, max_size=None, ssl=tls,
            process_request=self._look,
        )  # fmt: skip
        self.port = self._server.socket.getsockname()[1]
        self._open: list[ServerConnection] = []
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def hang_up(self) -> None:
        """Ends every connection without a closing handshake, as a killed process would."""
        for connection in self._open:
            connection.socket.close()
        self._open.clear()

    def close(self) -> None:
        self._server.shutdown()

    def _look(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/healthz":
            return connection.respond(HTTPStatus.OK, "OK\n")
        if self.key is not None and request.headers.get("Authorization") != self.key:
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n")
        return None

    def _handle(self, connection: ServerConnection) -> None:
        self.connections += 1
        self._open.append(connection)
        try:
            connection.send(pack(self.metadata))
            for request in connection:
                assert isinstance(request, bytes)
                try:
                    answer = self.act(unpack(request))
                except Exception as error:
                    connection.send(f"Traceback\n{type(error).__name__}: {error}")
                    connection.close(1011)
                    return
                connection.send(self.mangle(pack(answer)))
        except (ConnectionClosed, OSError):
            return


class HttpServer(Closable):
    """OpenVLA's way: POST /act with json-numpy, the array as the answer, "error" on failure.

    Args:
        act: a request's object to the answer.
        mangle: what is done to each answer's bytes.
        status: of every answer.
        headers: further ones.
        cut: how many bytes fewer than announced are sent.
        tls: for https.
        port: 0 takes a free one.
    """

    def __init__(
        self, act: Act, mangle: Mangle = same, status: int = 200,
        headers: dict[str, str] | None = None, cut: int = 0,
        tls: ssl.SSLContext | None = None, port: int = 0,
    ) -> None:  # fmt: skip
        self.act, self.mangle, self.status, self.cut = act, mangle, status, cut
        self.headers = headers or {}
        self.bodies: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.bodies.append(body)
                data = outer.answer(self.path, body)
                self.send_response(outer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.close_connection = outer.cut > 0
                try:
                    self.wfile.write(data[: len(data) - outer.cut])
                except OSError:  # nobody waits for it any more
                    self.close_connection = True

            def log_message(self, *args: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str, body: bytes) -> bytes:
        try:
            if path != "/act":
                raise ValueError(path)
            message = json.loads(body, object_hook=array_of_json)
            double = "encoded" in message
            if double:
                message = json.loads(message["encoded"], object_hook=array_of_json)
            text = json.dumps(self.act(message), default=json_of_array)
            if double:
                text = json.dumps(text)
        except Exception:
            text = '"error"'
        return self.mangle(text.encode())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def pack(value: Any) -> bytes:
    def array(value: Any) -> Any:
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str,
                b"shape": list(value.shape)}  # fmt: skip

    return bytes(msgpack.packb(value, default=array))


def unpack(data: bytes) -> Any:
    def array(value: Any) -> Any:
        if b"__ndarray__" not in value:
            return value
        numbers = np.frombuffer(value[b"data"], np.dtype(value[b"dtype"]))
        return numbers.reshape(value[b"shape"])

    return msgpack.unpackb(data, object_hook=array)


def json_of_array(value: Any) -> Any:
    return {"__numpy__": base64.b64encode(value.tobytes()).decode(), "dtype": value.dtype.str,
            "shape": value.shape}  # fmt: skip


def array_of_json(value: Any) -> Any:
    if "__numpy__" not in value:
        return value
    numbers = np.frombuffer(base64.b64decode(value["__numpy__"]), np.dtype(value["dtype"]))
    return numbers.reshape(value["shape"])


class ShippedPolicy:
    """Our shipped bundle behind each protocol that carries what it needs to see.

    The vector of the state holds the contract's ``state`` and then its ``reference``. OpenVLA's
    protocol carries one image and nothing else, so that this policy cannot stand behind it.
    """

    def __init__(self) -> None:
        contract = load_contract("franka_pick")
        path = resource("config/policies/franka_pick")
        self._engine = OnnxEngine(load_bundle(path, contract, trusted_keys()))
        self._generator = np.random.default_rng(0)

    def openpi(self, message: Any) -> Any:
        vectors = [message["observation/state"], message["observation/reference"]]
        images = [message["observation/image"], message["observation/wrist_image"]]
        extension = [message[key] for key in ("prefix", "delay", "noise")]
        return {"actions": self.chunk(images, np.concatenate(vectors), *extension),
                "server_timing": {"infer_ms": 1.0}}  # fmt: skip

    def openvla_oft(self, message: Any) -> Any:
        images = [message["full_image"], message["wrist_image"]]
        return list(seven(self.chunk(images, message["state"]))[:8])

    def octo(self, message: Any) -> Any:
        seen = message["observation"]
        images = [seen["image_primary"][0, -1], seen["image_wrist"][0, -1]]
        return seven(self.chunk(images, seen["proprio"][0, -1]))[None, :4]

    def chunk(
        self, images: Any, vector: Any, prefix: Any = None, delay: int = 0, noise: Any = None
    ) -> Any:
        if noise is None:
            noise = self._generator.standard_normal((16, 5), dtype=np.float32)
            prefix = np.zeros((16, 5), np.float32)
        numbers = np.asarray(vector, np.float32)
        observation = {"image_scene": images[0], "image_wrist": images[1],
                       "state": numbers[:6], "reference": numbers[6:]}  # fmt: skip
        return self._engine.infer(observation, prefix, delay, noise)


def seven(chunk: Any) -> Any:
    """x, y, z, roll, pitch, yaw and the opening's share, as OpenVLA and Octo have them."""
    served = np.zeros((len(chunk), 7))
    served[:, [0, 1, 2, 5]] = chunk[:, :4]
    served[:, 6] = chunk[:, 4] / 0.08
    return served


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--protocol", choices=("openpi", "openvla_oft", "octo"), required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    act = getattr(ShippedPolicy(), arguments.protocol)
    kind = WebsocketServer if arguments.protocol == "openpi" else HttpServer
    with kind(act, port=arguments.port) as server:
        print(f"serving at {server.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
