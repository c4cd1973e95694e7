"""A real learner process for tests, the bags that are sent to it, and a plain client."""

from __future__ import annotations

import hashlib
import http.client
import json
import multiprocessing
import os
import resource as resource_limits
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

import yaml

from link.document import check_documented
from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.cli import main
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.link.key_folder import make_keys
from vla_rl_nodes.link.records import Episode, Records
from vla_rl_nodes.resources import resource

CONTRACT = load_contract("franka_pick")
CONTRACT_TEXT = resource("config/contracts/franka_pick.yaml").read_text(encoding="utf-8")
DEADLINE_S = 60.0
QUOTA = 1 << 30
TEXT = "std_msgs/msg/String"


class Answer(NamedTuple):
    """Status, headers and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body, from JSON."""
        return json.loads(self.body)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """What a condition gives as soon as it is true."""
    end = monotonic() + DEADLINE_S
    while not (found := condition()):
        assert monotonic() < end, f"{what} has not come"
        sleep(0.01)
    return found


def make_bag(
    folder: Path,
    episode_id: str,
    robot: str = "fr3",
    size: int = 3000,
    metadata: Mapping[str, str] | None = None,
    contract_text: str = CONTRACT_TEXT,
) -> tuple[Manifest, bytes, bytes]:
    """A closed bag of about ``size`` bytes: its manifest, that file's bytes, the MCAP's bytes."""
    known = {"robot": robot, "contract_sha256": CONTRACT.sha256, **(metadata or {})}
    rng = hashlib.shake_256(f"{robot}/{episode_id}".encode()).digest(size)
    topic = "/t"
    with EpisodeWriter(
        folder, episode_id, [Topic(topic, TEXT)], contract_yaml=contract_text,
        metadata=known, start_ns=1,
    ) as writer:  # fmt: skip
        for i in range(4):
            piece = rng[i * size // 4 : (i + 1) * size // 4]
            cdr = b"\0\1\0\0" + len(piece).to_bytes(4, "little") + piece
            writer.write(topic, TEXT, cdr, 10 + i, 10 + i)
        manifest = writer.close("success")
    return manifest, (folder / "manifest.json").read_bytes(), writer.path.read_bytes()


# A process of its own for each learner, forked from one that has imported everything: what is
# killed is real, and starting it again costs little.
_SPAWN = multiprocessing.get_context("forkserver")
_SPAWN.set_forkserver_preload(["vla_rl_nodes.link.server", "vla_rl_nodes.cli"])


def _serve(folder: Path, file_limit: int | None) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(folder / name, flags, 0o644), number)
    if file_limit is not None:
        resource_limits.setrlimit(resource_limits.RLIMIT_FSIZE, (file_limit, file_limit))
    config = str(folder / "learner.yaml")
    sys.exit(main(["learner", "serve", "--json", "--config", config]))


@dataclass
class Keys:
    """Certificates of a learner on localhost and of some robots."""

    folder: Path
    fingerprints: dict[str, list[str]]

    @classmethod
    def make(cls, folder: Path, robots: Sequence[str] = ("fr3", "ur5e")) -> Keys:
        made = make_keys(folder, robots, ["localhost", "127.0.0.1"], 30)
        return cls(folder, made.robots)

    def context(self, robot: str | None, folder: Path | None = None) -> ssl.SSLContext:
        """What a robot speaks TLS with; None shows no certificate."""
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if robot is not None:
            place = (folder or self.folder / "robots") / robot
            context.load_cert_chain(place / "robot.crt", place / "robot.key")
        return context


@dataclass
class Learner:
    """``vla-rl learner serve`` as a process of its own, with a folder that outlives it."""

    folder: Path
    keys: Keys
    more: dict[str, Any] = field(default_factory=dict)
    rights: dict[str, dict[str, Any]] = field(default_factory=dict)
    file_limit: int | None = None  # bytes that no file of the process may exceed
    port: int = 0
    process: BaseProcess | None = None

    @property
    def config(self) -> Path:
        return self.folder / "learner.yaml"

    @property
    def log(self) -> list[str]:
        """What all its runs have told."""
        try:
            return self.folder.joinpath("stderr").read_text().splitlines()
        except FileNotFoundError:
            return []

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def write_config(self) -> None:
        """learner.yaml, in one step, as a person's editor would."""
        robots = {
            name: {
                "certificate_sha256": prints, "contracts": [CONTRACT.sha256],
                "quota_bytes": QUOTA, **self.rights.get(name, {}),
            }
            for name, prints in self.keys.fingerprints.items()
        }  # fmt: skip
        settings = {
            "listen": {"host": "127.0.0.1", "port": 0},
            "certificates": {
                "authority": str(self.keys.folder / "ca.crt"),
                "certificate": str(self.keys.folder / "learner" / "learner.crt"),
                "key": str(self.keys.folder / "learner" / "learner.key"),
            },
            "folder": "data", "part_bytes": 1 << 16, "keep_free_bytes": 0, "patience_s": 2.0,
            "robots": robots, **self.more,
        }  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / ".learner.yaml.new"
        draft.write_text(yaml.safe_dump(settings))
        os.replace(draft, self.config)

    def start(self) -> Learner:
        self.write_config()
        out = self.folder / "stdout"
        out.unlink(missing_ok=True)
        self.process = _SPAWN.Process(
            target=_serve, args=(self.folder, self.file_limit), daemon=True
        )
        self.process.start()
        line = wait_for(lambda: self._told(out), f"the learner {self.log}")
        self.port = json.loads(line)["port"]
        return self

    def _told(self, out: Path) -> str:
        assert self.process is not None and self.process.is_alive(), self.log
        text = out.read_text() if out.exists() else ""
        return text if text.endswith("\n") else ""

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.join(DEADLINE_S)
        assert self.process.exitcode == -signal.SIGKILL

    def stop(self) -> int | None:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.terminate()
        self.process.join(DEADLINE_S)
        return self.process.exitcode

    def rows(self) -> list[Episode]:
        records = Records(self.data)
        try:
            return records.episodes()
        finally:
            records.close()

    def files(self) -> dict[str, str]:
        """Relative path to SHA-256 of every file but the database's."""
        return {
            str(path.relative_to(self.data)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.data.rglob("*"))
            if path.is_file() and not path.name.startswith("learner.")
        }

    # A plain client: one connection for each request.

    def connect(self, robot: str | None = "fr3", folder: Path | None = None) -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        context = self.keys.context(robot, folder)
        try:
            return context.wrap_socket(raw, server_hostname="localhost")
        except BaseException:
            raw.close()
            raise

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        robot: str | None = "fr3",
        folder: Path | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("localhost", self.port, timeout=DEADLINE_S)
        connection.sock = self.connect(robot, folder)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for key, value in (headers or {}).items():
                connection.putheader(key, value)
            if body is not None and not any(k.lower() == "content-length" for k in headers or {}):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            got = Answer(response.status, dict(response.getheaders()), response.read())
            check_documented(method, path, got.status, got.headers.get("Content-Type"))
            return got
        finally:
            connection.close()

    def talk(self, data: bytes, robot: str = "fr3", half_close: bool = False) -> bytes:
        """Sends bytes as they are; whatever comes back until the learner closes."""
        with self.connect(robot) as channel:
            channel.sendall(data)
            received = b""
            try:
                while piece := channel.recv(1 << 16):
                    received += piece
            except (ConnectionError, ssl.SSLError):
                pass
            return received

    def offer(self, episode_id: str, manifest: bytes, robot: str = "fr3") -> Answer:
        return self.ask("PUT", f"/v1/episodes/{episode_id}", manifest, robot=robot)

    def part(self, episode_id: str, offset: int, data: bytes, robot: str = "fr3") -> Answer:
        headers = {
            "Upload-Offset": str(offset), "Content-SHA256": hashlib.sha256(data).hexdigest(),
        }  # fmt: skip
        return self.ask("PATCH", f"/v1/episodes/{episode_id}", data, headers, robot)

    def upload(
        self,
        episode_id: str,
        manifest: bytes,
        data: bytes,
        robot: str = "fr3",
        part: int = 1 << 16,
    ) -> Answer:
        """Offers and sends, from where the learner stands; the last answer."""
        answer = self.offer(episode_id, manifest, robot)
        while answer.status == 200 and answer.data["state"] == "open":
            offset = answer.data["offset"]
            answer = self.part(episode_id, offset, data[offset : offset + part], robot)
        return answer


def problem(answer: Answer, status: int) -> str:
    """Checks that an answer is one line of problem+json, and gives that line."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer
    told = answer.data
    assert told["status"] == status and told["title"] and told["remedy"], told
    assert "\n" not in told["detail"] and len(told["detail"]) < 400, told
    return str(told["detail"])
