"""What each figure of the report means, a sentence or two each."""

from __future__ import annotations

DEFINITIONS = (
    (
        "Success rate",
        "Share of the episodes with working cameras whose outcome was success. The 95 % interval"
        " is Wilson's score interval.",
    ),
    (
        "Cameras black",
        "A control group with the lens caps on: all camera images are zero, everything else is the"
        " same.",
    ),
    (
        "Ticks kept",
        "Control ticks that gave an action, out of the whole control periods in the time from"
        " the episode's start to its outcome.",
    ),
    (
        "Starved, blind, skipped",
        "Ticks without an action because no chunk was left; because a stream had no sample young"
        " enough; ticks that never came because the node was still busy with the one before.",
    ),
    (
        "Lateness",
        "How long after its deadline, on the monotonic clock, a tick began. Policy: every tick."
        " Filter: the worst tick of each of its reports, which come with every accepted action and"
        " at least 20 times a second.",
    ),
    (
        "Inference",
        "Time from an inference's start to its end, of every chunk of which an action was used.",
    ),
    (
        "Delay",
        "Actions consumed while a chunk was computed; predicted is how many committed actions it"
        " was told to continue.",
    ),
    (
        "Seam",
        "A tick that takes its action from another chunk than the tick before. Changes there are"
        " compared with those between neighbouring rows of all published chunks, each axis as a"
        " share of the width of its bounds.",
    ),
    (
        "Changed",
        "Accepted actions that differ by more than 1e-6 on some axis from the base action plus"
        " its residual.",
    ),
    (
        "Limit violations",
        "A joint, or the tool along an axis, beyond a limit: commanded positions, velocities,"
        " accelerations and jerks, the commanded tool point (with the box's own tolerance) and"
        " measured positions and velocities. Commands are those on the controllers' topics;"
        " between the points of trajectories, which lie one filter period apart, the controller's"
        " own interpolation is sampled, and of each period the worst sample counts. A seam is a"
        " leap of the position where one trajectory took over from another, by more than the jerk"
        " limit allows a controller of 1 kHz. For rounding,"
        " 1e-8 rad, 1e-8 rad/s, 1e-6 rad/s², 1e-4 rad/s³ and 1e-8 m are allowed.",
    ),
    (
        "Rest after",
        "Time from the outcome until every joint's measured speed stays below 0.02 rad/s.",
    ),
    (
        "Rebuilt",
        "Observations that the bag bridge rebuilds with the SHA-256 that the live node recorded,"
        " out of all that it built live; at a blind tick it built none.",
    ),
)
