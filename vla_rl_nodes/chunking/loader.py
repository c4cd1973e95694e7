"""Takes a bundle from its folder to the policy that acts, in the background."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

from vla_rl_nodes.chunking.live import LivePolicy
from vla_rl_nodes.chunking.opening import Opener
from vla_rl_nodes.chunking.rehearsal import rehearse
from vla_rl_nodes.errors import InputError

BUSY = InputError("bundle", "another one is being loaded", "ask again when it is in the shadow")


class BundleLoader:
    """One bundle at a time: verified, tried in a process of its own, opened, handed over.

    Opening a graph holds the interpreter while onnxruntime reads it, about 0.6 ms for a MiB of
    it, and not while it is initialised (measured with onnxruntime 1.31).

    Args:
        opener: verifies and opens.
        live: is offered the bundles.
        processor_s: of the trial in the other process.
    """

    def __init__(self, opener: Opener, live: LivePolicy, processor_s: float) -> None:
        self._opener, self._live, self._processor_s = opener, live, processor_s
        self._thread: threading.Thread | None = None

    def ask(self, path: Path, patience_s: float) -> str:
        """Starts loading a bundle; from one thread.

        Returns:
            Why it is refused, or an empty text. When the verification takes longer than
            ``patience_s`` it is empty, and a refusal is told by ``live`` alone.
        """
        if self._thread is not None and self._thread.is_alive():
            return str(BUSY)
        verdict: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._load, args=(path, verdict), name="bundle loader", daemon=True
        )
        self._thread.start()
        try:
            return verdict.get(timeout=patience_s)
        except queue.Empty:
            return ""

    def _load(self, path: Path, verdict: queue.SimpleQueue[str]) -> None:
        version = ""
        try:
            bundle = self._opener.verify(path)
            version = bundle.version
            wanted = self._live.offer(version, path)
            verdict.put("")
            if wanted:
                rehearse(self._opener.setup, path, version, self._processor_s)
                self._live.opened(version, self._opener.open(bundle))
        except InputError as error:
            self._refuse(version, str(error), verdict)
        except Exception as error:  # whatever it is, the policy that acts goes on
            line = InputError(path, f"fails: {type(error).__name__}: {error}", "report this")
            self._refuse(version, str(line), verdict)

    def _refuse(self, version: str, line: str, verdict: queue.SimpleQueue[str]) -> None:
        self._live.refuse(version, line)
        verdict.put(line)
