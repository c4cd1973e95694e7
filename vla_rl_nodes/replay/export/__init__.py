"""Converted episodes out to the formats of other tools, and LeRobot datasets in."""
