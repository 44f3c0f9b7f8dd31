"""Parts of frontier.py, on the data of Y. Zuo et al., J. Phys. Chem. A 124, 731 (2020)."""
