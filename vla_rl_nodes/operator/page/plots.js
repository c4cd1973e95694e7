// The last seconds of actions, axis by axis: proposed, executed, the person's, and the plan.
const BACK_MS = 8000, AHEAD_MS = 1000, MOST = 1000;
const COLOURS = { proposed: "#5db0ff", human: "#ffb938", executed: "#ffffff", seam: "#ff8fb1b0", line: "#33465a" };
const SHADES = { intervention: "#ffb93826", reset: "#b79bff26" };

export class Plots {
  constructor(place) {
    this.place = place;
    this.rows = [];
    this.axes = [];
    this.plan = null;
  }

  about(about) {
    this.rows = []; // the server gives the last seconds anew
    this.plan = null;
    this.period = 1000 / about.policy_hz;
    this.place.replaceChildren();
    this.axes = about.axes.map((axis, index) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      const caption = document.createElement("figcaption");
      const name = document.createElement("span"), value = document.createElement("span");
      name.textContent = axis.name.replaceAll("_", " ");
      canvas.setAttribute("aria-label", `${name.textContent}, proposed and executed`);
      caption.append(name, value);
      figure.append(caption, canvas);
      this.place.append(figure);
      return { ...axis, index, canvas, value };
    });
  }

  state(state) {
    this.rows.push(...state.trace);
    this.rows = this.rows.filter((row) => row[0] > state.now_ms - BACK_MS - 500).slice(-MOST);
    if (state.plan) this.plan = state.plan;
    this.turn = !this.turn; // five times a second are enough to the eye
    if (document.hidden || this.turn) return;
    requestAnimationFrame(() => {
      for (const axis of this.axes) this.draw(axis, state.now_ms);
    });
  }

  draw(axis, now) {
    const { canvas } = axis;
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const margin = 5 * scale, span = BACK_MS + AHEAD_MS;
    const x = (at) => ((at - now + BACK_MS) / span) * width;
    const y = (value) => {
      const share = (value - axis.minimum) / (axis.maximum - axis.minimum);
      return height - margin - Math.max(-0.03, Math.min(1.03, share)) * (height - 2 * margin);
    };
    this.shade(pen, x, height);
    pen.lineWidth = scale;
    pen.strokeStyle = COLOURS.line;
    if (axis.minimum < 0 && axis.maximum > 0) path(pen, [[0, y(0)], [width, y(0)]]);
    path(pen, [[x(now), 0], [x(now), height]]);
    pen.strokeStyle = COLOURS.seam;
    pen.setLineDash([]);
    for (const row of this.rows) if (row[4]) path(pen, [[x(row[0]), 0.72 * height], [x(row[0]), height]]);
    if (this.plan) {
      pen.strokeStyle = COLOURS.proposed;
      pen.setLineDash([1.5 * scale, 3 * scale]);
      pen.lineWidth = 2 * scale;
      const points = this.plan.rows.map((row, k) => [this.plan.at_ms + k * this.period, row[axis.index]]);
      path(pen, points.filter(([at]) => at >= now).map(([at, value]) => [x(at), y(value)]));
    }
    pen.setLineDash([]);
    for (const [what, column, thick] of [["executed", 3, 3], ["proposed", 1, 1.5], ["human", 2, 2]]) {
      pen.strokeStyle = COLOURS[what];
      pen.lineWidth = thick * scale;
      this.line(pen, column, axis.index, x, y);
    }
    const last = this.rows.at(-1)?.[3];
    axis.value.textContent = last ? `${last[axis.index].toPrecision(2)} ${axis.unit}` : "";
  }

  // One column of the rows; a gap in time is a gap in the line.
  line(pen, column, index, x, y) {
    let points = [], before = 0;
    for (const row of this.rows) {
      if (!row[column]) continue;
      if (row[0] - before > 2.5 * this.period) {
        path(pen, points);
        points = [];
      }
      points.push([x(row[0]), y(row[column][index])]);
      before = row[0];
    }
    path(pen, points);
  }

  shade(pen, x, height) {
    for (const row of this.rows) {
      const colour = SHADES[row[5] || (row[2] ? "intervention" : "")];
      if (!colour) continue;
      pen.fillStyle = colour;
      pen.fillRect(x(row[0]), 0, x(row[0] + this.period) - x(row[0]) + 0.5, height);
    }
  }
}

function path(pen, points) {
  if (points.length < 2) return;
  pen.beginPath();
  for (const [x, y] of points) pen.lineTo(x, y);
  pen.stroke();
}
