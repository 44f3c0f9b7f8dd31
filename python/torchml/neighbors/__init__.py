"""Neighbours in periodic structures: particles with ghosts, and staged graphs."""

from torchml.neighbors.moving import MovingParticles
from torchml.neighbors.periodic import ParticleSystem, periodic_particles

__all__ = ["MovingParticles", "ParticleSystem", "periodic_particles"]
