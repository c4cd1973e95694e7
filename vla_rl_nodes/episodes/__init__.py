"""The episode's states, and who may move between them."""
