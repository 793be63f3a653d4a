"""The guide's firewall rules: what they say (``rules``, pure) and the commands that set them."""
