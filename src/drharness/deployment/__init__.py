"""The running system: brought up, operated, put under traffic, judged and taken down."""
