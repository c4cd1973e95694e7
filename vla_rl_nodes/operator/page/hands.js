// What the person's hands do: buttons, keys, and moving the robot while a key is held.
const EVERY_MS = 50; // what is held is said again and again; without that the robot is held still
const STICKS = [
  // [key, words, stick, sign]
  ["KeyQ", "Q", "↺ turn", 5, 1], ["ArrowUp", "↑", "x +", 0, 1], ["KeyE", "E", "↻ turn", 5, -1], ["PageUp", "PgUp", "z +", 2, 1],
  ["ArrowLeft", "←", "y +", 1, 1], ["ArrowDown", "↓", "x −", 0, -1], ["ArrowRight", "→", "y −", 1, -1], ["PageDown", "PgDn", "z −", 2, -1],
  ["KeyJ", "J", "rx −", 3, -1], ["KeyL", "L", "rx +", 3, 1], ["KeyK", "K", "ry −", 4, -1], ["KeyI", "I", "ry +", 4, 1],
];
const GRIPPER = "KeyG";
// In which states of an episode a button is what one would press.
const LIKELY = {
  start: (s) => ["idle", "success", "failure", "timeout", "aborted"].includes(s.episode.state) && !s.safety.latched,
  success: (s) => s.episode.state === "running",
  failure: (s) => s.episode.state === "running",
  discard: () => false,
  abort: () => false,
  pause: (s) => s.episode.paused,
  take_over: (s) => Boolean(s.episode.help),
  release: (s) => s.safety.source === "intervention",
  reset: () => false,
  confirm: (s) => s.reset.state === "asking",
  cancel_reset: () => false,
};

export class Hands {
  constructor(link, stop, say) {
    this.link = link;
    this.stop = stop;
    this.say = say;
    this.mine = this.live = false;
    this.speed = 0.25;
    this.held = new Set();
    this.timer = null;
    this.pad = document.getElementById("pad");
    this.pads = new Map();
    this.acts = [...document.querySelectorAll("[data-do]")];
    this.pause = document.getElementById("pause");
    for (const button of this.acts) {
      mark(button, button.dataset.key.toUpperCase());
      button.addEventListener("click", () => this.act(button));
    }
    for (const button of document.querySelectorAll("[data-speed]")) {
      button.addEventListener("click", () => this.setSpeed(button));
    }
    this.person = document.getElementById("person");
    this.person.value = localStorage.getItem("person") ?? "";
    this.take = document.getElementById("take");
    this.give = document.getElementById("give");
    document.getElementById("control").addEventListener("submit", (event) => {
      event.preventDefault();
      this.takeControl();
    });
    this.give.addEventListener("click", () => this.link.ask({ kind: "give" }));
    window.addEventListener("keydown", (event) => this.down(event));
    window.addEventListener("keyup", (event) => this.up(event.code));
    window.addEventListener("blur", () => this.lose());
    window.addEventListener("pagehide", () => this.lose());
    document.addEventListener("visibilitychange", () => document.hidden && this.lose());
    this.enable();
  }

  about(about) {
    this.known = STICKS.filter((stick) => about.sticks.includes(stick[3]));
    this.gripper = about.gripper;
    this.pad.replaceChildren();
    for (const button of this.pads.values()) button.remove();
    this.pads.clear();
    for (const [code, key, words] of this.known) this.addPad(code, key, words);
    if (this.gripper) document.getElementById("speeds").prepend(this.addPad(GRIPPER, "G", "Gripper"));
    this.enable();
  }

  addPad(code, key, words) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "hold";
    button.textContent = words;
    button.dataset.hold = code;
    mark(button, key);
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      button.setPointerCapture(event.pointerId);
      this.hold(code);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(end, () => this.up(code));
    }
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    this.pads.set(code, button);
    this.pad.append(button);
    return button;
  }

  state(state) {
    const mine = state.control.mine;
    if (this.mine && !mine) this.lose();
    this.mine = mine;
    this.other = mine ? "" : state.control.name;
    const paused = state.episode.paused;
    if (this.pause.dataset.do !== (paused ? "resume" : "pause")) {
      this.pause.dataset.do = paused ? "resume" : "pause";
      this.pause.firstChild.data = paused ? "Resume" : "Pause";
    }
    for (const button of this.acts) {
      const likely = LIKELY[button === this.pause ? "pause" : button.dataset.do];
      button.classList.toggle("likely", mine && Boolean(likely(state)));
    }
    this.asking = state.reset.state === "asking";
    this.enable();
  }

  connected(live) {
    this.live = live;
    if (!live) {
      this.mine = false;
      this.lose();
      for (const button of this.acts) button.classList.remove("likely");
    }
    this.enable();
  }

  enable() {
    const able = this.live && this.mine;
    for (const button of this.acts) {
      button.disabled = !able || (button.dataset.do === "confirm" && !this.asking);
    }
    for (const button of this.pads.values()) button.disabled = !able;
    for (const button of document.querySelectorAll("[data-speed]")) button.disabled = !able;
    this.take.disabled = !this.live;
    this.take.hidden = this.person.hidden = this.mine;
    this.give.hidden = !this.mine;
    this.give.disabled = !this.live;
    this.take.textContent = this.other ? "Take over control" : "Take control";
  }

  takeControl() {
    const name = this.person.value.trim();
    localStorage.setItem("person", name);
    this.link.ask({ kind: "take", name, over: Boolean(this.other) });
    this.person.blur();
  }

  act(button) {
    if (button.disabled) return;
    this.link.ask({ kind: "do", what: button.dataset.do });
  }

  setSpeed(chosen) {
    this.speed = Number(chosen.dataset.speed);
    for (const button of document.querySelectorAll("[data-speed]")) {
      button.setAttribute("aria-pressed", String(button === chosen));
    }
    if (this.held.size) this.tell();
  }

  down(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target === this.person) return;
    if (this.pads.has(event.code)) {
      event.preventDefault();
      if (!event.repeat) this.hold(event.code);
      return;
    }
    if (event.repeat || event.shiftKey) return;
    const key = event.key.toLowerCase();
    const button = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!button) return;
    event.preventDefault();
    if (button.disabled && this.live && !this.mine) this.say("Take control first");
    button.click();
  }

  hold(code) {
    if (!(this.live && this.mine)) {
      this.say("Take control first");
      return;
    }
    this.held.add(code);
    this.pads.get(code)?.classList.add("held");
    this.tell();
    this.timer ??= setInterval(() => this.tell(), EVERY_MS);
  }

  up(code) {
    if (!this.held.delete(code)) return;
    this.pads.get(code)?.classList.remove("held");
    this.tell();
    if (!this.held.size) this.rest();
  }

  // Nobody let go: nothing more is said, and the robot is held instead of given back.
  lose() {
    for (const code of this.held) this.pads.get(code)?.classList.remove("held");
    this.held.clear();
    this.rest();
  }

  rest() {
    clearInterval(this.timer);
    this.timer = null;
  }

  tell() {
    const axes = [0, 0, 0, 0, 0, 0];
    for (const [code, , , stick, sign] of this.known ?? []) {
      if (this.held.has(code)) axes[stick] += sign * this.speed;
    }
    this.link.send({ kind: "jog", axes, gripper: this.held.has(GRIPPER), at_ms: performance.now() });
  }
}

function mark(button, key) {
  const shown = document.createElement("kbd");
  shown.textContent = key;
  shown.setAttribute("aria-hidden", "true");
  button.append(shown);
  button.setAttribute("aria-keyshortcuts", key);
}
