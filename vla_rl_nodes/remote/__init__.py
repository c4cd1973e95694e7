"""Policies that are served elsewhere: codecs without pickle, adapters, clients and an engine."""
