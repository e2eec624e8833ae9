"""Inputs that people broke: what is done to each tiny release, and what must be said of it."""
