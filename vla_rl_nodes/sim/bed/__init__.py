"""The learner's test bed: an arm with small tasks, seen as vectors, faster than real time."""
