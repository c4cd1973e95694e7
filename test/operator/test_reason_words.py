"""Every reason of the filter has words for a person."""

from __future__ import annotations

from vla_rl_nodes.operator.reason_words import WORDS, in_words
from vla_rl_nodes.safety.reasons import Reason, reason_names


def test_every_reason_has_words_and_nothing_else_has() -> None:
    names = [name for reason in Reason for name in reason_names(reason)]
    assert sorted(WORDS) == sorted(names)
    assert len(set(WORDS.values())) == len(WORDS)


def test_lists() -> None:
    assert in_words("workspace, joint_velocity") == [WORDS["workspace"], WORDS["joint_velocity"]]
    assert in_words("") == [] and in_words(",,") == []
    assert in_words("made_up_later") == ["made up later"]
