"""The driving task: a car on closed tracks, for networks that grow and for Q-learning alike."""
