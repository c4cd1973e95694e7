// The page's parts, and what goes from one to the other.
import { Cameras } from "./cameras.js";
import { Hands } from "./hands.js";
import { Link } from "./link.js";
import { Plots } from "./plots.js";
import { Stop } from "./stop.js";
import { View } from "./view.js";

const view = new View();
const link = new Link({
  about(about) {
    view.about(about);
    plots.about(about);
    cameras.about(about);
    hands.about(about);
  },
  state(state) {
    view.state(state);
    plots.state(state);
    cameras.state(state);
    hands.state(state);
    stop.state(state);
  },
  answer(answer) {
    view.answer(answer);
    stop.answer(answer);
  },
  connected(connected, text) {
    view.connected(connected, text);
    hands.connected(connected);
    stop.connected(connected);
    cameras.connected(connected);
  },
});
const plots = new Plots(document.getElementById("plots"));
const cameras = new Cameras(document.getElementById("cameras"));
const stop = new Stop(link, (text) => view.message("STOP", text, false));
const hands = new Hands(link, stop, (text) => view.message("page", text, false));
link.open();
