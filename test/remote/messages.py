"""Messages for the fuzz tests: whole ones, and ones that are almost whole."""

from __future__ import annotations

from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
NUMBERS = st.sampled_from(["<f4", "<f8", "|u1", "|b1", "|O", "<U1", "<i8", ">i2", "f4", ""])
LENGTHS = st.lists(st.integers(-1, 5) | st.integers(0, 2**64 - 1), max_size=7)


def assert_one_line(error: InputError) -> None:
    """Short enough for a log, whatever came."""
    assert "\n" not in str(error) and len(str(error)) < 400


def nested(leaves: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Lists and maps with text as keys around some leaves."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
