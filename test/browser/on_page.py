"""What a person does on the page, and what it shows."""

from __future__ import annotations

from typing import Any

OVER = ("success", "failure", "timeout", "aborted")


class OnPage:
    """One open page.

    Args:
        page: Playwright's.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.live()

    def live(self) -> None:
        """Waits until the page is connected."""
        self.page.wait_for_selector("body:not(.stale)")

    def take_control(self, name: str = "op1") -> None:
        """Takes control under a name."""
        self.page.fill("#person", name)
        self.page.click("#take:enabled")
        self.page.wait_for_selector("#holder.mine")

    def said(self, what: str) -> str:
        """The newest answer to a command."""
        return str(
            self.page.evaluate(
                """what => [...document.querySelectorAll("#messages li")]
                .find(item => item.querySelector("b").textContent === what)
                ?.querySelector("span").textContent ?? "" """,
                what,
            )
        )

    def asks(self, what: str, act: Any) -> str:
        """Does something, and waits for its answer, which comes first in the list then."""
        before = self.page.evaluate('() => document.querySelector("#messages").childElementCount')
        newest = self.page.evaluate_handle('() => document.querySelector("#messages").firstChild')
        act()
        self.page.wait_for_function(
            """([what, before]) => {
                const newest = document.querySelector("#messages").firstChild;
                return newest && newest !== before
                    && newest.querySelector("b").textContent === what;
            }""",
            arg=[what, newest],
        )
        assert before <= 5
        return self.said(what)

    def keep_control(self) -> None:
        """Takes control again, where a machine that stalled for long has cost it."""
        self.live()
        if self.page.query_selector("#holder.mine") is None:
            self.take_control()

    def click(self, command: str) -> str:
        """Presses a button; what the robot says."""
        self.keep_control()
        shown = command.replace("_", " ").replace("e stop", "stop")
        return self.asks(shown, lambda: self.page.click(f'[data-do="{command}"]'))

    def press(self, key: str, command: str) -> str:
        """Presses a key; what the robot says."""
        self.keep_control()
        return self.asks(command.replace("_", " "), lambda: self.page.keyboard.press(key))

    def until(self, condition: str, *arguments: Any, timeout_s: float = 60.0) -> None:
        """Waits until an expression of the page is true."""
        self.page.wait_for_function(condition, arg=list(arguments), timeout=timeout_s * 1e3)

    def state(self, *states: str) -> str:
        """Waits for one of the episode's states; which it is."""
        self.until("([s]) => s.includes(document.querySelector('#state').dataset.state)", states)
        return str(self.page.get_attribute("#state", "data-state"))

    def source(self, source: str) -> None:
        """Waits until somebody is in command of the robot."""
        self.until("([s]) => document.querySelector('#command .on')?.dataset.source === s", source)

    def reset_stop(self) -> None:
        """The two steps back from the emergency stop; from the first again where they took too
        long."""
        while "latched" in self.page.inner_text("#alarms"):
            self.keep_control()
            for button in ("#release_e_stop", "#reset_e_stop"):
                if self.page.is_enabled(button):
                    self.page.click(button)
                    self.page.wait_for_timeout(900)

    def alarm(self, text: str) -> None:
        """Waits for an alarm."""
        self.until("([t]) => document.querySelector('#alarms').textContent.includes(t)", text)

    def run_episode(self) -> None:
        """Starts an episode; a stalled machine may end one at once, then another is tried."""
        for _ in range(3):
            self.click("start")
            if self.state("running", *OVER) == "running":
                return
        raise AssertionError("no episode runs")

    def states(self) -> int:
        """How many states the page has shown."""
        return int(self.page.get_attribute("body", "data-states") or 0)
