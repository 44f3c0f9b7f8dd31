"""What happens around the steps: averages, checkpoints, stopping, progress."""
