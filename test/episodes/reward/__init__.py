"""Tests of the judges, with small models made here."""
