// Shows what the server says. Text goes into the page as text only.
const STATES = {
  idle: "Idle", resetting: "Resetting", ready: "Ready", running: "Running", success: "Success",
  failure: "Failure", timeout: "Time over", aborted: "Aborted",
};
const FILTERS = { armed: "good", holding: "good", stopping: "warn", stopped: "bad", faulted: "bad", disarmed: "" };
const BUSY_RESET = ["planning", "moving", "verifying", "asking"];
const MESSAGES = 5;
const $ = (id) => document.getElementById(id);

export class View {
  constructor() {
    this.alarmed = "";
    this.rates = setInterval(() => this.rate(), 500);
    this.count = 0;
  }

  about(about) {
    document.title = `${about.namespace || about.robot} operator`;
    put("robot", about.namespace || about.robot);
    put("task", about.task);
    $("logout").hidden = !about.closed;
  }

  connected(live, text) {
    this.live = live;
    this.times = [];
    document.body.classList.toggle("stale", !live);
    if (live) {
      $("lost")?.remove();
      this.lostAt = null;
      return;
    }
    const link = $("link");
    link.className = "pill bad";
    link.textContent = "Not connected";
    this.lostAt ??= Date.now();
    this.why = text;
    $("holder").className = "holder";
    put("holder", "Control is given up");
    if (!$("lost")) {
      const lost = document.createElement("section");
      lost.id = "lost";
      lost.setAttribute("role", "alert");
      lost.append("Not connected: what is shown here is old", document.createElement("small"));
      document.querySelector("header").after(lost);
    }
    this.rate();
  }

  rate() {
    if (!this.live) {
      const small = $("lost")?.querySelector("small");
      if (small) {
        const since = Math.round((Date.now() - this.lostAt) / 1000);
        small.textContent = `${this.why}. Trying again for ${since} s. STOP is still tried, but rely on the robot's own stop.`;
      }
      return;
    }
    const now = performance.now();
    this.times = this.times.filter((at) => at > now - 2000);
    const link = $("link");
    link.className = "pill good";
    link.textContent = `Live ${(this.times.length / 2).toFixed(0)} Hz`;
  }

  state(state) {
    this.count += 1;
    (this.times ??= []).push(performance.now());
    document.body.dataset.states = this.count;
    this.alarms(state.alarms);
    this.control(state.control);
    this.episode(state);
    this.filter(state);
    this.reset(state.reset);
    this.tiles(state);
  }

  alarms(alarms) {
    const key = JSON.stringify(alarms);
    if (key === this.alarmed) return; // else it would be read out ten times a second
    this.alarmed = key;
    const place = $("alarms");
    place.classList.toggle("calm", !alarms.length);
    place.replaceChildren(
      ...(alarms.length ? alarms : [{ level: "", text: "No alarms" }]).slice(0, 4).map((alarm) => {
        const line = document.createElement("p");
        line.className = alarm.level;
        line.textContent = alarm.text;
        return line;
      }),
    );
  }

  control(control) {
    const holder = $("holder");
    holder.className = control.mine ? "holder mine" : control.name ? "holder other" : "holder";
    put("holder", control.mine ? `${control.name}: you control` : control.name ? `${control.name} is in control` : "Nobody is in control");
    put("viewers", control.viewers === 1 ? "1 viewer" : `${control.viewers} viewers`);
  }

  episode({ episode, outcome, intervention, safety }) {
    const running = episode.state === "running";
    const held = running && (episode.help ? "help" : episode.paused ? "paused" : episode.retreating ? "retreating" : "");
    const shown = $("state");
    shown.dataset.state = held || episode.state;
    const words = { help: "Asks for help", paused: "Paused", retreating: "Trying again" };
    put("state", words[held] ?? STATES[episode.state] ?? (episode.state || "Not heard of"));
    put("why", episode.help || episode.reason || (episode.paused && !held ? "Paused: no next episode begins" : ""));
    const time = $("time"), left = episode.left_s;
    time.classList.toggle("off", left == null);
    if (left != null) {
      put("left", `${left.toFixed(1)} s`);
      const share = Math.max(0, Math.min(1, left / episode.limit_s));
      $("left_bar").style.width = `${100 * share}%`;
      time.classList.toggle("low", share < 0.25);
    }
    facts([
      ["Attempt", episode.attempt], ["Operator", episode.operator], ["Seed", episode.seed === "-1" ? "" : episode.seed],
      ["Reset by", episode.reset_mode?.replaceAll("_", " ")], ["Automatic", episode.automatic ? (episode.automatic_off ? `off: ${episode.automatic_off}` : "on") : ""],
      ["Last", outcome.state ? (outcome.discarded ? "discarded" : STATES[outcome.state] ?? outcome.state) : ""],
      ["Id", episode.id],
    ]);
    const source = safety.source || "nobody";
    for (const item of $("command").children) {
      const on = item.dataset.source === source;
      item.classList.toggle("on", on);
      item.toggleAttribute("aria-current", on);
    }
    const device = intervention.device ? ` (${intervention.device})` : "";
    const said = intervention.state && intervention.state !== "idle" ? `Device${device}: ${intervention.state}` : "";
    const far = intervention.state === "matching" ? intervention.matching_error : "";
    put("person_state", [said, said && intervention.reason, far && `still off by ${far}`].filter(Boolean).join(", "));
  }

  filter({ safety }) {
    const shown = $("filter");
    const state = safety.silent ? "silent" : safety.latched ? "emergency stop" : safety.state;
    shown.className = `big ${safety.silent || safety.latched ? "bad" : FILTERS[safety.state] ?? ""}`;
    put("filter", capital(state));
    put("filter_text", safety.silent ? "" : safety.text);
    list($("reasons"), safety.reasons);
  }

  reset(reset) {
    put("reset_state", capital(reset.state || "not there"));
    const busy = BUSY_RESET.includes(reset.state);
    const parts = [busy ? reset.mode?.replaceAll("_", " ") : "", busy && reset.state !== "asking" ? reset.step : "", reset.reason];
    const attempt = busy && reset.attempt > 1 ? `, attempt ${reset.attempt}` : "";
    put("reset_text", parts.filter(Boolean).join(": ") + attempt);
  }

  tiles({ policy, safety, learner, recorder, bundle, measured }) {
    tick("tile_policy", policy, "no episode");
    tick("tile_filter", safety, "silent");
    const queue = learner.queue ?? 0, bytes = learner.queue_bytes ?? 0;
    const oldest = learner.oldest_s > 60 ? `, oldest ${Math.round(learner.oldest_s / 60)} min` : "";
    tile("tile_learner", learner.state ? `${queue} waiting` : "no link",
      learner.state ? `${learner.state}, ${size(bytes)}${oldest}` : "",
      !learner.state ? "" : learner.silent || learner.state === "full" ? "bad" : learner.state === "up" ? "good" : "warn");
    tile("tile_recorder", recorder.state || "not there",
      recorder.dropped ? `${recorder.dropped} lost` : recorder.messages ? `${recorder.messages} messages` : "",
      { recording: "good", failed: "bad" }[recorder.state] ?? (recorder.dropped ? "warn" : ""));
    tile("tile_bundle", (bundle.serving || policy.version || "–").slice(0, 24),
      bundle.news ? `${bundle.version && bundle.version !== bundle.serving ? bundle.version : ""} ${bundle.news}`.trim() : "",
      bundle.level ? "warn" : bundle.news || policy.version ? "good" : "");
    const progress = measured.progress?.progress, success = measured.success?.success;
    const steps = measured.progress?.steps_to_go;
    tile("tile_progress", progress == null ? "not judged" : `${Math.round(100 * progress)} %`,
      [success == null ? "" : `success ${success.toFixed(2)}`, steps == null ? "" : `${Math.round(steps)} steps to go`]
        .filter(Boolean).join(", "), "");
  }

  answer(answer) {
    this.message(answer.what.replaceAll("_", " ").replace("e stop", "stop"), answer.text, answer.ok);
  }

  message(what, text, ok) {
    const item = document.createElement("li");
    item.className = ok ? "" : "no";
    const time = document.createElement("time");
    time.textContent = new Date().toLocaleTimeString("en-GB");
    const name = document.createElement("b"), said = document.createElement("span");
    name.textContent = what || "page";
    said.textContent = text;
    item.title = text;
    item.append(time, name, said);
    $("messages").prepend(item);
    while ($("messages").children.length > MESSAGES) $("messages").lastChild.remove();
  }
}

function put(id, text) {
  const place = $(id);
  if (place.textContent !== text) place.textContent = text;
}

function capital(text) {
  return text ? text[0].toUpperCase() + text.slice(1) : "–";
}

function size(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.round(bytes / 1e3)} kB`;
}

function list(place, texts) {
  if (place.dataset.key === texts.join("\n")) return;
  place.dataset.key = texts.join("\n");
  place.replaceChildren(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
}

function facts(pairs) {
  const shown = pairs.filter(([, value]) => value);
  const place = $("facts"), key = JSON.stringify(shown);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren(
    ...shown.map(([name, value]) => {
      const pair = document.createElement("div");
      pair.append(
        Object.assign(document.createElement("dt"), { textContent: name }),
        Object.assign(document.createElement("dd"), { textContent: value }),
      );
      return pair;
    }),
  );
}

function tick(id, part, quiet) {
  if (part.silent || part.late_ms == null) {
    tile(id, quiet, "", "");
    return;
  }
  const skipped = part.skipped ? `${part.skipped} skipped` : "none skipped";
  tile(id, `${part.late_ms.toFixed(1)} ms late`, skipped, part.late_ms < 5 ? "good" : "warn");
}

function tile(id, main, small, kind) {
  const place = $(id), shown = place.querySelector("dd");
  if (place.className !== kind) place.className = kind;
  const key = `${main}\n${small}`;
  if (shown.dataset.key === key) return;
  shown.dataset.key = key;
  shown.replaceChildren(main, Object.assign(document.createElement("small"), { textContent: small }));
  shown.title = `${main} ${small}`.trim();
}
