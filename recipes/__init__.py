"""How the shipped models were made, each recipe rerunnable from pinned packages."""
