"""Robot and learner: episodes there, exactly once, and signed policies back."""
