"""Stamped buffers in, one aligned observation out."""
