"""What a training leaves for its user: tables and figures."""
