"""Robots: limits, kinematics and topic maps, read from config/robots and urdf."""
