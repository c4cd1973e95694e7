"""Real-robot reinforcement learning over ROS 2: ingest, policy, safety, episodes, bags, replay."""

__version__ = "0.1.0"
