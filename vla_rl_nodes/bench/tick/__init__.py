"""How well a control tick is kept beside a busy process, ours and a plain rclpy timer's."""
