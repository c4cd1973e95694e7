// The cameras: JPEGs over a connection of their own, so that they never hold up the state.
const HEADER = 16;
const OLD_MS = 1000;

export class Cameras {
  constructor(place) {
    this.place = place;
    this.figures = [];
    this.socket = null;
    this.live = false;
    setInterval(() => this.age(), 250);
  }

  about(about) {
    if (this.names?.join() === about.cameras.join()) return;
    this.names = about.cameras;
    this.place.replaceChildren();
    this.figures = about.cameras.map((name) => {
      const figure = document.createElement("figure");
      figure.className = "camera old";
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Camera ${words(name)}`);
      const caption = document.createElement("figcaption");
      figure.append(canvas, caption);
      this.place.append(figure);
      return { name: words(name), figure, canvas, caption, stamp: 0, drawnAt: 0, count: 0 };
    });
  }

  connected(live) {
    this.live = live;
    if (live && !this.socket) this.open();
    if (!live) this.socket?.close();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/cameras`);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.draw(socket, event.data);
    socket.onclose = () => {
      this.socket = null;
      if (this.live) setTimeout(() => this.live && !this.socket && this.open(), 1000);
    };
  }

  async draw(socket, data) {
    const head = new DataView(data);
    const camera = head.getUint8(0);
    const shown = this.figures[camera];
    try {
      if (!shown || document.hidden) return;
      const picture = await createImageBitmap(new Blob([data.slice(HEADER)], { type: "image/jpeg" }));
      if (shown.canvas.width !== picture.width || shown.canvas.height !== picture.height) {
        shown.canvas.width = picture.width;
        shown.canvas.height = picture.height;
      }
      shown.canvas.getContext("2d").drawImage(picture, 0, 0);
      picture.close();
      shown.stamp = head.getFloat64(8, true);
      shown.drawnAt = performance.now();
      shown.count += 1;
      shown.figure.dataset.count = shown.count;
    } catch {
      // A broken picture: the next one may be better, and this one is shown as old.
    } finally {
      if (socket.readyState === WebSocket.OPEN) socket.send(String(camera));
    }
  }

  // The state says what time it is for the robot: a picture that arrives late is late.
  state(state) {
    this.now = state.now_ms;
    this.nowAt = performance.now();
  }

  age() {
    for (const shown of this.figures) {
      const now = (this.now ?? 0) + performance.now() - (this.nowAt ?? 0);
      const old = !shown.count ? Infinity : Math.max(now - shown.stamp, performance.now() - shown.drawnAt);
      const late = !(old < OLD_MS) || !this.live;
      shown.figure.classList.toggle("old", late);
      const text = !shown.count ? "no picture" : old > 99e3 ? "old" : `${(old / 1000).toFixed(0)} s old`;
      shown.caption.textContent = late ? `${shown.name}: ${text}` : shown.name;
    }
  }
}

function words(name) {
  return name.replace(/^image_/, "").replaceAll("_", " ");
}
