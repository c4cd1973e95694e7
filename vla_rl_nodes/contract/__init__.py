"""What an observation, an action and a step are, written once per robot and task."""
