"""What viewers may do, and when: through the server, without ROS."""

from __future__ import annotations

import asyncio
import time

from page_serving import Browser, Served, run, serving, until

from vla_rl_nodes.operator.answer import Answer
from vla_rl_nodes.operator.command_table import COMMANDS
from vla_rl_nodes.operator.e_stop_button import QUICK


def test_every_command_calls_its_service_and_gives_its_words() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as browser:
            await browser.ask(kind="take", name="op1")
            page.robot.answers["failure"] = Answer(False, "not while idle")
            for name in COMMANDS:
                if name == "reset_e_stop":
                    continue
                answer = await browser.ask(kind="do", what=name)
                assert answer["what"] == name
                expected = (
                    (False, "not while idle") if name == "failure" else (True, f"{name} done")
                )
                assert (answer["ok"], answer["text"]) == expected
            assert page.robot.called == [name for name in COMMANDS if name != "reset_e_stop"]
            assert page.robot.operators == ["op1"]

    run(scenario)


def test_without_control_nothing_is_called() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as one, page.browser() as other:
            assert not (await one.ask(kind="do", what="start"))["ok"]
            await one.ask(kind="take", name="op1")
            answer = await other.ask(kind="do", what="start")
            assert not answer["ok"] and "op1" in answer["text"]
            await other.send(kind="jog", axes=[1, 0, 0, 0, 0, 0], gripper=False, at_ms=1)
            assert not (await other.ask(kind="release_e_stop"))["ok"]
            assert not (await other.ask(kind="do", what="nonsense"))["ok"]
            assert page.robot.called == [] and page.robot.stops == []
            assert not any(sticks.held for _, sticks in page.robot.sticks)

    run(scenario)


def test_control_goes_from_one_to_the_other_and_is_given_up_with_the_connection() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as one:
            async with page.browser() as other:
                await other.ask(kind="take", name="op2")
                state = await one.state(lambda s: s["control"]["name"] == "op2")
                assert not state["control"]["mine"] and state["control"]["viewers"] == 2
                assert not (await one.ask(kind="take", name="op1"))["ok"]
                assert (await one.ask(kind="take", name="op1", over=True))["ok"]
                await other.state(lambda s: s["control"]["name"] == "op1")
                assert (await other.ask(kind="take", name="op2", over=True))["ok"]
            await one.state(lambda s: s["control"]["name"] == "")
            await one.ask(kind="take", name="op1")
            await one.state(lambda s: s["control"]["mine"])
            assert (await one.ask(kind="give"))["ok"]
            await one.state(lambda s: not s["control"]["mine"])

    run(scenario)


def test_the_emergency_stop_needs_no_control_and_is_repeated() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as one, page.browser() as other:
            await one.ask(kind="take", name="op1")
            answer = await other.ask(kind="e_stop")
            assert answer["ok"] and page.robot.stops[0][1] is True
            await until(lambda: len(page.robot.stops) > QUICK)
            quick = [at for at, _ in page.robot.stops[: QUICK + 1]]
            assert all(pressed for _, pressed in page.robot.stops)
            assert quick == sorted(quick)
            assert (await one.state(lambda s: True))["pressed"]

    run(scenario)


def test_a_service_that_hangs_keeps_nothing_else_waiting() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as browser:
            await browser.ask(kind="take", name="op1")
            page.robot.hold = asyncio.Event()
            await browser.send(kind="do", n=900, what="reset")
            again = await browser.ask(kind="do", what="reset")
            assert not again["ok"] and "has not answered yet" in again["text"]
            assert (await browser.ask(kind="e_stop"))["ok"]
            page.robot.hold.set()
            page.robot.hold = None
            await until(lambda: any(a["n"] == 900 and a["ok"] for a in browser.answers))
            assert (await browser.ask(kind="do", what="reset"))["ok"]

    run(scenario)


def test_the_emergency_stop_is_reset_in_two_steps_by_who_is_in_control() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as one, page.browser() as other:
            await one.ask(kind="take", name="op1")
            await one.ask(kind="e_stop")
            assert not (await one.ask(kind="do", what="reset_e_stop"))["ok"]
            assert not (await other.ask(kind="release_e_stop"))["ok"]
            assert (await one.ask(kind="release_e_stop"))["ok"]
            assert page.robot.stops[-1][1] is False
            assert not (await one.ask(kind="do", what="reset_e_stop"))["ok"]  # too quick
            assert page.robot.called == []

            async def later() -> bool:
                return bool((await one.ask(kind="do", what="reset_e_stop"))["ok"])

            while not await later():
                await asyncio.sleep(0.05)
            assert page.robot.called == ["reset_e_stop"]
            assert not (await one.ask(kind="do", what="reset_e_stop"))["ok"]

    run(scenario)


def test_keys_move_while_they_are_held_and_confirmed() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as browser:
            await browser.ask(kind="take", name="op1")
            up = {"axes": [0.5, 0, 0, 0, 0, 0], "gripper": False}
            for k in range(8):
                await browser.send(kind="jog", at_ms=1000 + 50 * k, **up)
                await asyncio.sleep(0.05)
            held = [sticks for _, sticks in page.robot.sticks if sticks.held]
            assert len(held) >= 4 and held[0].axes == (0.5, 0, 0, 0, 0, 0)
            # Nothing is confirmed any more: nothing is said, least of all that it was let go.
            await silent(page)
            assert page.robot.sticks[-1][1].held
            await browser.send(kind="jog", at_ms=9000, axes=[0] * 6, gripper=False)
            await until(lambda: not page.robot.sticks[-1][1].held)

    run(scenario)


async def silent(page: Served) -> None:
    """Waits until the joystick has been silent for some of its periods."""
    await until(lambda: time.monotonic() - page.robot.sticks[-1][0] > 0.4)


async def drive(page: Served, browser: Browser) -> None:
    """Presses a key."""
    await browser.ask(kind="take", name="op1")
    await browser.send(kind="jog", axes=[0, 1, 0, 0, 0, 0], gripper=True, at_ms=1)
    await until(lambda: page.robot.sticks[-1][1].held)


def test_keys_that_are_held_when_the_connection_ends_are_not_let_go() -> None:
    async def scenario() -> None:
        async with serving() as page:
            async with page.browser() as browser:
                await drive(page, browser)
            await until(lambda: page.server.desk.lease.holder is None)
            await silent(page)
            assert page.robot.sticks[-1][1].held
            async with page.browser() as browser:
                await browser.ask(kind="take", name="op2")
                await until(lambda: not page.robot.sticks[-1][1].held)

    run(scenario)


def test_keys_that_are_held_when_control_is_given_up_or_the_page_ends_are_not_let_go() -> None:
    async def scenario() -> None:
        for how in ("give", "end"):
            async with serving() as page, page.browser() as browser:
                await drive(page, browser)
                if how == "give":
                    await browser.ask(kind="give")
                    await silent(page)
                    assert page.robot.sticks[-1][1].held
            assert page.robot.sticks[-1][1].held

    run(scenario)


def test_at_rest_the_end_is_said() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as browser:
            await drive(page, browser)
            await browser.send(kind="jog", axes=[0] * 6, gripper=False, at_ms=2)
            await browser.ask(kind="give")
            await silent(page)
            assert not page.robot.sticks[-1][1].held

    run(scenario)


def test_who_is_responsible_is_told_even_where_the_episodes_do_not_hear_it() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as browser:
            page.robot.answers["operator"] = Answer(False, "the node episode is not there")
            answer = await browser.ask(kind="take", name="op1")
            assert answer["ok"] and "episode is not there" in answer["text"]

    run(scenario)
