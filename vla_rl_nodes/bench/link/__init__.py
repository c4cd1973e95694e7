"""Does every episode reach the learner exactly once, whatever is killed, cut or stalled."""
