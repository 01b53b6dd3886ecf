"""Functional forms made of operations; `numgrad.nn.functional` is their public place."""
