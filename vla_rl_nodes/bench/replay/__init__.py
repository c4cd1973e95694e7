"""Measurements of reading, converting, storing and exporting."""
