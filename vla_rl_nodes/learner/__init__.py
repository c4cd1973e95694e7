"""Turns replay into policies, off the robot; the only room that imports torch."""
