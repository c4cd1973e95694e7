"""The report is one well-formed page that needs nothing else, and says what the figures say."""

from __future__ import annotations

import base64
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vla_rl_nodes.demo.measure import EpisodeMeasure, measure_episode
from vla_rl_nodes.demo.page import Html, number, tag
from vla_rl_nodes.demo.report import typical, write_report
from vla_rl_nodes.demo.summary import summarise
from vla_rl_nodes.errors import InputError

from .demo_bag import CONTRACT, LIMITS, ROBOT, DemoBag

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Checks that elements nest, and collects what the page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def images(self, kind: str) -> list[bytes]:
        prefix = f"data:image/{kind};base64,"
        return [
            base64.b64decode(attributes["src"].removeprefix(prefix), validate=True)
            for name, attributes in self.tags
            if name == "img" and attributes["src"].startswith(prefix)
        ]


def written(
    out: Path, measures: list[EpisodeMeasure], blackout: list[EpisodeMeasure], unrecorded: int = 0
) -> tuple[str, Page]:
    summary = summarise(measures, 0, "fr3", blackout=blackout, unrecorded=unrecorded)
    html, data = write_report(out, summary, measures, blackout)
    assert json.loads(data.read_text()) == summary
    text = html.read_text(encoding="utf-8")
    return text, Page(text)


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory,
    measures: list[EpisodeMeasure],
    blackout: list[EpisodeMeasure],
) -> tuple[str, Page]:
    return written(tmp_path_factory.mktemp("report"), measures, blackout)


def test_it_needs_nothing_from_elsewhere(report: tuple[str, Page]) -> None:
    text, page = report
    assert "http:" not in text and "https:" not in text and "//" not in re.sub(
        r"base64,[A-Za-z0-9+/=]*", "", text)  # fmt: skip
    for name, attributes in page.tags:
        assert name not in {"script", "link", "iframe", "object", "embed", "base", "a", "form"}
        assert "href" not in attributes and "style" not in attributes
        assert attributes.get("src", "data:").startswith("data:")
        assert not any(key.startswith("on") for key in attributes)
    assert "@import" not in text and "url(" not in text
    assert len(text) < 3_000_000


def test_its_drawings_and_pictures_are_whole(report: tuple[str, Page]) -> None:
    _, page = report
    drawings, pictures = page.images("svg+xml"), page.images("png")
    assert len(drawings) == 10 and len(pictures) == 16
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.tag.endswith("svg")
        assert b"http" not in re.sub(rb'xmlns(:\w+)?="[^"]*"', b"", drawing)
        assert len(list(root.iter())) > 50
    for picture in pictures:
        with Image.open(io.BytesIO(picture)) as image:
            pixels = np.asarray(image)
        assert pixels.shape == (192, 192, 3)
        # Every pixel of the camera is three by three equal ones.
        blocks = pixels.reshape(64, 3, 64, 3, 3)
        assert (blocks == blocks[:, :1, :, :1]).all()
    assert all(a.get("alt") for name, a in page.tags if name == "img")


def test_it_says_what_the_figures_say(
    report: tuple[str, Page], measures: list[EpisodeMeasure]
) -> None:
    _, page = report
    text = page.text.replace("\u00a0", " ")
    assert "3 of 4 episodes succeeded" in text and "with black cameras, 0 of 2" in text
    count = len(measures[2].limits.violations)
    assert f"✗ {count}" in text and f"{count} samples were beyond a limit" in text
    assert "fr3_joint7" in text and "commanded velocity" in text
    assert "✓ All 140" in text and "139 of 140" not in text
    assert "99.3 %" in text  # 139 of 140 ticks kept
    assert "vla-rl demo --robot fr3 --seed 0 --episodes 4 --blackout 2" in text
    assert "The filter changed 0 of" in text
    for m in measures:
        assert f"{m.duration_s:.2f}" in text


def test_the_same_measures_give_the_same_bytes(
    tmp_path: Path, report: tuple[str, Page], measures: list[EpisodeMeasure],
    blackout: list[EpisodeMeasure],
) -> None:  # fmt: skip
    assert written(tmp_path, measures, blackout)[0] == report[0]


def test_what_a_bag_says_is_text(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script> & \"<img src=http:x onerror=y>"
    bag = DemoBag(seed=1, task=evil, reason=evil, outcome="failure")
    measure = measure_episode(bag.write(tmp_path), CONTRACT, ROBOT, LIMITS)
    assert measure.task == evil == measure.reason
    versioned = replace(measure, policy_versions=("</style><script>",), episode_id="<b>")
    text, page = written(tmp_path, [versioned], [])
    assert "<script" not in text and "<b>" not in text and "onerror=y>" not in text
    assert page.text.count(evil) >= 2 and "</style><script>" in page.text
    assert {name for name, _ in page.tags}.isdisjoint({"script", "b"})


def test_attributes_are_escaped() -> None:
    made = tag("img", alt='"><script>', class_="x")
    assert made == '<img alt="&quot;&gt;&lt;script&gt;" class="x">'
    assert tag("p", "a<b", Html("<i>c</i>")) == "<p>a&lt;b<i>c</i></p>"


def test_episodes_with_almost_nothing_in_them(tmp_path: Path) -> None:
    silent = DemoBag(seed=1, outcome="aborted", reason="the policy was silent")
    silent.drop = lambda m: m.topic.startswith(("policy", "safety", "fr3_arm", "franka"))
    blind = DemoBag(seed=2, outcome="timeout", images=False)
    plain = DemoBag(seed=3, chunked=False)
    folder = tmp_path / "bags"
    each = [
        measure_episode(bag.write(folder), CONTRACT, ROBOT, LIMITS)
        for bag in (silent, blind, plain)
    ]
    _, page = written(tmp_path, [each[1]], [])
    assert "No camera image was recorded" in page.text
    _, page = written(tmp_path, each, [each[0]], unrecorded=1)
    assert "1 episode left no bag" in page.text
    assert "this actor has no inference" in page.text
    _, page = written(tmp_path, [each[0]], [])
    assert "The bags hold no command, so nothing was held to the limits" in page.text
    assert "✗ 0" in page.text  # no violation in nothing is no proof


def test_a_run_without_any_bag(tmp_path: Path) -> None:
    _, page = written(tmp_path, [], [], unrecorded=3)
    assert "3 episodes left no bag" in page.text


def test_the_typical_episode_is_the_median_success(measures: list[EpisodeMeasure]) -> None:
    assert [m.duration_s for m in measures] == pytest.approx([1.0, 1.1, 1.2, 1.3])
    shown = typical(measures)  # the third one is no success
    assert shown is not None and shown.seed == 1
    assert typical([measures[2]]) is measures[2] and typical([]) is None


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written to \(no such file"):
        write_report(tmp_path / "no", summarise([], 0, "fr3"), [])


def test_figures_for_people() -> None:
    assert number(1234567) == "1\u202f234\u202f567"
    assert number(None, 2, "ms") == "–" and number(0.126, 2, "s") == "0.13\u00a0s"
