"""The demonstration: episodes in simulation, measured from their bags and reported."""
