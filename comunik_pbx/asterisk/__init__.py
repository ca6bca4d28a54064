"""Talking to Asterisk: the only package that does. Plans encoded for the dialplan, ARI, AMI."""
