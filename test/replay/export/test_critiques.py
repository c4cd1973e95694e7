"""What judges said, through the formats of other tools and back."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.critique import MOST_BYTES, Critique, from_text, to_texts
from vla_rl_nodes.replay.episode import EpisodeData, load_episode
from vla_rl_nodes.replay.export import lerobot_layout as layout
from vla_rl_nodes.replay.export import parquet
from vla_rl_nodes.replay.export.command import export_command
from vla_rl_nodes.replay.export.lerobot_frames import frames_of
from vla_rl_nodes.replay.export.lerobot_import import LeRobotImport
from vla_rl_nodes.replay.export.lerobot_read import LeRobotFolder
from vla_rl_nodes.replay.export.lerobot_write import write_lerobot
from vla_rl_nodes.replay.export.mapping import Mapping, plan
from vla_rl_nodes.replay.export.rlds import write_rlds
from vla_rl_nodes.replay.export.robomimic import NAME, write_robomimic
from vla_rl_nodes.replay.export.source import Episodes, open_episodes
from vla_rl_nodes.replay.folder import write_episode

from ..plain_steps import steps_episode
from ..spoken import HARD, codes, critique, with_critiques, words
from .test_rlds import records

STEPS = 5
DATA = layout.DATA_TEMPLATE.format(chunk_index=0, file_index=0)
FORMATS = ("lerobot", "robomimic", "rlds")


def plain(place: Path, said: Sequence[Critique], name: str = "e", **steps: Any) -> Path:
    return write_episode(with_critiques(steps_episode([0.0] * STEPS, **steps), said, name), place)


def write(form: str, episodes: Episodes, out: Path) -> None:
    if form == "lerobot":
        write_lerobot(episodes, out, "png")
    elif form == "robomimic":
        write_robomimic(episodes, out)
    else:
        write_rlds(episodes, out, "png")


def texts_in(form: str, out: Path) -> list[list[str]] | None:
    """The texts of each run as the tool's own library gives them; None where there are none."""
    if form == "lerobot":
        table = pq.read_table(out / DATA)
        info = json.loads((out / layout.INFO).read_text())["features"]
        assert (layout.CRITIQUES in info) == (layout.CRITIQUES in table.column_names)
        if layout.CRITIQUES not in info:
            return None
        assert info[layout.CRITIQUES] == {"dtype": "string", "shape": [1], "names": None}
        rows = table.select([layout.CRITIQUES, "episode_index"]).to_pylist()
        runs = range(rows[-1]["episode_index"] + 1)
        return [[r[layout.CRITIQUES] for r in rows if r["episode_index"] == i] for i in runs]
    if form == "robomimic":
        with h5py.File(out / NAME) as file:
            demos = [file["data"][f"demo_{i}"] for i in range(len(file["data"]))]
            if "critiques" not in demos[0]:
                return None
            return [demo["critiques"].asstr()[:].tolist() for demo in demos]
    found = records(out / "vla_rl-train.tfrecord-00000-of-00001")
    features = json.loads((out / "features.json").read_text())
    steps = features["featuresDict"]["features"]["steps"]["sequence"]["feature"]
    assert ("critiques" in steps["featuresDict"]["features"]) == ("steps/critiques" in found[0])
    if "steps/critiques" not in found[0]:
        return None
    values = [list(record["steps/critiques"].byteslist.value) for record in found]
    assert all(texts[-1] == b"" for texts in values)  # the row of the last observation
    return [[text.decode() for text in texts[:-1]] for texts in values]


def back(texts: Sequence[str], first: int = 0) -> list[Critique]:
    return [c for step, text in enumerate(texts) for c in from_text(text, first + step, "here")]


SAID = st.lists(
    st.builds(
        Critique, step=st.integers(0, STEPS - 1), stamp_ns=st.integers(0, 2**62), source=words,
        text=words, code=codes,
    ),
    max_size=6,
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(said=SAID)
def test_every_format_gives_the_very_words_back(
    tmp_path_factory: pytest.TempPathFactory, said: list[Critique]
) -> None:
    place = tmp_path_factory.mktemp("said")
    folder = plain(place, said)
    for form in FORMATS:
        episodes = open_episodes([folder])
        write(form, episodes, place / form)
        texts = texts_in(form, place / form)
        if not said:
            assert texts is None
            continue
        assert texts is not None
        found = back(texts[0])
        assert found == sorted(said, key=lambda c: c.step)
        assert [c.text.encode() for c in found] == [
            c.text.encode() for c in load_episode(folder).header.critiques
        ]
        assert (episodes.counts.critiques, episodes.counts.critiques_left_out) == (len(said), 0)
    shutil.rmtree(place)


@pytest.mark.parametrize("form", FORMATS)
def test_hard_words_of_several_judges_and_episodes(form: str, tmp_path: Path) -> None:
    said = [critique(n % STEPS, text, f"{n}{text}", n - 9) for n, text in enumerate(HARD)]
    folders = [plain(tmp_path, said, "a"), plain(tmp_path, [], "b")]
    for name in ("one", "two"):
        write(form, open_episodes(folders), tmp_path / name)
    texts = texts_in(form, tmp_path / "one")
    assert texts is not None and texts[1] == [""] * STEPS
    assert back(texts[0]) == sorted(said, key=lambda c: c.step)
    files = [p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*")]
    for path in files:
        if (tmp_path / "one" / path).is_file():
            one, two = ((tmp_path / name / path).read_bytes() for name in ("one", "two"))
            assert one == two, path


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_of_no_exported_step_is_told_in_one_line(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [critique(-1, "before"), critique(1, "a"), critique(2, "lost"), critique(4, "b")]
    folder = plain(tmp_path, said, executed=[0.0, 1.0, float("nan"), 3.0, 4.0])
    options = Namespace(
        episodes=[folder], format=form, out=tmp_path / "out", images=None, json=False
    )
    assert export_command(options) == 0
    line = "left out: 2 of 4 critiques, which are of no step that is exported\n"
    assert capsys.readouterr().out.endswith(line)
    texts = texts_in(form, tmp_path / "out")
    assert texts is not None
    assert [back(run, first) for run, first in zip(texts, (0, 3), strict=True)] == [
        [said[1]], [said[3]],
    ]  # fmt: skip
    assert [len(run) for run in texts] == [2, 2]


def imported(dataset: Path, contract: Contract) -> list[EpisodeData | InputError]:
    folder = LeRobotFolder(dataset)
    return list(LeRobotImport(folder, plan(folder, contract, Mapping(mapping=1))).episodes())


def test_what_lerobot_s_format_kept_comes_back_as_an_episode(
    spoken: list[Path], small: Contract, tmp_path: Path
) -> None:
    write_lerobot(open_episodes(spoken), tmp_path / "d", "png")
    runs = list(open_episodes(spoken).runs())
    found = imported(tmp_path / "d", small)
    assert len(found) == len(runs)
    for episode, run in zip(found, runs, strict=True):
        assert isinstance(episode, EpisodeData)
        rows = range(run.first_step, run.first_step + run.length)
        expected = [
            c.model_copy(update={"step": c.step - run.first_step})
            for c in run.header.critiques
            if c.step in rows
        ]
        assert episode.header.critiques == expected and expected
        again = load_episode(write_episode(episode, tmp_path / "replay"))
        assert again.header == episode.header


def test_words_that_are_not_from_here_are_not_believed(
    spoken: list[Path], small: Contract, tmp_path: Path
) -> None:
    write_lerobot(open_episodes(spoken[:1]), tmp_path / "d", "png")
    table = pq.read_table(tmp_path / "d" / DATA)
    at = table.column_names.index(layout.CRITIQUES)
    whole = to_texts([critique(0, "x" * (MOST_BYTES // 2))] * 2, 1)[0]

    def damaged(column: Any, said: str) -> None:
        changed = table.set_column(at, layout.CRITIQUES, column)
        pq.write_table(changed, tmp_path / "d" / DATA)
        for episode in imported(tmp_path / "d", small):
            assert isinstance(episode, InputError)
            assert said in str(episode) and "\n" not in str(episode)

    rows = table.num_rows
    damaged(pa.array(["[{}]"] * rows), "step 0: holds a text that is no list of critiques")
    damaged(pa.array([1] * rows), "'complementary_info.critiques' is not of text")
    damaged(pa.array([None] * rows, pa.string()), "'complementary_info.critiques' is not of text")
    damaged(pa.array([whole] * rows), "has more critiques than an episode can")
    changed = table.drop_columns([layout.CRITIQUES])
    pq.write_table(changed, tmp_path / "d" / DATA)
    assert all(isinstance(e, InputError) for e in imported(tmp_path / "d", small))


def test_absurdly_much_text_is_refused(
    spoken: list[Path], small: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lerobot(open_episodes(spoken[:1]), tmp_path / "d", "png")
    monkeypatch.setattr(parquet, "LARGEST_TEXTS", 1000)
    for episode in imported(tmp_path / "d", small):
        assert isinstance(episode, InputError) and "is absurdly large" in str(episode)


def test_statistics_are_of_numbers(spoken: list[Path], tmp_path: Path) -> None:
    write_lerobot(open_episodes(spoken), tmp_path / "d", "png")
    stats = json.loads((tmp_path / "d" / layout.STATS).read_text())
    assert layout.CRITIQUES not in stats and "action" in stats
    rows = pq.read_table(tmp_path / "d" / layout.EPISODES).column_names
    assert not any(layout.CRITIQUES in name for name in rows)
    assert np.isfinite(stats["action"]["mean"]).all()


def test_critiques_of_frames_that_make_no_step_are_left_out(
    spoken: list[Path], small: Contract, tmp_path: Path
) -> None:
    write_lerobot(open_episodes(spoken), tmp_path / "d", "png")
    (tmp_path / "d" / layout.FINAL).unlink()  # so that the last action has no successor
    runs = list(open_episodes(spoken).runs())
    compared = 0
    for episode, run in zip(imported(tmp_path / "d", small), runs, strict=True):
        if isinstance(episode, EpisodeData):
            assert episode.header.steps == run.length - 1
            assert to_texts(episode.header.critiques, run.length - 1) == run.critiques[:-1]
            compared += 1
        else:
            assert run.length == 1
    assert compared > 5
    # Of another rate, or of another program, they would say something else.
    dataset = LeRobotFolder(tmp_path / "d")
    reader = LeRobotImport(dataset, found := plan(dataset, small, Mapping(mapping=1)))
    longest = max(dataset.entries, key=lambda entry: entry.length)
    frames = frames_of(dataset, found, longest, None)
    assert reader._critiques(longest, frames) != []
    assert reader._critiques(longest, replace(frames, every=2)) == []
    dataset.export = None
    assert reader._critiques(longest, frames) == []
