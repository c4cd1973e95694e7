"""Attacks on the safety filter, and a judge of what it commands that shares no code with it."""
