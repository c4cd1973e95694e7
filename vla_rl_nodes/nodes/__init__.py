"""One thin ROS node per file: parameters, messages, QoS, and a call into a room."""
