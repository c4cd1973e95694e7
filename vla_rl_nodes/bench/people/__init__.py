"""What people do with the robot: taking over, resets, and the labels that they give."""
