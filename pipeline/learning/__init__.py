"""What training is made of: settings, splits, scaling, losses, the loop, and what a run leaves behind."""
