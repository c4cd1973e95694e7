"""A learner and its robots in one folder: their keys, their settings, their processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vla_rl_nodes.bench.link.proxy import Proxy
from vla_rl_nodes.bench.link.robot_process import READY
from vla_rl_nodes.closable import Closable
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.key_folder import make_keys

QUOTA_BYTES = 1 << 40
_START_S = 60.0
_END_S = 15.0


class Killable(Closable):
    """A process that is started again and again; its output goes on in one log.

    Args:
        name: for messages.
        command: what to run.
        log: its output.
        ready: a text that its output holds when it is up.
    """

    def __init__(self, name: str, command: list[str], log: Path, ready: str) -> None:
        self.name, self._command, self._log = name, command, log
        self._ready = ready.encode()
        self._process: subprocess.Popen[bytes] | None = None
        self._from = 0

    @property
    def pid(self) -> int:
        """Of the running process.

        Raises:
            InputError: it has ended by itself.
        """
        self.check()
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it; returns at once."""
        self._from = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip

    def up(self) -> bool:
        """Whether it has said since its start that it is up."""
        self.check()
        with self._log.open("rb") as log:
            log.seek(self._from)
            return self._ready in log.read()

    def wait_until_up(self) -> None:
        """Waits for that.

        Raises:
            InputError: it ended, or took too long.
        """
        deadline = time.monotonic() + _START_S
        while not self.up():
            if time.monotonic() > deadline:
                raise InputError(self.name, f"is not up after {_START_S:g} s", self._where())
            time.sleep(0.02)

    def check(self) -> None:
        """Refuses to go on when it has ended by itself.

        Raises:
            InputError: with its last line.
        """
        if self._process is not None and self._process.poll() is not None:
            lines = self._log.read_text(errors="replace").strip().splitlines() or ["no output"]
            raise InputError(
                self.name, f"ended with status {self._process.returncode} ({lines[-1][:200]})",
                self._where(),
            )  # fmt: skip

    def kill(self) -> None:
        """``kill -9`` of the process alone: what it has started must find its own end.

        Raises:
            InputError: it had ended by itself.
        """
        self.check()
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def freeze(self, frozen: bool) -> None:
        """Stops it where it stands (SIGSTOP), or lets it go on."""
        os.kill(self.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def close(self) -> None:
        """An orderly end, and a kill where that takes too long."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def _where(self) -> str:
        return f"read {self._log}"


class Site(Closable):
    """Everything of one run.

    Args:
        folder: empty.
        names: of the robots.
        contract: of their episodes.
        robot_settings: further sections of robot.yaml.
        learner_settings: further keys of learner.yaml.

    Attributes:
        names: of the robots.
        bags: their folders of bags.
        proxies: their links.
        learner: its process.
        robots: their uploaders.
        learner_folder: episodes and database.
    """

    def __init__(
        self, folder: Path, names: list[str], contract: str, robot_settings: dict[str, Any],
        learner_settings: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.names = names
        self.learner_folder = folder / "learner"
        self.bags = [folder / name / "bags" for name in self.names]
        keys = folder / "keys"
        made = make_keys(keys, self.names, ["127.0.0.1"], days=2)
        port = _free_port()
        learner_yaml = folder / "learner.yaml"
        learner_yaml.write_text(json.dumps({
            "listen": {"host": "127.0.0.1", "port": port},
            "certificates": {
                "authority": "keys/learner/ca.crt", "certificate": "keys/learner/learner.crt",
                "key": "keys/learner/learner.key",
            },
            "folder": "learner", "keep_free_bytes": 0, "patience_s": 5.0,
            "robots": {
                name: {
                    "certificate_sha256": made.robots[name], "quota_bytes": QUOTA_BYTES,
                    "contracts": [load_contract(contract).sha256],
                }
                for name in self.names
            },
            **(learner_settings or {}),
        }))  # fmt: skip
        self.learner = Killable(
            "the learner",
            [sys.executable, "-m", "vla_rl_nodes.cli", "learner", "serve", "--config",
             str(learner_yaml)],
            folder / "learner.log", "listens on",
        )  # fmt: skip
        self.proxies: list[Proxy] = []
        self.robots: list[Killable] = []
        for name, bags in zip(self.names, self.bags, strict=True):
            bags.mkdir(parents=True)
            self.proxies.append(Proxy(port))
            settings = folder / name / "robot.yaml"
            settings.write_text(json.dumps({
                "robot": name, "learner": f"https://127.0.0.1:{self.proxies[-1].port}",
                "certificates": {
                    "authority": str(keys / "robots" / name / "ca.crt"),
                    "certificate": str(keys / "robots" / name / "robot.crt"),
                    "key": str(keys / "robots" / name / "robot.key"),
                },
                "bags": "bags", "state": "state",
                **robot_settings,
            }))  # fmt: skip
            command = [sys.executable, "-m", "vla_rl_nodes.bench.link.robot_process",
                       str(settings)]  # fmt: skip
            self.robots.append(Killable(name, command, folder / f"{name}.log", READY))

    def settings_of(self, robot: int) -> Path:
        """A robot's robot.yaml."""
        return self.bags[robot].parent / "robot.yaml"

    def close(self) -> None:
        """Ends everything that was started."""
        for process in (*self.robots, self.learner):
            process.close()
        for proxy in self.proxies:
            proxy.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
