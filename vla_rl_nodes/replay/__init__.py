"""Episode bags in, transitions out: what the policy saw, the four actions, and what came of it."""
