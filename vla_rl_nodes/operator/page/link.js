// The WebSocket to the robot's page server: opened again for as long as the page is open.
const SILENT_MS = 1000; // without a state what is shown counts as old
const DEAD_MS = 8000; // then the connection is given up and opened again
const WHY = { 4001: "There are as many viewers as there may be", 4002: "The session is over" };
const FIRST_MS = 250, LONGEST_MS = 3000;

export class Link {
  constructor(hooks) {
    this.hooks = hooks;
    this.socket = null;
    this.live = false;
    this.next = 1;
    this.waitMs = FIRST_MS;
    this.heardAt = 0;
    setInterval(() => this.look(), 200);
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/state`);
    this.socket = socket;
    this.openedAt = performance.now();
    socket.onmessage = (event) => this.hear(socket, JSON.parse(event.data));
    socket.onclose = (event) => {
      if (this.socket === socket) this.closed(event);
    };
  }

  hear(socket, message) {
    if (socket !== this.socket) return;
    if (message.kind === "state") {
      this.heardAt = performance.now();
      this.waitMs = FIRST_MS;
      if (!this.live) {
        this.live = true;
        this.hooks.connected(true, "");
      }
    }
    try {
      this.hooks[message.kind]?.(message);
    } finally {
      // The server sends a next state only to who has shown the last ones.
      if (message.kind === "state") this.send({ kind: "seen", number: message.number });
    }
  }

  look() {
    const silent = performance.now() - Math.max(this.heardAt, this.openedAt ?? 0);
    if (this.live && silent > SILENT_MS) this.lose("The server is silent");
    if (silent > DEAD_MS && this.socket?.readyState === WebSocket.OPEN) this.socket.close();
  }

  lose(text) {
    this.live = false;
    this.hooks.connected(false, text);
  }

  async closed(event) {
    this.socket = null;
    this.lose(WHY[event.code] ?? "The server does not answer");
    const wait = this.waitMs * (0.75 + 0.5 * Math.random());
    this.waitMs = Math.min(2 * this.waitMs, LONGEST_MS);
    await new Promise((done) => setTimeout(done, wait));
    // A server that wants its token again answers with another page.
    try {
      const answer = await fetch("/", { method: "HEAD", redirect: "manual", cache: "no-store" });
      if (answer.type === "opaqueredirect") location.assign("/login");
    } catch {
      // Not there yet: the next try says so too.
    }
    this.open();
  }

  // Sends a message; false where there is nobody to send it to.
  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  // Sends a message that is answered.
  ask(message) {
    return this.send({ n: this.next++, ...message });
  }
}
