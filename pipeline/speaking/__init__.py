"""Who of those in view is speaking: face tracks, the corpora's tables of them, scores and their metric."""
