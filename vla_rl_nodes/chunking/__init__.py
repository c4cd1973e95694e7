"""Action chunks to one action per control tick, without stutter."""
