"""From a recipe to a point: training, its updates, and the store that keeps runs."""
