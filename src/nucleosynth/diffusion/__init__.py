"""Generative processes over a state of channel groups: how noise comes in, and how samplers take it out."""
