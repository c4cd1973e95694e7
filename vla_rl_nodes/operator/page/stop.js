// The emergency stop: one press anywhere, at any time; two steps back.
const ANSWER_MS = 300; // then a press goes another way too

export class Stop {
  constructor(link, say) {
    this.link = link;
    this.say = say;
    this.button = document.getElementById("e_stop");
    this.wayBack = document.getElementById("way_back");
    this.release = document.getElementById("release_e_stop");
    this.reset = document.getElementById("reset_e_stop");
    this.mine = this.latched = this.live = false;
    this.resettable = false; // the server says when the second step is open
    // At the press, not when the finger comes up again.
    this.button.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.press();
    });
    this.button.addEventListener("click", (event) => {
      if (event.detail === 0) this.press(); // by keyboard or a screen reader
    });
    this.release.addEventListener("click", () => this.link.ask({ kind: "release_e_stop" }));
    this.reset.addEventListener("click", () => this.link.ask({ kind: "do", what: "reset_e_stop" }));
    window.addEventListener(
      "keydown",
      (event) => {
        if (event.code !== "Space" && event.key !== "Escape") return;
        event.preventDefault();
        event.stopImmediatePropagation();
        if (!event.repeat) this.press();
      },
      true,
    );
    window.addEventListener(
      "keyup",
      (event) => {
        if (event.code === "Space") event.preventDefault(); // else a button in focus would be clicked
      },
      true,
    );
  }

  async press() {
    this.button.classList.add("pressed");
    this.answered = false;
    if (this.link.ask({ kind: "e_stop" }) && this.live) {
      await new Promise((done) => setTimeout(done, ANSWER_MS));
      if (this.answered) return;
    }
    // No connection, or one that says nothing: by another way, and say what came of it.
    try {
      const answer = await fetch("/e_stop", { method: "POST", keepalive: true });
      if (!answer.ok) throw new Error();
      this.say("The emergency stop was sent without the connection");
    } catch {
      this.say("The emergency stop was NOT sent: use the robot's own stop");
    }
  }

  answer(answer) {
    if (answer.what === "e_stop" && answer.ok) this.answered = true;
  }

  state(state) {
    this.latched = state.safety.latched || state.pressed;
    this.mine = state.control.mine;
    this.resettable = state.control.resettable && state.safety.latched;
    this.show();
  }

  connected(live) {
    this.live = live;
    this.show();
  }

  show() {
    this.button.classList.toggle("pressed", this.latched);
    this.wayBack.hidden = !this.latched;
    this.release.disabled = !(this.live && this.mine);
    this.reset.disabled = !(this.live && this.mine && this.resettable);
  }
}
