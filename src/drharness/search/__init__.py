"""Looking for a schedule under which something breaks."""
