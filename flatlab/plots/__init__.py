"""Figures and tables, from results. Never imported by what trains or measures; the drawing modules need matplotlib."""
