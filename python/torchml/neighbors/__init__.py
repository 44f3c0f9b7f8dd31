"""Neighbours in periodic structures: particles with ghosts, and staged graphs."""

from torchml.neighbors.periodic import ParticleSystem, periodic_particles

__all__ = ["ParticleSystem", "periodic_particles"]
