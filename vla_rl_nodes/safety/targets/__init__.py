"""What leads the motion: actions become joint targets inside the static limits."""
