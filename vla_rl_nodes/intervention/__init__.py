"""How a person takes the robot over with a device, and gives it back."""
