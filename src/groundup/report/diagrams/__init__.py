"""Drawings made from configurations, not by hand: the report's and the guide's. All are SVG in the page's colours."""
