"""Predictions on labelled photographs -> figures that can be trusted, a page and a model card."""
