"""What happens in a training step: task, targets, losses and metrics."""
