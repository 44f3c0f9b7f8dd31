"""Doors for people who come from elsewhere: their configurations, translated into ours.

Each translates into the one configuration of `torchml fit` and `torchml.training.fit`. What cannot
be honoured is an error that names the key and says what to use instead.
"""
