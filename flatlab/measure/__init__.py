"""What is asked of f at a point: sharpness, curvature, noise, and the ways between points. Nothing here knows of
networks or data."""
