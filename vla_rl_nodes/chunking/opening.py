"""From a bundle's folder to a strategy that can plan, the same way at every start and swap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from vla_rl_nodes.chunking.models import candidates_of, open_models
from vla_rl_nodes.chunking.settings import load_chunking
from vla_rl_nodes.chunking.strategies.make import make_strategy
from vla_rl_nodes.chunking.strategies.strategy import Strategy
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.policy.bundle import Bundle, load_bundle
from vla_rl_nodes.policy.selection import AUTO
from vla_rl_nodes.policy.trust import trusted_keys


@dataclass(frozen=True)
class Setup:
    """What a robot opens bundles with; all text, so that another process can be told.

    Attributes:
        contract: name or path.
        chunking: name or path of the strategy's settings.
        engine: ``auto`` or the name of one.
        trusted_keys: folder of public keys; empty for the shipped one.
    """

    contract: str
    chunking: str = "prefix"
    engine: str = AUTO
    trusted_keys: str = ""

    def as_dict(self) -> dict[str, str]:
        """The fields by name."""
        return asdict(self)


class Opener:
    """Verifies and opens bundles for one contract and one strategy.

    Args:
        setup: what to open them with.
        tell: told which engine is taken, and one line for each faster one on why it is not.

    Raises:
        InputError: the contract, the settings or the keys are not there or not good.
    """

    def __init__(self, setup: Setup, tell: Callable[[str], None] = lambda line: None) -> None:
        self.setup = setup
        self.contract = load_contract(setup.contract)
        self.settings = load_chunking(setup.chunking)
        self._keys = trusted_keys(Path(setup.trusted_keys) if setup.trusted_keys else None)
        self._tell = tell

    def verify(self, path: Path) -> Bundle:
        """Reads a bundle and checks signature, hashes and contract; see load_bundle."""
        return load_bundle(path, self.contract, self._keys)

    def open(self, bundle: Bundle) -> Strategy:
        """Opens and tries every network of a verified bundle.

        Raises:
            InputError: one of them must not run, or the strategy needs one that is not there.
        """
        models = open_models(
            bundle, self.setup.engine, candidates=candidates_of(self.settings), tell=self._tell
        )
        return make_strategy(self.settings, models)
