"""The whole simulated graph with the operator's page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vla_rl_nodes.bringup import NodeSpec, Processes, Value, graph
from vla_rl_nodes.nodes.driver import Driver
from vla_rl_nodes.resources import resource

from .running import CONTRACT, ROBOT, Graph

ADDRESS = re.compile(r"the operator's page is at (http\S+)")
LIMIT_S = 600.0
ARRIVAL = re.compile(r"emergency stop from the page, .* at ([0-9]+)$", re.MULTILINE)


@dataclass
class Paged:
    """A running graph, and where its page is."""

    graph: Graph
    page: NodeSpec

    @property
    def address(self) -> str:
        """Of the page that was started last."""
        found: list[str] = ADDRESS.findall(self.graph.log("operator_page"))
        return found[-1]

    def arrivals_ns(self) -> list[int]:
        """When each press of the page's emergency stop came in, on the nodes' clock."""
        return [int(at) for at in ARRIVAL.findall(self.graph.log("operator_page"))]

    def restart(self) -> None:
        """Starts the page's node again after it was killed."""
        self.graph.processes.start([self.page], ROBOT)


@contextmanager
def paged(
    folder: Path, settings: str = "", parameters: dict[str, dict[str, Value]] | None = None
) -> Iterator[Paged]:
    """The graph, up and heard; the page listens on a free port of its own choice.

    Its episodes last until somebody ends them: nothing judges them, and the limit is far away.

    Args:
        folder: of bags and logs.
        settings: further lines of page.yaml.
        parameters: of nodes.
    """
    file = folder / "page.yaml"
    file.write_text(settings or "listen: {port: 0}\n")
    own: dict[str, dict[str, Value]] = {
        "recorder": {"folder": str(folder / "bags")}, "operator_page": {"settings": str(file)},
    }  # fmt: skip
    contract = folder / "franka_pick.yaml"
    shipped = resource(f"config/contracts/{CONTRACT}.yaml").read_text()
    contract.write_text(re.sub(r"time_limit_s: \S+", f"time_limit_s: {LIMIT_S}", shipped))
    nodes = graph(str(contract), sim=True, operator=True, parameters=own | (parameters or {}))
    with Processes(folder / "logs") as processes:
        processes.start([node for node in nodes if node.executable != "reward"], ROBOT)
        with Driver(ROBOT, processes.check) as driver:
            driver.wait_until_up()
            running = Graph(processes, driver, folder)
            running.wait_for_line("operator_page", "page is at", 30.0)
            yield Paged(running, next(n for n in nodes if n.executable == "operator_page"))
