"""What answers are worth: metrics on splits, baselines, intervals, and what a result may owe to a shortcut."""
