"""Heads: each turns the hidden states of one sequence into one representation."""
