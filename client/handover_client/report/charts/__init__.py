"""SVG charts of the HTML reports."""
