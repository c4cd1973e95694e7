"""What a person sees of the robot's motion: the way that is planned, and the way that it took."""
