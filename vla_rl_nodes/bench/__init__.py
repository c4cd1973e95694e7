"""Measurements that a user can repeat, each with a command and a machine-readable result."""
