"""What several tests share: structures, models, portable models, reference implementations."""
