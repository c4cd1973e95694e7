"""What the bridge says of itself, and when it hands a bundle to the policy node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vla_rl_nodes.link.robot_link import LinkStatus
from vla_rl_nodes.link.robot_settings import load_robot_settings
from vla_rl_nodes.nodes import policy_offers
from vla_rl_nodes.nodes.event import ERROR, OK, WARN, Event
from vla_rl_nodes.nodes.policy_offers import PolicyOffers
from vla_rl_nodes.nodes.replay_bridge import status_event, with_parameters
from vla_rl_nodes.resources import resource

SECOND = 1_000_000_000


def test_the_status_tells_what_is_wrong_first() -> None:
    status = LinkStatus(connection="up", waiting=2, waiting_bytes=30, bytes_per_s=1.4)
    event = status_event(status, 5 * SECOND)
    assert (event.message, event.level, event.stamp_ns) == ("up", OK, 5 * SECOND)
    assert event.values["queue"] == "2" and event.values["queue_bytes"] == "30"
    assert event.values["bytes_per_s"] == "1" and event.values["oldest_s"] == "0.0"
    assert status_event(replace(status, held=1), 0).level == WARN
    assert status_event(replace(status, connection="down"), 0).level == WARN
    full = status_event(replace(status, full=True), 0)
    assert (full.message, full.level, full.values["full"]) == ("full", ERROR, "1")
    assert float(status_event(replace(status, oldest_ns=1), 0).values["oldest_s"]) > 1e9


def test_parameters_stand_above_the_file(tmp_path: Path) -> None:
    settings = load_robot_settings(resource("config/link/robot.yaml"))
    assert with_parameters(settings, "", "") == settings
    changed = with_parameters(settings, "plane", str(tmp_path))
    assert changed.bags == tmp_path and changed.bundles.contract == "plane"
    assert changed.bundles.take == "never"


class Client:
    """A policy node's parameters, as far as the offers use them."""

    def __init__(self, node: object, name: str) -> None:
        self.ready, self.asked = True, []  # type: ignore[var-annotated]
        self.reply: str | None = None

    def services_are_ready(self) -> bool:
        return self.ready

    def set_parameters(self, wanted: list[Any]) -> Client:
        self.asked.append(Path(wanted[0].value).name)
        return self

    def done(self) -> bool:
        return self.reply is not None

    def result(self) -> Any:
        result = type("Result", (), {"successful": self.reply == "", "reason": self.reply})
        self.reply = None
        return type("Answer", (), {"results": [result]})


class Offers:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.offers = PolicyOffers(
            None, lambda v, state, reason, held: self.told.append((v, state, reason))
        )

    @property
    def client(self) -> Client:
        return self.offers._client  # type: ignore[no-any-return]

    def news(self, what: str, version: str = "", reason: str = "", **state: str) -> None:
        values = {"phase": "serving", "serving": "old", **state}
        self.offers.hear(Event("bundle", what, {"version": version, "reason": reason, **values}))

    def answer(self, reply: str) -> None:
        self.offers.look()
        self.client.reply = reply
        self.offers.look()


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Offers:
    monkeypatch.setattr(policy_offers, "AsyncParameterClient", Client)
    return Offers()


def test_a_new_bundle_is_offered_once(policy: Offers) -> None:
    policy.offers.want("v1", Path("/b/v1"), True)
    policy.offers.look()
    assert policy.client.asked == []  # nothing was heard of the policy node yet
    policy.news("serving", "old")
    policy.answer("")
    for _ in range(3):
        policy.offers.look()
    assert policy.client.asked == ["v1"] and policy.told == [("v1", "offered", "")]


def test_it_waits_while_the_policy_is_busy(policy: Offers) -> None:
    for phase in ("loading", "trial"):
        policy.news("confirmed", "old", phase=phase)
        policy.offers.want("v1", Path("/b/v1"), True)
        policy.offers.look()
        assert policy.client.asked == []
    policy.news("confirmed", "old")
    policy.offers.look()
    assert policy.client.asked == ["v1"]
    # It became busy in between: that is no refusal.
    policy.news("loading", "other", phase="loading", candidate="other")
    policy.client.reply = "bundle: another one is being loaded"
    policy.offers.look()
    assert ("v1", "refused", "bundle: another one is being loaded") not in policy.told
    policy.news("confirmed", "other", serving="other")
    policy.answer("")
    assert policy.client.asked == ["v1", "v1"] and policy.told[-1] == ("v1", "offered", "")


def test_a_refusal_is_final(policy: Offers) -> None:
    policy.offers.want("v1", Path("/b/v1"), True)
    policy.news("serving", "old")
    policy.answer("manifest.sig: is not trusted")
    assert policy.told == [("v1", "refused", "manifest.sig: is not trusted")]
    policy.news("serving", "old")
    policy.offers.look()
    assert policy.client.asked == ["v1"]


def test_every_step_is_told(policy: Offers) -> None:
    for what, state in (
        ("shadowing", "shadow"), ("trial", "taken"), ("confirmed", "taken"),
        ("rolled back", "rolled_back"), ("refused", "refused"), ("withdrawn", "refused"),
    ):  # fmt: skip
        policy.news(what, "v1", "why")
        assert policy.told[-1][:2] == ("v1", state) and policy.told[-1][2].endswith("why")
    count = len(policy.told)
    policy.news("loading", "v1")
    policy.news("ready", "v1")
    policy.news("refused", "")
    assert len(policy.told) == count


def test_a_policy_that_starts_again_gets_the_last_good_one(policy: Offers) -> None:
    policy.offers.want("v1", Path("/b/v1"), False)
    policy.news("confirmed", "else", serving="else")
    policy.offers.look()
    assert policy.client.asked == []  # a person has chosen another one since
    policy.news("serving", "old")
    policy.answer("")
    assert policy.client.asked == ["v1"]


def test_one_that_was_rolled_back_is_not_offered_to_it(policy: Offers) -> None:
    policy.offers.want("v1", Path("/b/v1"), True)
    policy.news("serving", "old")
    policy.answer("")
    policy.news("rolled back", "v1", "late")
    policy.news("serving", "old")
    policy.offers.look()
    assert policy.client.asked == ["v1"]


def test_what_it_holds_already_is_not_asked_for(policy: Offers) -> None:
    policy.offers.want("v1", Path("/b/v1"), True)
    policy.news("serving", "v1", serving="v1")
    policy.offers.look()
    assert policy.client.asked == []
