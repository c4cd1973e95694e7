"""The processes that are killed: started, killed without a goodbye, and started again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vla_rl_nodes.bringup import NodeSpec, Processes
from vla_rl_nodes.closable import Closable

INTERVENTION = "intervention"
VICTIMS = ("policy", INTERVENTION, "proprio_ingest", "camera_ingest", "safety_filter")
# Every node says this, or that it has none, when its constructor is through.
UP = "real-time priority"
_PATIENCE_S = 5.0


class Victims(Closable):
    """Kills and restarts; the person's process runs only in the trials that are about it.

    Args:
        processes: the graph.
        specs: of its nodes.
        contract: name or path.
        namespace: of the robot.
        logs: folder of the graph's logs.
    """

    def __init__(
        self,
        processes: Processes,
        specs: Sequence[NodeSpec],
        contract: str,
        namespace: str,
        logs: Path,
    ) -> None:
        self._processes, self._logs = processes, logs
        self._specs = {spec.executable: spec for spec in specs}
        self._contract, self._namespace = contract, namespace
        self._person: subprocess.Popen[bytes] | None = None

    def begin_intervention(self, seed: int) -> None:
        """Starts the process that intervenes."""
        with (self._logs / f"{INTERVENTION}.log").open("ab") as log:
            self._person = subprocess.Popen(
                [
                    sys.executable, "-m", "vla_rl_nodes.bench.safety_kill.person", "--ros-args",
                    "-r", f"__ns:=/{self._namespace}", "-p", f"contract:={self._contract}",
                    "-p", f"seed:={seed}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | dict(os.environ),
                start_new_session=True,
            )  # fmt: skip

    def end_intervention(self) -> None:
        """Ends the process that intervenes, if there is one."""
        if self._person is not None:
            self._person.terminate()
            try:
                self._person.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._person.kill()
                self._person.wait()
            self._person = None

    def kill(self, victim: str) -> None:
        """SIGKILL."""
        if victim != INTERVENTION:
            self._processes.kill(victim)
        elif self._person is not None:
            self._person.kill()
            self._person.wait()

    def restart(self, victim: str, seed: int) -> None:
        """Starts a killed process again; see :meth:`ups` for when it is up."""
        if victim == INTERVENTION:
            self.begin_intervention(seed)
        else:
            self._processes.start([self._specs[victim]], self._namespace)

    def ups(self, victim: str) -> int:
        """How often a process of that name has come up so far."""
        log = self._logs / f"{victim}.log"
        return log.read_text(errors="replace").count(UP) if log.exists() else 0

    def close(self) -> None:
        """Ends the process that intervenes; the graph is its starter's."""
        self.end_intervention()
