"""Keskar et al. 2017 and what followed: the paper as data, experiments, claims and recorded results."""
