from __future__ import annotations

import pytest

from vla_rl_nodes.episodes.discarded import is_discarded


@pytest.mark.parametrize(
    ("values", "expected"),
    [({}, False), ({"discarded": ""}, False), ({"discarded": "0"}, False),
     ({"discarded": "1"}, True), ({"discarded": "perhaps"}, True)],
)  # fmt: skip
def test_what_nobody_knows_is_not_used(values: dict[str, str], expected: bool) -> None:
    assert is_discarded(values) is expected
