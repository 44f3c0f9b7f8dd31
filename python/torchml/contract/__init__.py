"""What a model says of itself: metadata, `.param` files, signatures and compiled inputs."""
