"""`python -m comunik_pbx.cli`."""

from comunik_pbx.cli import main

main()
