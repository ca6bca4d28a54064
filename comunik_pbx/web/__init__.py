"""The portal: pages and an API by which people change their rules.

Read in this order: `needs` (what it asks of the rest of the program), `app` (every route), `pages` (how a page is
made), then one module for each thing a person does. It knows neither the store nor Asterisk.
"""
