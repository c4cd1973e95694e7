"""Pushes against the safety filter's limits with physics on, measured by the simulator."""
