"""Judges of an episode: observations in, a stamped verdict out, never a guess."""
