"""Benchmark tasks for a point in the plane, where late and contradictory chunks do harm."""
