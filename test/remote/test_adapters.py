"""What the adapters refuse, in requests' maps and in answers, and Octo's window."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.adapters.base import Adapter, Sampling
from vla_rl_nodes.remote.adapters.make import make_adapter
from vla_rl_nodes.remote.adapters.octo import OctoAdapter
from vla_rl_nodes.remote.spec import Octo

from .conftest import Clock, changed
from .messages import SCALARS, assert_one_line, nested
from .server import array_of_json, json_of_array, pack

NONE = np.zeros((16, 5), np.float32)
SAMPLING = Sampling(NONE, 0, NONE)
TOKENS = {"kind": "tokens", "vocabulary": 32000, "low": [-1.0] * 7, "high": [1.0] * 7,
          "scaled": [True] * 7}  # fmt: skip
ADAPTERS = {
    "openvla": make_adapter("p", changed("openvla_bridge")),
    "double": make_adapter("p", changed("openvla_bridge", protocol__double_encoded=True)),
    "tokens": make_adapter("p", changed("openvla_bridge", protocol__answer=TOKENS)),
    "oft": make_adapter("p", changed("openvla_oft_libero")),
    "openpi": make_adapter("p", changed("openpi_pick")),
    "fast": make_adapter("p", changed("openpi_pick", protocol__answer={"kind": "coefficients"})),
    "octo": make_adapter("p", changed("octo_bridge")),
}
SHAPES = {"oft": (8, 7), "openpi": (50, 5), "fast": (50, 5), "octo": (4, 7)}


def in_words(adapter: Adapter, data: bytes) -> None:
    try:
        found = adapter.answer("server", data)
    except InputError as error:
        assert_one_line(error)
    else:
        assert np.isfinite(found.actions).all()


@given(st.sampled_from(sorted(ADAPTERS)), st.binary(max_size=100))
def test_any_bytes(name: str, data: bytes) -> None:
    in_words(ADAPTERS[name], data)
    with pytest.raises(InputError):
        ADAPTERS["openpi"].check_metadata("server", b"\xc1" + data)


ROWS = st.lists(st.floats() | st.integers(), min_size=1, max_size=8)
NESTED = nested(SCALARS | ROWS | st.lists(ROWS, max_size=3))


@given(st.sampled_from(sorted(ADAPTERS)), NESTED)
def test_any_message(name: str, message: Any) -> None:
    adapter, text = ADAPTERS[name], json.dumps(message)
    in_words(adapter, text.encode())
    in_words(adapter, json.dumps(text).encode())
    huge = json.loads(text, parse_int=lambda n: max(-(2**63), min(2**63, int(n))))
    in_words(adapter, pack({"actions": huge, "server_timing": huge}))


def answer(name: str, actions: Any) -> bytes:
    if name in ("openpi", "fast"):
        return pack({"actions": actions})
    if name == "octo":
        actions = actions[None]
    return json.dumps(actions, default=json_of_array).encode()


@pytest.mark.parametrize("name", ["openvla", "tokens", "oft", "openpi", "fast", "octo"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda a: a[..., :-1], "answered with actions ["),
        (lambda a: np.concatenate([a, a]), "answered with actions ["),
        (lambda a: np.where(a == a, np.nan, a), "not finite"),
        (lambda a: a * np.inf, "not finite"),
        (lambda a: a.astype(bool), "no array of actions"),
    ],
)
def test_answers_of_another_kind(name: str, spoil: Any, said: str) -> None:
    actions = np.ones(SHAPES.get(name, (1, 7)))
    with pytest.raises(InputError, match=said.replace("[", r"\[")):
        ADAPTERS[name].answer("server", answer(name, spoil(actions)))


@pytest.mark.parametrize("name", ["tokens", "fast"])
def test_tokens_and_coefficients_are_whole(name: str) -> None:
    with pytest.raises(InputError, match="not whole"):
        ADAPTERS[name].answer("server", answer(name, np.full(SHAPES.get(name, (1, 7)), 0.5)))


def test_the_word_error_of_openvla_is_passed_on() -> None:
    with pytest.raises(
        InputError, match=r"no array of actions \('error'\); read the server's log"
    ):
        ADAPTERS["openvla"].answer("server", b'"error"')


def test_lists_of_numbers_are_an_array_too() -> None:
    assert ADAPTERS["openvla"].answer("s", b"[1, 2, 3, 4, 5, 6, 7]").actions.tolist() == [
        [1, 2, 3, 4, 5, 6, 7]
    ]
    with pytest.raises(InputError, match="not finite"):
        ADAPTERS["openvla"].answer("s", b"[1, 2, 3, 4, 5, 6, 1" + b"0" * 400 + b"]")


def test_openpi_answers_need_actions_and_metadata_its_prefix() -> None:
    with pytest.raises(InputError, match="without actions"):
        ADAPTERS["openpi"].answer("s", pack({"action": np.ones((50, 5))}))
    with pytest.raises(InputError, match="does not begin with its metadata"):
        ADAPTERS["openpi"].check_metadata("s", pack([1, 2]))
    prefixed = make_adapter("p", changed("franka_pick_served"))
    prefixed.check_metadata("s", pack({"prefix": True}))
    with pytest.raises(InputError, match=r"set protocol\.prefix to false"):
        prefixed.check_metadata("s", pack({"prefix": "no"}))


@pytest.mark.parametrize("took", [None, "5", True, -1.0, float("nan"), [1.0]])
def test_an_odd_time_of_the_server_is_no_reason_to_refuse(took: Any) -> None:
    data = pack({"actions": np.ones((50, 5)), "server_timing": {"infer_ms": took}})
    assert ADAPTERS["openpi"].answer("s", data).server_ms is None


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("openvla_bridge", {"observation__images": [
            {"stream": "image_scene", "key": "full", "width": 8, "height": 8, "fit": "pad"}]},
         "one image and no state"),
        ("openvla_bridge", {"observation__vectors": [{"key": "s", "parts": [{"constant": 1.0}]}]},
         "one image and no state"),
        ("openvla_bridge", {"protocol__answer": TOKENS | {
            "low": [-1.0] * 6, "high": [1.0] * 6, "scaled": [True] * 6}},
         "not one entry for each axis"),
        ("openvla_oft_libero", {"observation__images": [
            {"stream": "image_scene", "key": "image", "width": 8, "height": 8, "fit": "pad"}]},
         "full_image first"),
        ("openvla_oft_libero", {"observation__vectors": [
            {"key": "proprio", "parts": [{"constant": 1.0}]}]}, "takes one, state"),
        ("openpi_pick", {"observation__vectors": [
            {"key": "prompt", "parts": [{"constant": 1.0}]}]}, "key prompt is taken"),
        ("octo_bridge", {"observation__images": [
            {"stream": "image_scene", "key": "scene", "width": 8, "height": 8, "fit": "pad"}]},
         "image_primary and image_wrist"),
        ("octo_bridge", {"observation__vectors": [
            {"key": "state", "parts": [{"constant": 1.0}]}]}, "takes one, proprio"),
        ("octo_bridge", {"protocol__goal_image": "/nowhere.png"}, "is no JPEG or PNG"),
        ("octo_bridge", {"protocol__goal_key": "image_top"}, "one of them image_top"),
    ],
)  # fmt: skip
def test_maps_that_a_protocol_cannot_carry(name: str, changes: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_adapter("p.yaml", changed(name, **changes))


class TestOctoWindow:
    """Three observations, 0.2 s apart."""

    @pytest.fixture
    def adapter(self, clock: Clock) -> OctoAdapter:
        spec = Octo(adapter="octo", unnorm_key="bridge_dataset", window=3)
        sent = changed("octo_bridge").observation
        return OctoAdapter("p", spec, sent, (4, 7), 5, clock)

    def ask(self, adapter: OctoAdapter, shade: int) -> tuple[list[bool], list[int]]:
        """The mask, and the shade of each image in the window."""
        fields = {"image_primary": np.full((2, 2, 3), shade, np.uint8)}
        request = json.loads(adapter.request(fields, "go", SAMPLING), object_hook=array_of_json)
        seen = request["observation"]
        assert seen["image_primary"].shape == (1, 3, 2, 2, 3)
        return seen["timestep_pad_mask"][0].tolist(), seen["image_primary"][0, :, 0, 0, 0].tolist()

    def test_fills_up_and_moves_on(self, adapter: OctoAdapter, clock: Clock) -> None:
        assert self.ask(adapter, 1) == ([False, False, True], [1, 1, 1])
        clock.now += 0.2
        assert self.ask(adapter, 2) == ([False, True, True], [1, 1, 2])
        clock.now += 0.21
        assert self.ask(adapter, 3) == ([True, True, True], [1, 2, 3])
        clock.now += 0.19
        assert self.ask(adapter, 4) == ([True, True, True], [2, 3, 4])

    def test_a_pause_masks_what_was_before_it(self, adapter: OctoAdapter, clock: Clock) -> None:
        for shade in (1, 2, 3):
            self.ask(adapter, shade)
            clock.now += 0.2
        clock.now += 5.0
        assert self.ask(adapter, 4) == ([False, False, True], [2, 3, 4])

    def test_another_rate_is_not_taken_for_the_servers(
        self, adapter: OctoAdapter, clock: Clock
    ) -> None:
        for shade in (1, 2, 3):
            mask, _ = self.ask(adapter, shade)
            clock.now += 0.05
        assert mask == [False, False, True]
