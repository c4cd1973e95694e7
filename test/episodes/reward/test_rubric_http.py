"""The served rubric, against a server that is slow, dies, or talks nonsense."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vla_rl_nodes.episodes.reward.rubric import Scale
from vla_rl_nodes.episodes.reward.rubric_http import HttpRubric
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.spec import Server

from .models import CAMERA, CONTRACT, film
from .scoring import Mood, ScoringServer

pytestmark = pytest.mark.learner  # for the pictures' module only
SCALE = Scale((0.0, 0.25, 0.5, 0.75, 1.0), 5)


@pytest.fixture
def server() -> Iterator[ScoringServer]:
    with ScoringServer() as running:
        yield running


def judge_of(url: str, answer_s: float = 5.0, **changes: Any) -> HttpRubric:
    spec = Server.model_validate({"url": url, "answer_s": answer_s, "connect_s": 2.0, **changes})
    return HttpRubric("rubric.yaml", spec, CAMERA, 4, SCALE)


def test_the_request_and_its_answer(server: ScoringServer) -> None:
    with judge_of(server.url) as judge:
        verdict = judge.judge(film([0.0, 0.2, 0.4, 1.0], stamp_ms=7))
        assert (verdict.reward, verdict.success, verdict.progress) == (1.0, True, 1.0)
        assert verdict.critique == "The scene is 1.00 bright – “nearly”."
        assert verdict.critique_code == 5 and verdict.confidence is None
        assert verdict.stamp_ns == 7_000_000 and verdict.source == "rubric5/127.0.0.1"
        assert judge.judge(film([1.0, 1.0, 1.0, 0.5])).reward == 0.5
    request = server.asked[0]
    assert set(request) == {"task", "frames"} and request["task"] == CONTRACT.task
    seen = [np.asarray(Image.open(io.BytesIO(base64.b64decode(frame)))).mean() / 255
            for frame in request["frames"]]  # fmt: skip
    assert seen == pytest.approx([0.0, 0.2, 0.4, 1.0], abs=0.01)


@pytest.mark.parametrize(
    ("mood", "problem"),
    [
        ("dies", "cannot be reached"), ("nonsense", "is no JSON message"),
        ("no answer", "has no answer"), ("refuses", "refused the request"),
    ],
)  # fmt: skip
def test_a_bad_server_gives_no_verdict_and_a_better_one_does(
    server: ScoringServer, mood: Mood, problem: str
) -> None:
    with judge_of(server.url) as judge:
        server.mood = mood
        with pytest.raises(InputError, match=problem) as caught:
            judge.judge(film([1.0] * 4))
        assert "\n" not in str(caught.value)
        server.mood = "good"
        assert judge.judge(film([1.0] * 4)).success is True


def test_a_slow_server_runs_into_the_deadline(server: ScoringServer) -> None:
    with judge_of(server.url, answer_s=0.1) as judge:
        server.mood = "slow"
        with pytest.raises(InputError, match=r"gave no answer within 0\.1 s"):
            judge.judge(film([1.0] * 4))


def test_a_server_that_is_gone_comes_back() -> None:
    server = ScoringServer()
    port = server.port
    with judge_of(server.url) as judge:
        assert judge.judge(film([1.0] * 4)).success is True
        server.close()
        server.mood = "dies"  # a thread that still holds the connection
        with pytest.raises(InputError, match="cannot be reached"):
            judge.judge(film([1.0] * 4))
        with ScoringServer(port):
            assert judge.judge(film([1.0] * 4)).success is True


@pytest.mark.parametrize(
    "answer", [b'{"answer": 5}', b'["ANSWER: 5"]', b'{"score": 5}', b'"ANSWER: 5"']
)
def test_another_form_of_answer_is_none(
    server: ScoringServer, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "answer", lambda request: answer)
    with judge_of(server.url) as judge, pytest.raises(InputError, match="holds no text 'answer'"):
        judge.judge(film([1.0] * 4))


def test_the_key_comes_from_the_environment(
    server: ScoringServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"api_key": {"environment": "SCORER_KEY", "scheme": "Bearer"}}
    monkeypatch.delenv("SCORER_KEY", raising=False)
    with pytest.raises(InputError, match="SCORER_KEY: holds no key"):
        judge_of(server.url, **key)
    monkeypatch.setenv("SCORER_KEY", "abc")
    with judge_of(server.url, **key) as judge:
        judge.judge(film([1.0] * 4))
    assert server.headers[0]["Authorization"] == "Bearer abc"


@pytest.mark.parametrize("url", ["http://example.org/score", "ws://127.0.0.1:1", "http://a:b@c"])
def test_an_address_that_would_leak_is_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"rubric\.yaml: server\.url"):
        judge_of(url)
