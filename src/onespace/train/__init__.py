"""Contrastive training: losses, and a loop that survives being killed. Needs the ``[torch]`` extra."""
